declare const txBrand: unique symbol;

/** An open write transaction. Opaque: only the store that made it can read it. Never wait for anything but SQL while one is open. */
export interface Tx {
  readonly [txBrand]: true;
}

/** First argument of every read: a transaction to read inside of, or null for the last committed state. */
export type MaybeTx = Tx | null;

/** Runs work in one atomic, durable transaction (SQLite: BEGIN IMMEDIATE, synchronous=FULL; PostgreSQL: READ COMMITTED with row locks). */
export interface Transactor {
  /**
   * Commits when `work` resolves, rolls back when it rejects (and rejects with the same error).
   * @throws store_unavailable
   */
  write<Result>(work: (tx: Tx) => Promise<Result>): Promise<Result>;
}
