import type { MaybeTx, Tx } from './tx.ts';

/** Small facts about the instance that outlive a start. */
export interface Settings {
  get(tx: MaybeTx, key: string): Promise<string | undefined>;
  set(tx: Tx, key: string, value: string): Promise<void>;
}
