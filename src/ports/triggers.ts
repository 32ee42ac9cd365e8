import type { EpochMillis, ProjectId, SecretDigest, TokenId, UserId } from '../base/ids.ts';
import type { Page, Paged } from '../base/page.ts';
import type { MaybeTx, Tx } from './tx.ts';

export interface NewTrigger {
  readonly projectId: ProjectId;
  readonly description: string;
  readonly digest: SecretDigest;
  /** In whose name it starts pipelines. */
  readonly ownerId: UserId;
  readonly createdAt: EpochMillis;
  readonly expiresAt: EpochMillis | null;
}
export interface TriggerRecord extends Omit<NewTrigger, 'digest'> {
  readonly id: TokenId;
  readonly lastUsedAt: EpochMillis | null;
}

/** Trigger tokens (`glptt-`), by digest. */
export interface TriggerStore {
  insert(tx: Tx, trigger: NewTrigger): Promise<TriggerRecord>;
  byId(tx: MaybeTx, id: TokenId): Promise<TriggerRecord | undefined>;
  byDigest(tx: MaybeTx, digest: SecretDigest): Promise<TriggerRecord | undefined>;
  /** Oldest first. */
  list(tx: MaybeTx, project: ProjectId, page: Page): Promise<Paged<TriggerRecord>>;
  change(tx: Tx, id: TokenId, change: Partial<Pick<TriggerRecord, 'description' | 'lastUsedAt'>>): Promise<void>;
  remove(tx: Tx, id: TokenId): Promise<void>;
}
