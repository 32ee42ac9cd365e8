import type { ProjectId, UserId } from '../base/ids.ts';
import type { Exposure } from '../wire/runner.ts';
import type { MaybeTx, Tx } from './tx.ts';

export type BoundOwner = { readonly kind: 'project'; readonly id: ProjectId } | { readonly kind: 'user'; readonly id: UserId };

/** How much of their pass jobs of a project, or jobs that a user starts, may see at most (R7). Ours, also where the forge is another's. */
export interface ExposureBounds {
  /** @returns null where nothing was set: the level above decides. An unreadable value reads `withhold` (R13). */
  of(tx: MaybeTx, owner: BoundOwner): Promise<Exposure | null>;
  set(tx: Tx, owner: BoundOwner, maximum: Exposure | null): Promise<void>;
}
