import type { AuditId, EpochMillis, JobId, PassId, PipelineId, ProjectId, UserId } from '../base/ids.ts';
import type { PassKind } from '../base/pass-token.ts';
import type { MaybeTx } from './tx.ts';

export type AuditOutcome = 'done' | 'failed' | 'refused' | 'cut' | 'unknown';

/** One decision (R10). `accesses` and `detail` are ids and names, never contents or secrets. */
export interface NewAuditRow {
  readonly at: EpochMillis;
  readonly decision: 'allow' | 'deny';
  readonly subject: 'pass' | 'job' | 'user' | 'runner' | 'anonymous' | 'system' | 'creators' | 'bridge';
  readonly passId: PassId | null;
  readonly passKind: PassKind | null;
  readonly jobId: JobId | null;
  readonly pipelineId: PipelineId | null;
  /** The project of the job that asked, else null. */
  readonly jobProjectId: ProjectId | null;
  readonly principals: readonly UserId[];
  /** `permission@kind:id` each, such as `code:push@project:7`. */
  readonly accesses: readonly string[];
  readonly door: string;
  /** The endpoint row, such as `GET /api/v4/projects/:id`. */
  readonly endpoint: string;
  /** Rule that decided, such as `R1`. */
  readonly rule: string;
  /** Why, in one sentence. */
  readonly reason: string;
  readonly requestId: string;
  /** Identical refusals within a second are one row. */
  readonly count: number;
}

export interface AuditRow extends NewAuditRow {
  readonly id: AuditId;
  readonly outcome: AuditOutcome | null;
  readonly outcomeAt: EpochMillis | null;
  readonly outcomeDetail: string | null;
}

export interface AuditQuery {
  readonly userId?: UserId;
  /** Project of the job, or a project that was asked for. */
  readonly projectId?: ProjectId;
  readonly jobId?: JobId;
  readonly decision?: 'allow' | 'deny';
  readonly afterId?: AuditId;
  readonly limit: number;
}

export interface AuditStore {
  /** Durable when it resolves; several calls of the same moment may share one commit. @throws audit_unavailable */
  append(row: NewAuditRow): Promise<AuditId>;
  /** Writes the outcome; may be batched. */
  settle(id: AuditId, outcome: AuditOutcome, detail: string | null, at: EpochMillis): Promise<void>;
  /** At start: allow rows without outcome become `unknown`. @returns how many. */
  settleUnknown(at: EpochMillis): Promise<number>;
  countForPass(tx: MaybeTx, pass: PassId): Promise<number>;
  /** Newest last. */
  query(query: AuditQuery): Promise<readonly AuditRow[]>;
}
