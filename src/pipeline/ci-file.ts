import type { Inherit } from './defaults.ts';
import type { Expression } from './expression.ts';
import type { Fields } from './fields.ts';
import type { Instance } from './parallel.ts';
import type { Policy } from './policy.ts';
import type {
  CiError,
  CiPlace,
  PlanArtifacts,
  PlanAutoCancel,
  PlanCache,
  PlanEnvironment,
  PlanImage,
  PlanJob,
  PlanRemoteNeed,
  PlanService,
  PlanTrigger,
} from './plan.ts';

export interface CiRule {
  readonly if?: Expression;
  /** Patterns of files; one that changed is enough. @see rule-facts.ts */
  readonly changes?: { readonly paths: readonly string[]; readonly compareTo?: string };
  /** Patterns of files; one that is there is enough. */
  readonly exists?: {
    readonly paths: readonly string[];
    /** Of another project, at its default branch or a ref. */ readonly project?: string;
    readonly ref?: string;
  };
  readonly when?: 'on_success' | 'on_failure' | 'always' | 'manual' | 'delayed' | 'never';
  readonly startInSeconds?: number;
  readonly interruptible?: boolean;
  /** Of a rule of the workflow. */
  readonly autoCancel?: Partial<PlanAutoCancel>;
  readonly allowFailure?: boolean;
  readonly variables: Readonly<Record<string, string>>;
  readonly rawVariables?: readonly string[];
  /** In place of the job's. */
  readonly needs?: readonly CiNeed[];
}

export interface CiWorkflow {
  /** The pipeline's name, variables not put in. */
  readonly name?: string;
  /** The first that matches says whether there is a pipeline; undefined = there is. */
  readonly rules?: readonly CiRule[];
}

/** As it was written: its policy may hold variables. */
export type CiCache = Omit<PlanCache, 'policy'> & { readonly policy: string };

/** Keywords that stand the same in a job, in `default` and (the older ones) at the top. What `PlanJob` has by the same name gets there as it is. */
export interface CiDefaults {
  readonly image?: PlanImage;
  readonly services?: readonly PlanService[];
  readonly beforeScript?: readonly string[];
  readonly afterScript?: readonly string[];
  readonly tags?: readonly string[];
  readonly timeoutSeconds?: number;
  readonly artifacts?: PlanArtifacts;
  readonly retry?: NonNullable<PlanJob['retry']>;
  readonly interruptible?: boolean;
  readonly caches?: readonly CiCache[];
  readonly hooks?: NonNullable<PlanJob['hooks']>;
  readonly idTokens?: NonNullable<PlanJob['idTokens']>;
}

/** `instances`: those of a parallel job; gone once they are put in. */
export interface CiNeed {
  readonly job: string;
  readonly artifacts: boolean;
  readonly optional: boolean;
  readonly instances?: readonly Instance[];
}

/** As it was written: variables may stand in any text. */
export type CiEnvironment = Omit<PlanEnvironment, 'tier'> & { readonly tier?: string };

/** A job as it was written. What `PlanJob` has by the same name gets there as it is. */
export interface CiJob extends CiDefaults {
  readonly name: string;
  /** Where its name stands. */
  readonly place: CiPlace;
  readonly stage: string;
  readonly script: readonly string[];
  readonly variables: Readonly<Record<string, string>>;
  /** Those of them with `expand: false`. */
  readonly rawVariables?: readonly string[];
  readonly needs?: readonly CiNeed[];
  readonly dependencies?: readonly string[];
  readonly rules?: readonly CiRule[];
  /** In place of `rules`. */
  readonly only?: Policy;
  readonly except?: Policy;
  readonly when?: CiRule['when'];
  readonly startInSeconds?: number;
  readonly manualConfirmation?: string;
  readonly trigger?: PlanTrigger;
  readonly environment?: CiEnvironment;
  readonly remoteNeeds?: readonly PlanRemoteNeed[];
  readonly upstreamProject?: string;
  /** With its variables as they were written. */
  readonly resourceGroup?: string;
  readonly allowFailure?: boolean;
  readonly allowFailureExitCodes: readonly number[];
  readonly release?: NonNullable<PlanJob['release']>;
  readonly coverage?: string;
  readonly inherit?: Inherit;
  /** Gone once each has its own job. */
  readonly parallel?: readonly Instance[];
}

/** A `.gitlab-ci.yml`, checked keyword by keyword. */
export interface CiFile {
  readonly stages: readonly string[];
  readonly variables: Readonly<Record<string, string>>;
  /** Those of them with `expand: false`. */
  readonly rawVariables?: readonly string[];
  readonly defaults: CiDefaults;
  readonly workflow?: CiWorkflow;
  readonly autoCancel?: Partial<PlanAutoCancel>;
  readonly jobs: readonly CiJob[];
}
export type ParsedCiFile =
  | {
      readonly ok: true;
      readonly file: CiFile;
      /** With everything put in that it includes, extends and refers to. */ readonly root: Fields;
    }
  | { readonly ok: false; readonly errors: readonly CiError[]; readonly root?: Fields };
