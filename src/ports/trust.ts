import type { EpochMillis, ProjectId, UserId } from '../base/ids.ts';
import type { MaybeTx, Tx } from './tx.ts';

/** Projects that a user allowed by name: on their protected refs it trusts who last pushed or merged (R3, A59). */
export interface TrustedProjects {
  has(tx: MaybeTx, user: UserId, project: ProjectId): Promise<boolean>;
  /** Oldest first. */
  list(tx: MaybeTx, user: UserId): Promise<readonly ProjectId[]>;
  add(tx: Tx, user: UserId, project: ProjectId, at: EpochMillis): Promise<void>;
  remove(tx: Tx, user: UserId, project: ProjectId): Promise<boolean>;
}
