import type { RunnerEntry } from '../config.ts';

/** What an executor can do. */
export interface ExecutorFeatures {
  /** Runs `image:` and `services:`. */
  readonly images: boolean;
  /** Jobs run under an OS user that is not the runner's. */
  readonly separateUser: boolean;
}

/** Why a script ended. */
export interface ScriptEnd {
  /** 128 + signal for a killed one. */
  readonly exitCode: number;
}

/** Where the job's files are, and who owns them. */
export interface BuildPlace {
  readonly slotDir: string;
  readonly buildDir: string;
  /** `<build dir>.tmp`: file variables, HOME, TMPDIR. */
  readonly tmpDir: string;
  /** undefined = the runner's own. */
  readonly uid: number | undefined;
  readonly gid: number | undefined;
  /** No other job runs as this uid, so all its processes are the job's. */
  readonly exclusiveUid: boolean;
}

export interface ScriptRun {
  /** Lines of `.gitlab-ci.yml`, in order. */
  readonly script: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly onOutput: (bytes: Buffer) => void;
  /** Ends the script and all that it started, with a little time to tidy up. */
  readonly signal: AbortSignal;
  /** As `signal`, at once. */
  readonly force: AbortSignal;
}

export interface PrepareOptions {
  readonly entry: RunnerEntry;
  readonly slot: number;
  readonly projectPath: string;
  /** Jobs with another key must not find this one's files (R15). */
  readonly trustKey: string;
  /** Marks the job's processes where its uid is not its own. */
  readonly cookie: string;
}

/** A prepared place for one job. */
export interface Workspace {
  readonly place: BuildPlace;
  run(run: ScriptRun): Promise<ScriptEnd>;
  /** Ends every process that the job left behind; the files stay. */
  endProcesses(): Promise<void>;
  /** Removes what no later job may see. */
  cleanup(): Promise<void>;
}

/** Runs scripts of jobs. One job at a time uses a slot. */
export interface Executor {
  readonly name: string;
  readonly features: ExecutorFeatures;
  /** @throws unsupported, upstream_failed */
  prepare(options: PrepareOptions): Promise<Workspace>;
}

/** Names for `register`; the map itself is in `executors/index.ts`. */
export const executorNames: readonly string[] = ['shell'];
