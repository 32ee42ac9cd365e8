import type { InputArguments } from './inputs.ts';

/** What a `.gitlab-ci.yml` comes to for one pipeline: plain data, kept as JSON with each job. */
export interface Plan {
  readonly stages: readonly string[];
  /** `workflow:name`, variables put in. */
  readonly name?: string;
  /** Global variables of the file. */
  readonly variables: Readonly<Record<string, string>>;
  /** Those of them in which `$` stands for itself (`expand: false`). */
  readonly rawVariables?: readonly string[];
  readonly autoCancel?: Partial<PlanAutoCancel>;
  readonly jobs: readonly PlanJob[];
}

/** What ends the pipeline by itself. */
export interface PlanAutoCancel {
  readonly onNewCommit: 'conservative' | 'interruptible' | 'none';
  readonly onJobFailure: 'none' | 'all';
}

/** Texts may hold variables. */
export type PlanRemoteNeed =
  | { readonly project: string; readonly ref: string; readonly job: string }
  | { readonly pipeline: string; readonly job: string };
export interface PlanEnvironment {
  readonly name: string;
  readonly action: 'start' | 'prepare' | 'stop' | 'verify' | 'access';
  /** The job that stops it. */
  readonly onStop?: string;
  /** How long after the job it is stopped by itself, with its variables put in. */
  readonly autoStopIn?: string;
  readonly url?: string;
  /** Left out: guessed from the name. */
  readonly tier?: 'production' | 'staging' | 'testing' | 'development' | 'other';
}
/** What a bridge triggers; its texts may hold variables. */
export interface PlanTrigger {
  /** Path of another project. */
  readonly project?: string;
  /** Left out: its default branch. */
  readonly branch?: string;
  /** The file of a child pipeline in the own project. */
  readonly include?: readonly TriggerInclude[];
  /** For the `spec:inputs` of the other project's file. */
  readonly inputs?: InputArguments;
  /** The bridge ends as its downstream pipeline does, else as soon as there is one; of a skipped pipeline `depend` makes a failure. */
  readonly strategy?: 'depend' | 'mirror';
  readonly forward: { readonly yamlVariables: boolean; readonly pipelineVariables: boolean };
}
export type TriggerInclude = { /** For the file's `spec:inputs`. */ readonly inputs?: InputArguments } & (
  | { readonly local: string }
  | { readonly project: string; readonly file: string; readonly ref?: string }
  | { readonly artifact: string; readonly job: string }
);

export interface PlanJob {
  readonly name: string;
  readonly stage: string;
  readonly stageIndex: number;
  readonly script: readonly string[];
  readonly beforeScript: readonly string[];
  readonly afterScript: readonly string[];
  readonly image?: PlanImage;
  readonly services?: readonly PlanService[];
  /** The job's own, and those of the rule that matched. */
  readonly variables: Readonly<Record<string, string>>;
  /** Those of them in which `$` stands for itself (`expand: false`). */
  readonly rawVariables?: readonly string[];
  /** undefined = everything of earlier stages. */
  readonly needs?: readonly { readonly job: string; readonly artifacts: boolean }[];
  /** Jobs whose artifacts are fetched; undefined = all that it waits for. */
  readonly dependencies?: readonly string[];
  readonly artifacts?: PlanArtifacts;
  readonly when: 'on_success' | 'on_failure' | 'always' | 'manual' | 'delayed';
  /** Artifacts of jobs of other pipelines. */
  readonly remoteNeeds?: readonly PlanRemoteNeed[];
  /** Where it deploys to; the name with its variables put in, the URL as it was written. */
  readonly environment?: PlanEnvironment;
  /** It is a bridge that shows the newest pipeline of that project's default branch; a name alone is of the own namespace. */
  readonly upstreamProject?: string;
  /** It is a bridge: no script, no runner. */
  readonly trigger?: PlanTrigger;
  /** How long a delayed job waits. */
  readonly startInSeconds?: number;
  /** What a page asks before it plays a manual job. */
  readonly manualConfirmation?: string;
  /** May be canceled where a newer commit makes it redundant. */
  readonly interruptible?: boolean;
  /** Of those of a project that share it one runs at a time; variables are put in. */
  readonly resourceGroup?: string;
  readonly allowFailure: boolean;
  readonly allowFailureExitCodes: readonly number[];
  readonly tags: readonly string[];
  readonly timeoutSeconds?: number;
  /** Which of the file's variables it takes: `inherit:variables`; undefined = all. */
  readonly inheritVariables?: boolean | readonly string[];
  readonly caches?: readonly PlanCache[];
  readonly hooks?: { readonly preGetSources: readonly string[] };
  /** Name of the variable → audience. */
  readonly idTokens?: Readonly<Record<string, string | readonly string[]>>;
  readonly release?: PlanRelease;
  /** A regular expression (RE2) that finds the coverage in the trace. */
  readonly coverage?: string;
  /** How often a failed job is made anew, and after which failures (`always`, or GitLab's reasons). */
  readonly retry?: { readonly max: number; readonly when: readonly string[]; readonly exitCodes?: readonly number[] };
}
/** A file's key: the text, or files that it stands for, by content or by the last commit that changed them. Variables as they were written. */
export interface PlanCache {
  readonly key: string | { readonly by: 'files' | 'files_commits'; readonly files: readonly string[]; readonly prefix: string };
  readonly paths: readonly string[];
  readonly untracked: boolean;
  readonly policy: 'pull-push' | 'pull' | 'push';
  readonly when: 'on_success' | 'on_failure' | 'always';
  readonly fallbackKeys: readonly string[];
}
/** Variables as they were written. */
export interface PlanRelease {
  readonly tagName: string;
  readonly tagMessage?: string;
  readonly name?: string;
  /** The text, or the path of a file with it. */
  readonly description: string;
  readonly ref?: string;
  readonly releasedAt?: string;
  readonly links: readonly {
    readonly name: string;
    readonly url: string;
    readonly filepath?: string;
    readonly linkType: 'other' | 'runbook' | 'image' | 'package';
  }[];
}
export interface PlanImage {
  readonly name: string;
  readonly entrypoint?: readonly string[];
  readonly pullPolicy?: readonly string[];
  readonly docker?: { readonly user?: string; readonly platform?: string };
  /** For gitlab-runner's Kubernetes executor; the others pass it over, as there. */
  readonly kubernetes?: { readonly user: string };
}
export interface PlanService extends PlanImage {
  /** Names on the job's network, with spaces or commas between; empty = after the image. */
  readonly alias: string;
  readonly command?: readonly string[];
  readonly variables?: Readonly<Record<string, string>>;
}
export interface PlanArtifacts {
  readonly paths: readonly string[];
  readonly exclude: readonly string[];
  readonly name?: string;
  readonly expireIn?: string;
  readonly when: 'on_success' | 'on_failure' | 'always';
  readonly untracked: boolean;
  /** Who may fetch the archive over the API; undefined = whoever sees the job. Jobs that depend on it always do. */
  readonly access?: 'developer' | 'maintainer' | 'none';
  /** `artifacts:reports`: type → paths. */
  readonly reports?: Readonly<Record<string, readonly string[]>>;
}

/** Where something stands. */
export interface CiPlace {
  /** Counts from 1. */
  readonly line?: number;
  /** An included file's name; left out for the file that the pipeline begins with. */
  readonly file?: string;
}

/** A mistake in the file, for people. */
export interface CiError extends CiPlace {
  readonly message: string;
}

/** `line 7: job build: …`, `ci/build.yml: line 7: …` */
export function errorText({ file, line, message }: CiError): string {
  return `${file === undefined ? '' : `${file}: `}${line === undefined ? '' : `line ${line}: `}${message}`;
}
