import { type Kysely, type Transaction, sql } from 'kysely';
import { isJobpassError, JobpassError } from '../base/errors.ts';
import type { MaybeTx, Transactor, Tx } from '../ports/tx.ts';
import type { Schema } from './schema.ts';

/** What the engines do differently, as flags instead of scattered questions. */
export interface Engine {
  readonly name: 'sqlite' | 'postgres';
  /** Rows are locked one by one (`for update`); otherwise one writer at a time makes that needless. */
  readonly rowLocks: boolean;
}

/** What statements run on: a transaction, or the last committed state. */
export type Connection = Kysely<Schema> | Transaction<Schema>;

/** What an engine opens: reads outside of a transaction have connections of their own. */
export interface Connections {
  readonly writer: Kysely<Schema>;
  readonly reader: Kysely<Schema>;
}

/** The store's connections, and the one way to write. */
export class Database implements Transactor {
  readonly engine: Engine;
  readonly #writer: Kysely<Schema>;
  readonly #reader: Kysely<Schema>;

  constructor(engine: Engine, { writer, reader }: Connections) {
    this.engine = engine;
    this.#writer = writer;
    this.#reader = reader;
  }

  /** The transaction, or the last committed state for null. */
  on(tx: MaybeTx): Connection {
    return tx === null ? this.#reader : (tx as unknown as Transaction<Schema>);
  }

  async write<Result>(work: (tx: Tx) => Promise<Result>): Promise<Result> {
    try {
      return await this.#writer.transaction().execute((tx) => work(tx as unknown as Tx));
    } catch (error) {
      throw outward(error);
    }
  }

  /** Asks for one row, from the connection that writes. @throws store_unavailable */
  async ping(): Promise<void> {
    try {
      await sql`select 1`.execute(this.#writer);
    } catch (error) {
      throw outward(error);
    }
  }

  async close(): Promise<void> {
    await this.#reader.destroy();
    await this.#writer.destroy();
  }
}

/** Engine errors become ours; nothing of SQL reaches a caller. */
function outward(error: unknown): unknown {
  if (isJobpassError(error)) return error;
  if (isUniqueViolation(error)) return new JobpassError('conflict', {}, error);
  const code = codeOf(error);
  const engine = /^(?:SQLITE|ERR_SQLITE|ECONN|CONNECTION|CONNECT_TIMEOUT|EPIPE|ENOTFOUND)/.test(code) || /^[0-9A-Z]{5}$/.test(code);
  return engine ? new JobpassError('store_unavailable', {}, error) : error;
}

/** True where a unique constraint refused a row, on either engine. */
export function isUniqueViolation(error: unknown): boolean {
  return codeOf(error) === '23505' || (error instanceof Error && /UNIQUE constraint failed/.test(error.message));
}

function codeOf(error: unknown): string {
  return typeof error === 'object' && error !== null && 'code' in error && typeof error.code === 'string' ? error.code : '';
}

/** A list that the store itself wrote as JSON. */
export function readJson<Value>(text: string): Value {
  return JSON.parse(text) as Value;
}

/** Kysely's `like` with the user's own `%`, `_` and `\` taken literally. */
export function likePattern(part: string): string {
  return `%${part.toLowerCase().replaceAll(/[\\%_]/g, '\\$&')}%`;
}
