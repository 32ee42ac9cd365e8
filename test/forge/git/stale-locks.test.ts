import { mkdir, mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { millis } from '../../../src/base/ids.ts';
import { systemClock } from '../../../src/base/clock.ts';
import { silentLog } from '../../../src/base/log.ts';
import { removeStaleLocks } from '../../../src/forge/embedded/git/stale-locks.ts';
import { startTestServer, type TestServer } from '../../support/server.ts';

let folder: string;
let server: TestServer;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'jobpass-locks-'));
  server = await startTestServer({ dataDir: join(folder, 'data') });
});
afterAll(async () => {
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});

const hourMs = 3_600_000;
/** As a git that was killed leaves it. @param ageMs at `now` */
async function lock(repository: string, name: string, ageMs: number, now = Date.now()): Promise<string> {
  const path = join(repository, `${name}.lock`);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, '');
  await utimes(path, (now - ageMs) / 1000, (now - ageMs) / 1000);
  return path;
}

test.each([['refs/heads/main'], ['HEAD']])('R13 %s that a killed git left locked is moved again by the second push', async (name) => {
  const project = await server.project(`team/${name.split('/').at(-1)?.toLowerCase()}`);
  const add = (file: string) =>
    server.call('POST', `/api/v4/projects/${project}/repository/files/${file}`, {
      token: server.root,
      body: { branch: 'main', content: 'x', commit_message: 'm' },
    });
  expect((await add('a')).status).toBe(201);
  const [found] = (await readdir(folder, { recursive: true })).filter((path) => path.endsWith(`/${project}.git`));
  const repository = join(folder, String(found));
  const path = await lock(repository, name, 0);
  // So young, it may be that of a git that lives.
  expect([(await add('b')).status, (await add('b')).status]).toEqual([409, 409]);
  await rm(path);
  await lock(repository, name, 2 * hourMs);
  expect([(await add('b')).status, (await add('b')).status]).toEqual([409, 201]);
});

test('R13 beside other nodes only age tells; alone, whatever is older than the process', async () => {
  const now = Date.now() + 120_000;
  const clock = { ...systemClock, now: () => millis(now) };
  const left = async (alone: boolean, names: readonly string[]) => {
    const repository = await mkdtemp(join(folder, 'r-'));
    for (const name of ['refs/heads/x', 'packed-refs']) await lock(repository, name, hourMs / 2, now);
    await lock(repository, 'HEAD', 2 * hourMs, now);
    await lock(repository, 'refs/heads/y', 1000, now);
    await removeStaleLocks({ nodes: { alone }, clock, log: silentLog }, repository, names);
    return (await readdir(repository, { recursive: true })).filter((path) => path.endsWith('.lock')).toSorted();
  };
  expect(await left(false, ['refs/heads/x', 'refs/heads/y'])).toEqual(['packed-refs.lock', 'refs/heads/x.lock', 'refs/heads/y.lock']);
  expect(await left(true, ['refs/heads/x', 'refs/heads/y'])).toEqual(['refs/heads/y.lock']);
});
