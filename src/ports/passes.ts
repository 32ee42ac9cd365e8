import type { EpochMillis, GroupId, JobId, PassId, PipelineId, ProjectId, SecretDigest, UserId } from '../base/ids.ts';
import type { PassKind } from '../base/pass-token.ts';
import type { MaybeTx, Tx } from './tx.ts';

/** Why a user is a principal of a pass (R3). */
export type PrincipalReason =
  | 'starter'
  | 'pipeline_creator'
  | 'ancestor'
  | 'pusher'
  | 'include'
  | 'artifact'
  | 'runner_owner'
  | 'last_merger'
  | 'kept_variable'
  | 'write_by_pass';

export interface PassPrincipal {
  readonly userId: UserId;
  readonly reason: PrincipalReason;
}

/** A ceiling that a pass carries itself. */
export interface PassLimit {
  /** `the job`, `its parent`. */
  readonly by: string;
  readonly permissions: readonly string[];
  readonly places: { readonly projectIds: readonly ProjectId[]; readonly groupIds: readonly GroupId[] } | null;
  readonly rule: 'R4' | 'R9';
}

export interface NewPass {
  readonly kind: PassKind;
  readonly digest: SecretDigest;
  readonly jobId: JobId;
  readonly pipelineId: PipelineId;
  /** The job's own project. */
  readonly projectId: ProjectId;
  /** The job's commit: always fetchable from the own project (R3). */
  readonly sha: string;
  readonly parentId: PassId | null;
  /** Ordered; the first started the job. */
  readonly principals: readonly PassPrincipal[];
  /** True where principals were more than the limit or could not be proven: then only fetching the own project is left (R3). */
  readonly ownProjectOnly: boolean;
  /** How deep in a chain of jobs started by passes its job stands; 0 = started by a person or a schedule (R5). */
  readonly chainDepth: number;
  /** What it may do at most, whatever else would allow: of the job, and of each parent (R4, R9). None where it is left out. */
  readonly limits?: readonly PassLimit[];
  readonly issuedAt: EpochMillis;
  readonly expiresAt: EpochMillis;
}

export interface PassRecord extends NewPass {
  readonly id: PassId;
  readonly revokedAt: EpochMillis | null;
  readonly revokedReason: string | null;
}

/** How alive the job behind a pass is right now (R2). */
export interface JobLife {
  readonly state: 'waiting' | 'running' | 'canceling' | 'ended';
  /** When it went to canceling, else null. */
  readonly cancelingSince: EpochMillis | null;
  /** Last word from its runner. */
  readonly contactAt: EpochMillis;
}

export interface PassStore {
  insert(tx: Tx, pass: NewPass): Promise<PassId>;
  byDigest(tx: MaybeTx, digest: SecretDigest): Promise<PassRecord | undefined>;
  byId(tx: MaybeTx, id: PassId): Promise<PassRecord | undefined>;
  forJob(tx: MaybeTx, job: JobId): Promise<readonly PassRecord[]>;
  /** Marks one pass and all its children revoked; keeps the first reason. @returns those that were still alive */
  revoke(tx: Tx, id: PassId, reason: string, at: EpochMillis): Promise<readonly PassId[]>;
  revokeForJob(tx: Tx, job: JobId, reason: string, at: EpochMillis): Promise<number>;
}

/** Asked on every request and again at the moment of every effect; no answer means no. */
export interface Liveness {
  /**
   * Inside a transaction the job's row is locked against a change of state until it ends (R2).
   * @returns undefined = the job is unknown; `unanswered` = who knows did not say in time
   */
  jobLife(tx: MaybeTx, job: JobId): Promise<JobLife | 'unanswered' | undefined>;
}
