import type { EpochMillis, JobId, PipelineId, ProjectId, RunnerId, SecretDigest, TokenId, UserId } from '../base/ids.ts';
import type { MaybeTx, Tx } from './tx.ts';

/** A personal access token as stored; scopes are GitLab's (`api`, `read_api`, `read_repository`, `write_repository`). */
export interface PersonalToken {
  readonly id: TokenId;
  readonly userId: UserId;
  readonly name: string;
  readonly scopes: readonly string[];
  readonly createdAt: EpochMillis;
  readonly lastUsedAt: EpochMillis | null;
  readonly expiresAt: EpochMillis | null;
  readonly revokedAt: EpochMillis | null;
}

/** What an ordinary job token stands for. */
export interface JobTokenFacts {
  readonly jobId: JobId;
  readonly projectId: ProjectId;
  readonly pipelineId: PipelineId;
  readonly userId: UserId;
}

/** Look-up of stored secrets by digest; the only thing that `authenticate` asks beside passes. */
export interface Credentials {
  personalToken(tx: MaybeTx, digest: SecretDigest): Promise<PersonalToken | undefined>;
  /** Any job whose token this is, whatever its state: liveness is asked separately. */
  jobToken(tx: MaybeTx, digest: SecretDigest): Promise<JobTokenFacts | undefined>;
  runnerToken(tx: MaybeTx, digest: SecretDigest): Promise<RunnerId | undefined>;
  /** Remembers use, at most once a minute. */
  touchPersonalToken(tx: Tx, id: TokenId, at: EpochMillis): Promise<void>;
}
