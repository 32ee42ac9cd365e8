import type { EpochMillis, GroupId, ProjectId, UserId, VariableId } from '../base/ids.ts';
import type { Page, Paged } from '../base/page.ts';
import type { MaybeTx, Tx } from './tx.ts';

export type VariableOwner =
  | { readonly kind: 'instance' }
  | { readonly kind: 'group'; readonly id: GroupId }
  | { readonly kind: 'project'; readonly id: ProjectId };

/** A CI/CD variable as it is kept. */
export interface NewVariable {
  readonly key: string;
  /** The value, readable with this installation's key only. */
  readonly sealed: string;
  /** Of the value, for the owner's limit. */
  readonly sizeBytes: number;
  readonly type: 'env_var' | 'file';
  /** Only for jobs on protected refs. */
  readonly protected: boolean;
  /** Kept out of job logs. */
  readonly masked: boolean;
  /** Never shown again by the API; always masked, too. */
  readonly hidden: boolean;
  /** `$` in it stands for itself. */
  readonly raw: boolean;
  /** Environment that it is for: `*`, a name, or a name with `*` in it. */
  readonly environmentScope: string;
  readonly description: string | null;
  readonly createdAt: EpochMillis;
  /** Who set it last, and so steers the jobs that get it (R3); null = an administrator, whom everybody trusts. */
  readonly setBy: UserId | null;
}
export interface VariableRecord extends NewVariable {
  readonly id: VariableId;
  readonly owner: VariableOwner;
}
export type VariableChange = Partial<Omit<NewVariable, 'key' | 'hidden' | 'createdAt'>>;

/** Variables of the instance, of groups and of projects; a key stands once for each environment scope of its owner. */
export interface VariableStore {
  /** In the order in which they were made. */
  list(tx: MaybeTx, owner: VariableOwner, page: Page): Promise<Paged<VariableRecord>>;
  byKey(tx: MaybeTx, owner: VariableOwner, key: string): Promise<readonly VariableRecord[]>;
  /** How many there are, and how large their values are together. */
  tally(tx: MaybeTx, owner: VariableOwner): Promise<{ readonly count: number; readonly bytes: number }>;
  /** @throws conflict where the owner has the key for that scope */
  insert(tx: Tx, owner: VariableOwner, variable: NewVariable): Promise<VariableRecord>;
  /** @throws conflict where the owner has the key for the new scope; not_found where it is gone */
  change(tx: Tx, id: VariableId, change: VariableChange): Promise<VariableRecord>;
  remove(tx: Tx, id: VariableId): Promise<void>;
  /** Everything that a job of the project could be given: the instance's, then its groups' from the outermost inwards, then its own. */
  reaching(tx: MaybeTx, project: ProjectId): Promise<readonly VariableRecord[]>;
}
