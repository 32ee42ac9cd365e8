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

/** A registration token: its holder may register runners of that scope as far as who made it may. */
export interface RegistrationFacts {
  readonly id: TokenId;
  readonly scope: 'instance' | 'group' | 'project';
  readonly scopeId: number | null;
  readonly userId: UserId;
}

/** Look-up of stored secrets by digest; the only thing that `authenticate` asks beside passes. */
export interface Credentials {
  personalToken(tx: MaybeTx, digest: SecretDigest): Promise<PersonalToken | undefined>;
  /** Any job whose token this is, whatever its state: liveness is asked separately. */
  jobToken(tx: MaybeTx, digest: SecretDigest): Promise<JobTokenFacts | undefined>;
  /** @param now its token may have run out */
  runnerToken(tx: MaybeTx, digest: SecretDigest, now?: EpochMillis): Promise<RunnerId | undefined>;
  registrationToken(tx: MaybeTx, digest: SecretDigest): Promise<RegistrationFacts | undefined>;
  /** Remembers use, at most once a minute. */
  touchPersonalToken(tx: Tx, id: TokenId, at: EpochMillis): Promise<void>;
}
