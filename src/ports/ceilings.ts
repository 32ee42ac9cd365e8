import type { EpochMillis, GroupId, ProjectId, UserId } from '../base/ids.ts';
import type { MaybeTx, Tx } from './tx.ts';

export type CeilingOwner =
  | { readonly kind: 'instance' }
  | { readonly kind: 'group'; readonly id: GroupId }
  | { readonly kind: 'project'; readonly id: ProjectId }
  | { readonly kind: 'user'; readonly id: UserId };

/** Ceilings as they were set; what they say is read by who asks, so that one that is damaged stays a ceiling (R4). */
export interface Ceilings {
  /** Whether there is any at all: most installations have none, and no request should pay for that. */
  any(tx: MaybeTx): Promise<boolean>;
  /** @returns the document, or undefined where none was ever set */
  of(tx: MaybeTx, owner: CeilingOwner): Promise<string | undefined>;
  /** null takes it away: the level above decides. */
  set(tx: Tx, owner: CeilingOwner, document: string | null, at: EpochMillis): Promise<void>;
}
