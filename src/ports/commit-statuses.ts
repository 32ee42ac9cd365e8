import type { Branded, EpochMillis, PipelineId, ProjectId, UserId } from '../base/ids.ts';
import type { Page, Paged } from '../base/page.ts';
import type { JobStatus } from './jobs.ts';
import type { MaybeTx, Tx } from './tx.ts';

/** Counts for itself: a job may have the same number. */
export type CommitStatusId = Branded<number, 'CommitStatusId'>;

/** What another service may say of a commit. @see GitLab REST API, "Commits": "Set commit pipeline status" */
export const externalStates = ['pending', 'running', 'success', 'failed', 'canceled', 'skipped'] as const satisfies readonly JobStatus[];
export type ExternalState = (typeof externalStates)[number];

/** What another service said of a commit. It stands in a pipeline and counts for its status; no runner, pass or variable ever comes of it. */
export interface NewCommitStatus {
  readonly projectId: ProjectId;
  readonly pipelineId: PipelineId;
  readonly sha: string;
  readonly ref: string;
  readonly name: string;
  readonly state: ExternalState;
  readonly targetUrl: string | null;
  readonly description: string | null;
  /** In percent. */
  readonly coverage: number | null;
  readonly authorId: UserId;
  /** Everybody whose write it is: all principals of the passes that said it (R3). */
  readonly writers: readonly UserId[];
  readonly createdAt: EpochMillis;
  readonly startedAt: EpochMillis | null;
  readonly finishedAt: EpochMillis | null;
}
export interface CommitStatusRecord extends NewCommitStatus {
  readonly id: CommitStatusId;
}
export type CommitStatusChange = Partial<
  Pick<NewCommitStatus, 'state' | 'targetUrl' | 'description' | 'coverage' | 'writers' | 'startedAt' | 'finishedAt'>
>;

/** A job, or what another service said, as one line of what a commit's pipelines say. */
export interface StatusLine extends Pick<
  NewCommitStatus,
  'pipelineId' | 'sha' | 'ref' | 'name' | 'targetUrl' | 'description' | 'coverage' | 'createdAt' | 'startedAt' | 'finishedAt'
> {
  readonly kind: 'build' | 'bridge' | 'external';
  readonly id: number;
  readonly status: JobStatus;
  readonly allowFailure: boolean;
  readonly userId: UserId;
}
export interface StatusFilter {
  readonly ref?: string;
  readonly stage?: string;
  readonly name?: string;
  readonly pipelineId?: PipelineId;
  /** Also those that a later one of the same name replaced. */
  readonly all: boolean;
  /** `created` = as they were made. */
  readonly orderBy: 'created' | 'pipeline';
  readonly descending: boolean;
}

export interface CommitStatusStore {
  insert(tx: Tx, status: NewCommitStatus): Promise<CommitStatusRecord>;
  change(tx: Tx, id: CommitStatusId, change: CommitStatusChange): Promise<CommitStatusRecord>;
  /** Those of a pipeline that no later one of the same name replaced, oldest first. */
  ofPipeline(tx: MaybeTx, pipeline: PipelineId): Promise<readonly CommitStatusRecord[]>;
  /** A later one of its name takes their place. */
  replaceOthers(tx: Tx, by: CommitStatusRecord): Promise<void>;
  /** True where a job of the pipeline has that name. */
  nameOfJob(tx: MaybeTx, pipeline: PipelineId, name: string): Promise<boolean>;
  /** Those of a commit, replaced ones too. */
  count(tx: MaybeTx, project: ProjectId, sha: string): Promise<number>;
  /** Forgets the oldest of a commit that was replaced. @returns false where none was */
  forgetReplaced(tx: Tx, project: ProjectId, sha: string): Promise<boolean>;
  /** Ends what is pending or running. @returns how many */
  cancelOpen(tx: Tx, pipeline: PipelineId, at: EpochMillis): Promise<number>;
  /** Of all pipelines of the commit but child pipelines, jobs and others together. */
  list(tx: MaybeTx, project: ProjectId, sha: string, filter: StatusFilter, page: Page): Promise<Paged<StatusLine>>;
}
