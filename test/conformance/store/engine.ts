import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import postgres from 'postgres';
import { startPostgres } from '../../support/postgres.ts';

/** Where the suite gets empty databases from. */
export interface TestEngine {
  readonly name: 'sqlite' | 'postgres';
  /** The URL of a database that nobody used yet. */
  fresh(): Promise<string>;
  /** Runs SQL beside the store, as an operator could. */
  execute(url: string, statement: string): Promise<void>;
  /** Ends the connections of this name, as a network that breaks does. @returns how many */
  cut(url: string, name: string): Promise<number>;
  /** True where a transaction waits for another; SQLite has one writer at a time, so that one always does. */
  blocked(url: string): Promise<boolean>;
  stop(): Promise<void>;
}

export async function sqliteEngine(): Promise<TestEngine> {
  const folder = await mkdtemp(join(tmpdir(), 'jobpass-test-store-'));
  return {
    name: 'sqlite',
    fresh: () => Promise.resolve(`sqlite:${join(folder, `${freshName()}.db`)}`),
    async execute(url, statement) {
      const { DatabaseSync } = await import('node:sqlite');
      const database = new DatabaseSync(url.slice('sqlite:'.length), { timeout: 5000 });
      database.exec(statement);
      database.close();
    },
    cut: () => Promise.resolve(0),
    blocked: () => Promise.resolve(true),
    stop: () => rm(folder, { recursive: true, force: true }),
  };
}

export async function postgresEngine(): Promise<TestEngine | undefined> {
  const server = await startPostgres();
  if (server === undefined) return undefined;
  const query = async (url: string, statement: string) => {
    const address = new URL(url);
    const host = address.searchParams.get('host') ?? '';
    const client = postgres({ host, user: 'postgres', database: address.pathname.slice(1), max: 1, onnotice: () => undefined });
    try {
      return await client.unsafe(statement);
    } finally {
      await client.end();
    }
  };
  const execute = async (url: string, statement: string): Promise<void> => {
    await query(url, statement);
  };
  return {
    name: 'postgres',
    async fresh() {
      const name = freshName();
      await execute(server.url, `create database ${name}`);
      const url = new URL(server.url);
      url.pathname = `/${name}`;
      return url.href;
    },
    execute,
    cut: async (url, name) =>
      (
        await query(
          url,
          `select pg_terminate_backend(pid) from pg_stat_activity where application_name = '${name}' and datname = current_database()`,
        )
      ).length,
    blocked: async (url) => (await query(url, 'select 1 from pg_locks where not granted')).length > 0,
    stop: () => server.stop(),
  };
}

const missing = (): Promise<never> => Promise.reject(new Error('the engine is not installed'));
/** Stands in where tests are listed as not run. */
export const missingEngine: TestEngine = {
  name: 'postgres',
  fresh: missing,
  execute: missing,
  cut: missing,
  blocked: missing,
  stop: missing,
};

function freshName(): string {
  return `t${randomBytes(6).toString('hex')}`;
}
