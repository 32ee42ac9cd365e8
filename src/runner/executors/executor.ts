import type { Secret } from '../../base/secret.ts';
import type { RunnerEntry } from '../config.ts';

/** What an executor can do. */
export interface ExecutorFeatures {
  /** Runs `image:` and `services:`. */
  readonly images: boolean;
  /** Jobs run under an OS user that is not the runner's. */
  readonly separateUser: boolean;
  /** Scripts do not run among the runner's own processes, so nothing of its environment fits them. */
  readonly elsewhere: boolean;
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
  /** What the script runs in ends with it. */
  readonly disposable: boolean;
  /** The same folders as the job's script sees them. */
  readonly seen: { readonly slotDir: string; readonly buildDir: string; readonly tmpDir: string };
}

/** A container that a job asks for, names and variables expanded. */
export interface ContainerNeeds {
  readonly name: string;
  readonly entrypoint: readonly string[] | undefined;
  readonly pullPolicy: readonly string[] | undefined;
  readonly user: string | undefined;
  readonly platform: string | undefined;
}
export interface ServiceNeeds extends ContainerNeeds {
  readonly aliases: readonly string[];
  readonly command: readonly string[] | undefined;
  readonly variables: Readonly<Record<string, string>>;
}

/** What executors that run images need of the job. */
export interface JobNeeds {
  readonly jobId: number;
  /** undefined = the configuration's own. */
  readonly image: ContainerNeeds | undefined;
  readonly services: readonly ServiceNeeds[];
  /** The job's variables as a service may see them: never a pass (R7). */
  readonly serviceEnvironment: Readonly<Record<string, string>>;
  /** For images in these registries, and nothing else (R8, A52); undefined = a server without passes. */
  readonly pulls: { readonly registries: readonly string[]; readonly username: string; readonly password: Secret } | undefined;
  /** A line of the trace. */
  say(text: string): void;
  readonly signal: AbortSignal;
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
  /** Commands are shown as they run (CI_DEBUG_TRACE). */
  readonly xtrace: boolean;
  /** Multi-line commands become sections with names that begin so (FF_SCRIPT_SECTIONS). */
  readonly sections: string | undefined;
}

export interface PrepareOptions {
  readonly entry: RunnerEntry;
  readonly slot: number;
  readonly projectPath: string;
  /** GIT_CLONE_PATH as it reads with this CI_BUILDS_DIR; undefined = `projectPath` below it. */
  readonly clonePath: (buildsDir: string) => string | undefined;
  /** Jobs with another key must not find this one's files (R15). */
  readonly trustKey: string;
  /** Marks the job's processes where its uid is not its own. */
  readonly cookie: string;
  readonly needs: JobNeeds;
}

/** A prepared place for one job. */
export interface Workspace {
  readonly place: BuildPlace;
  /** There is something new in `place`, which the next script is to find where it runs. */
  deliver?(): Promise<void>;
  /** Brings what scripts made to `place`, where they ran elsewhere. */
  collect?(): Promise<void>;
  /** @throws not_found where what it would run in is gone */
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
  /** Refuses a configuration that it cannot serve, before any job. @throws invalid_input */
  check?(entry: RunnerEntry): void;
  /** Removes what jobs of a killed runner left behind. @returns their ids */
  cleanLeftovers?(entry: RunnerEntry): Promise<readonly number[]>;
  /** @throws unsupported, upstream_failed ({what: 'Image'} where an image is not to be had), invalid_input */
  prepare(options: PrepareOptions): Promise<Workspace>;
}

/** Names for `register`; the map itself is in `executors/index.ts`. */
export const executorNames: readonly string[] = ['shell', 'docker', 'ssh'];
