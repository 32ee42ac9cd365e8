import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openStore } from '../../src/store/open.ts';

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
