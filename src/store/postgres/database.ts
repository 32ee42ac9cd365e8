import { type Driver, Kysely, sql } from 'kysely';
import { PostgresJSDialect } from 'kysely-postgres-js';
import postgres from 'postgres';
import { JobpassError } from '../../base/errors.ts';
import { type Connections, outward } from '../database.ts';
import { endWhenIdle } from '../end-when-idle.ts';
import type { Schema } from '../schema.ts';

/** Reads have connections of their own: where all writers wait, a read inside of a transaction still gets one. */
const writers = 12;
const readers = 8;

/**
 * @param url `postgres://user:password@host/database`, or with `?host=/folder` a unix socket as in libpq; it is never logged
 * @throws invalid_input
 */
export function openPostgres(url: string): Connections {
  const open = (max: number, Kind: typeof Dialect): Kysely<Schema> => {
    // Ids and times fit in a double; a bigint column otherwise arrives as text.
    const types = { bigint: { to: 20, from: [20], parse: Number, serialize: String } };
    const client = postgres(...clientOf(url, 'jobpass', { max, types }));
    return new Kysely<Schema>({ dialect: new Kind({ postgres: client }) });
  };
  return { writer: open(writers, Dialect), reader: open(readers, ReadingDialect) };
}

class Dialect extends PostgresJSDialect {
  override createDriver(): Driver {
    return endWhenIdle(super.createDriver());
  }
}

/** What goes wrong in a transaction is told by whoever began it; beside one there is only the question itself. */
class ReadingDialect extends Dialect {
  override createDriver(): Driver {
    const driver = super.createDriver();
    const acquire = driver.acquireConnection.bind(driver);
    driver.acquireConnection = async (options) => {
      const connection = await acquire(options).catch(sayOutward);
      // Made anew for each use.
      const execute = connection.executeQuery.bind(connection);
      connection.executeQuery = (query, more) => execute<never>(query, more).catch(sayOutward);
      return connection;
    };
    return driver;
  }
}

function sayOutward(error: unknown): never {
  throw outward(error);
}

/** A client that does nothing but hear what others committed. @throws invalid_input */
export function openListener(url: string): postgres.Sql {
  return postgres(...clientOf(url, 'jobpass listens', { max: 1 }));
}

/** A client of one connection, kept for as long as the process lives. @param lost called when that is gone @throws invalid_input */
export function openKept(url: string, lost: () => void): postgres.Sql {
  return postgres(...clientOf(url, 'jobpass node', { max: 1, max_lifetime: null, onclose: lost }));
}

function clientOf<Options extends object>(url: string, name: string, options: Options) {
  const address = parseAddress(url);
  const host = address.socketFolder === null ? {} : { host: address.socketFolder };
  const connection = { application_name: name };
  return [address.url, { ...host, connect_timeout: 10, onnotice: () => undefined, connection, ...options }] as const;
}

function parseAddress(text: string): { readonly url: string; readonly socketFolder: string | null } {
  // No cause: the parser's error holds the whole URL, and so the password.
  if (!URL.canParse(text)) throw new JobpassError('invalid_input', 'The database URL is malformed.');
  const url = new URL(text);
  const socketFolder = url.searchParams.get('host');
  url.searchParams.delete('host');
  return { url: url.href, socketFolder };
}

export const postgresTypes = {
  identity: 'bigint generated always as identity primary key',
  millis: 'bigint',
  bytewise: 'text collate "C"',
} as const;

/** Any fixed number: it names the migration lock of jobpass among the advisory locks of the database. */
const migrationLock = 0x6a6f62;

/** Waits for other starts; let go when the transaction ends. */
export async function lockPostgres(tx: Kysely<Schema>): Promise<void> {
  await sql`select pg_advisory_xact_lock(${migrationLock})`.execute(tx);
}
