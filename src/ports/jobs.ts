import type { Descending, TimeRanges } from '../base/listing.ts';
import type { Page, Paged } from '../base/page.ts';
import type {
  EnvironmentId,
  EpochMillis,
  GroupId,
  JobId,
  ManagerId,
  PassId,
  PipelineId,
  ProjectId,
  ResourceGroupId,
  RunnerId,
  SecretDigest,
  UserId,
} from '../base/ids.ts';
import type { FailureReason } from '../wire/runner.ts';
import type { EnvironmentAction } from './environments.ts';
import type { MergeRequestId } from './merge-requests.ts';
import type { MaybeTx, Tx } from './tx.ts';

export type { Page, Paged };

/**
 * GitLab's job states (the ones we have). `created` waits for earlier stages or needs, `scheduled` for its time, `waiting_for_resource` for
 * its resource group, `pending` for a runner (a bridge: for the server).
 */
export type JobStatus =
  | 'created'
  | 'waiting_for_resource'
  | 'pending'
  | 'running'
  | 'canceling'
  | 'success'
  | 'failed'
  | 'canceled'
  | 'skipped'
  | 'manual'
  | 'scheduled';
export type PipelineStatus = JobStatus;
/**
 * `pipeline` = a job of another project's pipeline triggered it, `parent_pipeline` = one of the same project. One that is `external` has no
 * jobs: it holds what another service said of a commit that had no pipeline.
 */
export type PipelineSource =
  | 'push'
  | 'api'
  | 'web'
  | 'trigger'
  | 'schedule'
  | 'pipeline'
  | 'parent_pipeline'
  | 'merge_request_event'
  | 'external';

export interface NewPipeline {
  readonly projectId: ProjectId;
  /** Short name: `main`, `v1.0`. */
  readonly ref: string;
  readonly tag: boolean;
  readonly sha: string;
  readonly beforeSha: string;
  readonly source: PipelineSource;
  readonly status: PipelineStatus;
  /** Who caused it. */
  readonly userId: UserId;
  /** Principals of the write or request that made it: [userId] for a person; all of a pass's for a pass (R3). */
  readonly creators: readonly UserId[];
  /** The job whose pass started it, else null (R5). */
  readonly parentJobId: JobId | null;
  /** That pass; null = none, or not known. */
  readonly passId?: PassId | null;
  readonly chainDepth: number;
  /** JSON: [{key, value}] given at creation. */
  readonly variables: readonly PipelineVariable[];
  /** Predefined variables that only its source knows (`CI_MERGE_REQUEST_IID` …), as they stood when it was made. */
  readonly sourceVariables?: Readonly<Record<string, string>>;
  /** What it was given for its file's `spec:inputs`. */
  readonly inputs?: Readonly<Record<string, unknown>>;
  /** The merge request that it runs for; null = none. */
  readonly mergeRequestId?: MergeRequestId | null;
  /** Why there are no jobs, for a pipeline that failed on its file. */
  readonly yamlErrors: string | null;
  readonly createdAt: EpochMillis;
  /** For people. */
  readonly name?: string | null;
  /** `workflow:auto_cancel`. */
  readonly autoCancel?: AutoCancel;
  /** Of a downstream pipeline: the job that triggered it, and where it stands below the others. */
  readonly upstream?: Upstream | null;
}
/** What ends a pipeline by itself. @see GitLab, CI/CD YAML syntax reference: `workflow:auto_cancel` */
export interface AutoCancel {
  readonly onNewCommit: 'conservative' | 'interruptible' | 'none';
  readonly onJobFailure: 'none' | 'all';
}
export interface Upstream {
  readonly jobId: JobId;
  /** The pipeline at the top of the tree. */
  readonly rootId: PipelineId;
  /** Downstream pipelines between the top and this one, itself included. */
  readonly hops: number;
  /** Of these, how many lie in a row in the same project (GitLab: child pipelines). */
  readonly childDepth: number;
  /** Not everybody behind it could be named: its jobs fetch their own project only (R3). */
  readonly unprovable: boolean;
}
export interface PipelineVariable {
  readonly key: string;
  readonly value: string;
}
export interface PipelineRecord extends Required<NewPipeline> {
  readonly id: PipelineId;
  /** Counts up in each project. */
  readonly iid: number;
  readonly updatedAt: EpochMillis;
  readonly startedAt: EpochMillis | null;
  readonly finishedAt: EpochMillis | null;
}

export interface NewJob {
  readonly pipelineId: PipelineId;
  readonly projectId: ProjectId;
  readonly name: string;
  readonly stage: string;
  readonly stageIndex: number;
  readonly status: JobStatus;
  readonly ref: string;
  readonly tag: boolean;
  readonly sha: string;
  /** Who started it: the pipeline's user, or who played or retried it. */
  readonly userId: UserId;
  readonly allowFailure: boolean;
  readonly when: 'on_success' | 'on_failure' | 'always' | 'manual' | 'delayed';
  readonly tags: readonly string[];
  readonly timeoutSeconds: number;
  /** The planned job (PlanJob of src/pipeline/plan.ts) as JSON text. */
  readonly plan: string;
  /** Names of jobs that it needs; null = all of earlier stages. */
  readonly needs: readonly { readonly job: string; readonly artifacts: boolean }[] | null;
  /** Set on a job that a retry replaced. */
  readonly retriedById: JobId | null;
  readonly createdAt: EpochMillis;
  /** A `bridge` triggers a pipeline; no runner ever has it. */
  readonly kind?: 'build' | 'bridge';
  /** A bridge that shows what its downstream pipeline does (`strategy: mirror`). */
  readonly mirrors?: boolean;
  /** Jobs of one project that share it run one at a time; null = none. */
  readonly resourceGroup?: string | null;
  /** Where it acts on what is deployed, and how. */
  readonly environmentId?: EnvironmentId | null;
  readonly environmentAction?: EnvironmentAction | null;
  /** Given by who played it, and by whom: they steer what it does (A56). */
  readonly variables?: readonly PipelineVariable[];
  readonly variablesBy?: UserId | null;
}
export interface JobRecord extends Required<NewJob> {
  readonly id: JobId;
  readonly runnerId: RunnerId | null;
  readonly tokenDigest: SecretDigest | null;
  readonly failureReason: FailureReason | BridgeFailure | null;
  readonly exitCode: number | null;
  readonly queuedAt: EpochMillis | null;
  readonly startedAt: EpochMillis | null;
  readonly finishedAt: EpochMillis | null;
  readonly cancelingSince: EpochMillis | null;
  /** Last word of the runner. */
  readonly contactAt: EpochMillis | null;
  readonly artifactsFile: string | null;
  readonly artifactsSizeBytes: number | null;
  readonly artifactsExpireAt: EpochMillis | null;
  /** The machine that runs it. */
  readonly managerId: ManagerId | null;
  /** In percent; null = its log does not say, or nobody asked (`coverage`). */
  readonly coverage: number | null;
  /** Variables of its dotenv report, for the jobs that depend on it. */
  readonly dotenv: readonly PipelineVariable[] | null;
  /** When a delayed job is due. */
  readonly scheduledAt: EpochMillis | null;
  readonly erasedAt: EpochMillis | null;
  /** What a bridge triggered. */
  readonly downstreamId: PipelineId | null;
  /** Why it failed before anybody ran it, for people. */
  readonly failureText: string | null;
  /** Jobs of other pipelines whose archives it was given when it was taken. */
  readonly remoteNeeds: readonly JobId[] | null;
}

/** Why a bridge triggered nothing. @see GitLab, CI/CD: failure reasons of jobs */
export type BridgeFailure =
  | 'downstream_bridge_project_not_found'
  | 'insufficient_bridge_permissions'
  | 'downstream_pipeline_creation_failed'
  | 'invalid_bridge_trigger'
  | 'reached_max_descendant_pipelines_depth'
  | 'reached_max_pipeline_hierarchy_size'
  | 'missing_dependency_failure';

/** A file that a job reported beside its archive (`artifacts:reports`); kept as it came. */
export interface JobReport {
  readonly jobId: JobId;
  /** `junit`, `dotenv` … */
  readonly type: string;
  readonly format: 'raw' | 'gzip' | 'zip';
  readonly filename: string;
  readonly sizeBytes: number;
  readonly expireAt: EpochMillis | null;
}

export type JobChange = Partial<
  Pick<
    JobRecord,
    | 'status'
    | 'userId'
    | 'runnerId'
    | 'tokenDigest'
    | 'failureReason'
    | 'exitCode'
    | 'queuedAt'
    | 'startedAt'
    | 'finishedAt'
    | 'cancelingSince'
    | 'contactAt'
    | 'artifactsFile'
    | 'artifactsSizeBytes'
    | 'artifactsExpireAt'
    | 'managerId'
    | 'dotenv'
    | 'coverage'
    | 'retriedById'
    | 'variables'
    | 'variablesBy'
    | 'scheduledAt'
    | 'erasedAt'
    | 'downstreamId'
    | 'failureText'
    | 'remoteNeeds'
  >
>;
export type PipelineChange = Partial<Pick<PipelineRecord, 'status' | 'updatedAt' | 'startedAt' | 'finishedAt' | 'yamlErrors' | 'name'>>;

/**
 * Which of the jobs that wait for a resource gets it: any; or by the age of their pipelines, where `ready` looks only at those that wait
 * already. @see GitLab, "Resource group": process modes
 */
export type ProcessMode = 'unordered' | 'oldest_first' | 'newest_first' | 'newest_ready_first';
export interface ResourceGroup {
  readonly id: ResourceGroupId;
  readonly projectId: ProjectId;
  readonly key: string;
  readonly processMode: ProcessMode;
  /** The one job that has it. */
  readonly holderId: JobId | null;
  readonly createdAt: EpochMillis;
}

/** What a runner may be given: its scope and tags. */
export interface ClaimFilter {
  readonly runnerId: RunnerId;
  /** undefined = every project (instance runner). */
  readonly projectIds?: readonly ProjectId[];
  /** Projects of this group and those below it, alone (group runner). */
  readonly groupId?: GroupId;
  readonly tags: readonly string[];
  readonly runUntagged: boolean;
  /** True: only jobs on protected refs; the caller decides with `isProtected`. */
  readonly protectedOnly: boolean;
}

/** What decides which runner may have a job. */
export type WaitingJob = Pick<JobRecord, 'id' | 'projectId' | 'ref' | 'tag' | 'tags'>;

export interface PipelineFilter extends TimeRanges, Descending {
  readonly ref?: string;
  readonly sha?: string;
  readonly status?: PipelineStatus;
  /** Left out: all but child pipelines. */
  readonly source?: PipelineSource;
  readonly name?: string;
  readonly userId?: UserId;
  /** `id` where it is left out; what is equal comes by its id. */
  readonly orderBy?: 'id' | 'status' | 'ref' | 'updatedAt' | 'userId';
}

export interface JobStore {
  insertPipeline(tx: Tx, pipeline: NewPipeline): Promise<PipelineRecord>;
  insertJobs(tx: Tx, jobs: readonly NewJob[]): Promise<readonly JobRecord[]>;
  pipeline(tx: MaybeTx, id: PipelineId): Promise<PipelineRecord | undefined>;
  /** In a transaction: locks the pipeline's row, so that its jobs move one change at a time. */
  lockPipeline(tx: Tx, id: PipelineId): Promise<PipelineRecord | undefined>;
  job(tx: MaybeTx, id: JobId): Promise<JobRecord | undefined>;
  jobsOfPipeline(tx: MaybeTx, id: PipelineId): Promise<readonly JobRecord[]>;
  /** Every job of a project, with the types of the reports that it has. */
  reportTypesOf(tx: MaybeTx, project: ProjectId): Promise<ReadonlyMap<JobId, readonly string[]>>;
  /** Pipelines that run for a merge request, newest first. */
  ofMergeRequest(tx: MaybeTx, id: MergeRequestId, limit: number): Promise<readonly PipelineRecord[]>;
  listPipelines(tx: MaybeTx, project: ProjectId, filter: PipelineFilter, page: Page): Promise<Paged<PipelineRecord>>;
  /** Builds, newest first; `statuses` empty = all. */
  listJobs(tx: MaybeTx, project: ProjectId, statuses: readonly JobStatus[], page: Page): Promise<Paged<JobRecord>>;
  /** Oldest pending jobs that match; in a transaction locked (PostgreSQL: skip locked), else as last committed. */
  claimCandidates(tx: MaybeTx, filter: ClaimFilter, limit: number): Promise<readonly JobRecord[]>;
  /** The oldest pending jobs, of all projects unless some or a group are named, as last committed; those behind the job `after`. */
  waiting(
    tx: MaybeTx,
    limit: number,
    from?: Pick<ClaimFilter, 'projectIds' | 'groupId'> & { readonly after?: JobId | undefined },
  ): Promise<readonly WaitingJob[]>;
  /** Its failure is forgiven (`allow_failure:exit_codes`). */
  forgive(tx: Tx, id: JobId): Promise<void>;
  /** The mean of its jobs', in percent; null where none has any. */
  coverageOf(tx: MaybeTx, pipeline: PipelineId): Promise<number | null>;
  /** Compare and set: changes the job only while its status is one of `from`. @returns false where it was not. */
  changeJob(tx: Tx, id: JobId, from: readonly JobStatus[], change: JobChange): Promise<boolean>;
  changePipeline(tx: Tx, id: PipelineId, change: PipelineChange): Promise<void>;
  /** Keeps a report; the first of its type stays. @returns false where there was one */
  insertReport(tx: Tx, report: JobReport): Promise<boolean>;
  reportsOf(tx: MaybeTx, job: JobId): Promise<readonly JobReport[]>;
  removeReport(tx: Tx, job: JobId, type: string): Promise<void>;
  /** Ended jobs whose archive, and reports whose file, should be gone by `now`; at most `limit` each. */
  expired(
    tx: MaybeTx,
    now: EpochMillis,
    limit: number,
  ): Promise<{ readonly archives: readonly JobId[]; readonly reports: readonly JobReport[] }>;
  /** Forgets archives that were removed. */
  forgetArchive(tx: Tx, job: JobId): Promise<void>;
  /** Jobs that a runner has taken and not yet ended. */
  runningOn(tx: MaybeTx, runner: RunnerId): Promise<readonly JobId[]>;
  /**
   * Running and canceling jobs whose runner was last heard before `before`, whose canceling began before `cancelBefore`, or whose timeout
   * ended before `timeoutBefore`.
   */
  staleJobs(tx: MaybeTx, before: EpochMillis, cancelBefore: EpochMillis, timeoutBefore: EpochMillis): Promise<readonly JobRecord[]>;
}

/** Parent link kept for R5's chains. */
export interface ParentJob {
  readonly jobId: JobId;
  readonly passId: PassId;
}
