import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { sql } from 'kysely';
import { jsonLog } from '../../src/base/log.ts';
import { Database } from '../../src/store/database.ts';
import { openStore } from '../../src/store/open.ts';
import { openSqlite } from '../../src/store/sqlite/database.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'jobpass-test-open-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const failure = (url: string): Promise<unknown> =>
  openStore(url).then(
    () => undefined,
    (error: unknown) => error,
  );

test('the database and its log are readable by their owner only', async () => {
  const path = join(folder, 'deep', 'jobpass.db');
  const store = await openStore(`sqlite:${path}`);
  await store.transactor.write((tx) => store.settings.set(tx, 'key', 'value'));
  for (const file of [path, `${path}-wal`, `${path}-shm`]) expect((await stat(file)).mode & 0o777).toBe(0o600);
  expect((await stat(join(folder, 'deep'))).mode & 0o777).toBe(0o700);
  await store.close();
});

test('a file that is no database is refused', async () => {
  const path = join(folder, 'jobpass.db');
  await writeFile(path, 'this is a text file, and no database at all\n'.repeat(100));
  expect(await failure(`sqlite:${path}`)).toMatchObject({ code: 'store_unavailable' });
});

test('R6 an address that is refused does not show its password, wherever one looks', async () => {
  const malformed = await failure('postgres://me:hunter2@[::/db');
  expect(malformed).toMatchObject({ code: 'invalid_input' });
  // Port 9 of this machine: nobody answers.
  const silent = await failure('postgres://me:hunter2@127.0.0.1:9/db');
  expect(silent).toMatchObject({ code: 'store_unavailable' });
  const unknown = await failure('mysql://me:hunter2@127.0.0.1/db');
  expect(unknown).toMatchObject({ code: 'invalid_input' });
  for (const error of [malformed, silent, unknown]) expect(inspect(error, { depth: 10, showHidden: true })).not.toContain('hunter2');
});

test('R10 A54 writes that are not taken any more are told once, and by each ping, until one is taken', async () => {
  const path = join(folder, 'jobpass.db');
  await (await openStore(`sqlite:${path}`)).close();
  const lines: string[] = [];
  const connections = openSqlite(path);
  const database = new Database(
    { name: 'sqlite', rowLocks: false, notifies: false },
    connections,
    jsonLog((line) => lines.push(line)),
  );
  const write = (value: string) =>
    database.write((tx) =>
      database
        .on(tx)
        .insertInto('settings')
        .values({ key: value.slice(0, 9), value })
        .execute(),
    );
  await database.ping();
  // What a full disk says, without one.
  const pages = Number((await sql<{ page_count: number }>`pragma page_count`.execute(connections.writer)).rows[0]?.page_count);
  await sql`pragma max_page_count = ${sql.lit(pages)}`.execute(connections.writer);
  for (const name of ['first', 'again']) await expect(write(name.repeat(20_000))).rejects.toMatchObject({ code: 'store_unavailable' });
  expect(lines).toEqual([
    expect.stringMatching(/"level":"error","event":"store.write_failed".*look at its disk.*database or disk is full/),
  ]);
  // A small one would be taken: the ping finds that out.
  await database.ping();
  expect(lines.slice(1)).toEqual([expect.stringContaining('"store.writes_again"')]);
  await sql`pragma query_only = true`.execute(connections.writer);
  await expect(write('x')).rejects.toThrow();
  await expect(database.ping()).rejects.toMatchObject({ code: 'store_unavailable' });
  await sql`pragma query_only = false`.execute(connections.writer);
  await database.ping();
  expect(lines.map((line) => /"event":"([^"]*)"/.exec(line)?.[1]).slice(2)).toEqual(['store.write_failed', 'store.writes_again']);
  await database.close();
});
