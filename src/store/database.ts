import { type Compilable, type CompiledQuery, type Kysely, type Transaction, sql } from 'kysely';
import { isJobpassError, JobpassError } from '../base/errors.ts';
import { type Log, silentLog } from '../base/log.ts';
import type { MaybeTx, Transactor, Tx } from '../ports/tx.ts';
import type { Schema } from './schema.ts';

/** What the engines do differently, as flags instead of scattered questions. */
export interface Engine {
  readonly name: 'sqlite' | 'postgres';
  /** Rows are locked one by one (`for update`); otherwise one writer at a time makes that needless. */
  readonly rowLocks: boolean;
  /** What is committed can be told to other processes at once. */
  readonly notifies: boolean;
}

/** What statements run on: a transaction, or the last committed state. */
export type Connection = Kysely<Schema> | Transaction<Schema>;

/** What an engine opens: reads outside of a transaction have connections of their own. */
export interface Connections {
  readonly writer: Kysely<Schema>;
  readonly reader: Kysely<Schema>;
  /** Runs SQL at once on the same two connections, where the engine is part of this process. */
  readonly direct?: { readonly writer: RunSql; readonly reader: RunSql };
}

/** @returns the rows; none for a statement that answers none */
export type RunSql = (text: string, parameters: readonly unknown[]) => readonly unknown[];

/** Stands in a query that is being built for a value that comes with each call. */
class Slot {
  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }
}

/** The store's connections, and the one way to write. */
export class Database implements Transactor {
  readonly engine: Engine;
  readonly #writer: Kysely<Schema>;
  readonly #reader: Kysely<Schema>;
  readonly #direct: Connections['direct'];
  /** Transactions that are open, or about to end. */
  #open = 0;
  /** The last write was not taken. */
  #failing = false;
  readonly #log: Log;

  /** @param log hears once that writes are not taken any more, why, and once that they are again */
  constructor(engine: Engine, { writer, reader, direct }: Connections, log: Log = silentLog) {
    this.engine = engine;
    this.#log = log;
    this.#writer = writer;
    this.#reader = reader;
    this.#direct = direct;
  }

  /** The transaction, or the last committed state for null. */
  on(tx: MaybeTx): Connection {
    return tx === null ? this.#reader : (tx as unknown as Transaction<Schema>);
  }

  /**
   * A statement that every request runs: built and compiled once, which is most of what a short one costs.
   * @param names of the values that come with each call; the query has the same ones each time, so no list of changing length is among them
   */
  prepared<Values extends object, Row>(
    names: readonly (keyof Values & string)[],
    build: (on: Connection, values: Values) => Compilable<Row>,
  ): (tx: MaybeTx, values: Values) => Promise<readonly Row[]> {
    let compiled: CompiledQuery<Row> | undefined;
    return async (tx, values) => {
      compiled ??= build(this.#reader, Object.fromEntries(names.map((name) => [name, new Slot(name)])) as Values).compile();
      const given = new Map(Object.entries(values));
      const parameters = compiled.parameters.map((value) => (value instanceof Slot ? given.get(value.name) : value));
      // Between transactions the connection that writes sees the last committed state too, and keeps its pages: the other one drops
      // all of them at each commit.
      const direct = tx === null && this.#open > 0 ? this.#direct?.reader : this.#direct?.writer;
      if (direct !== undefined) return direct(compiled.sql, parameters) as readonly Row[];
      return (await this.on(tx).executeQuery<Row>({ ...compiled, parameters })).rows;
    };
  }

  async write<Result>(work: (tx: Tx) => Promise<Result>): Promise<Result> {
    this.#open += 1;
    try {
      const result = await this.#writer.transaction().execute((tx) => work(tx as unknown as Tx));
      if (this.#failing) this.#log.info('store.writes_again');
      this.#failing = false;
      return result;
    } catch (error) {
      const told = outward(error);
      if (isJobpassError(told, 'store_unavailable') && !this.#failing) {
        this.#failing = true;
        this.#log.error(
          'store.write_failed',
          { message: 'nothing is granted until the store takes writes again: look at its disk' },
          error,
        );
      }
      throw told;
    } finally {
      this.#open -= 1;
    }
  }

  /**
   * Asks for one row, from the connection that writes; and where the last write failed, whether one would be taken now.
   * @throws store_unavailable
   */
  async ping(): Promise<void> {
    if (this.#failing) return this.#probe();
    try {
      await sql`select 1`.execute(this.#writer);
    } catch (error) {
      throw outward(error);
    }
  }

  async #probe(): Promise<void> {
    const row = { key: 'probe', value: '' };
    await this.write(async (tx) => {
      const insert = this.on(tx).insertInto('settings').values(row);
      await insert.onConflict((conflict) => conflict.column('key').doUpdateSet(row)).execute();
    });
  }

  /** Waits for what is under way. Transactions first: they read beside themselves. */
  async close(): Promise<void> {
    await this.#writer.destroy();
    await this.#reader.destroy();
  }
}

/**
 * PostgreSQL's classes for what is wrong with the values themselves, and would be the next time: a text with U+0000, a number that is too large, one too long for an
 * index. Called unavailable, it would be tried again for ever, and everything in the same line with it.
 * @see PostgreSQL, "Error Codes": 22, 54
 */
const refusedValue = /^(?:22|54)[0-9A-Z]{3}$/;

/** Engine errors become ours; nothing of SQL reaches a caller. */
export function outward(error: unknown): unknown {
  if (isJobpassError(error)) return error;
  if (isUniqueViolation(error)) return new JobpassError('conflict', {}, error);
  const code = codeOf(error);
  if (refusedValue.test(code))
    return new JobpassError('unprocessable', 'A value is too long or too large, or holds a character that is not kept.', error);
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
