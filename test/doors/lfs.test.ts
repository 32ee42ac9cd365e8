import { execFile } from 'node:child_process';
import { randomBytes, createHash } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { oneJob, startTestServer, type TestServer } from '../support/server.ts';

const run = promisify(execFile);
const helper = '!f() { test "$1" = get && printf "username=anyone\\npassword=%s\\n" "$TEST_TOKEN"; }; f';
const json = 'application/vnd.git-lfs+json';

describe('Git LFS, by git-lfs itself', () => {
  let server: TestServer;
  let folder: string;
  let alice: { id: number; token: string };
  let bob: { id: number; token: string };
  let runner: { id: number; token: string };
  const big = randomBytes(5 * 1024 * 1024);
  const oid = createHash('sha256').update(big).digest('hex');

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'jobpass-lfs-'));
    server = await startTestServer();
    [alice, bob] = [await server.user('alice'), await server.user('bob')];
    for (const path of ['team/art', 'team/other']) {
      const id = await server.project(path);
      await server.member(id, alice.id, 40);
      await server.member(id, bob.id, 20);
    }
    runner = await server.runner();
  });
  afterAll(async () => {
    await server.stop();
    await rm(folder, { recursive: true, force: true });
  });

  async function git(token: string, cwd: string, ...args: string[]): Promise<{ code: number; words: string }> {
    const env = {
      PATH: process.env['PATH'] ?? '',
      HOME: folder,
      LC_ALL: 'C',
      GIT_CONFIG_NOSYSTEM: '1',
      GIT_TERMINAL_PROMPT: '0',
      TEST_TOKEN: token,
    };
    const settings = [
      '-c',
      'credential.helper=',
      '-c',
      `credential.helper=${helper}`,
      '-c',
      'user.name=alice',
      '-c',
      'user.email=alice@example.com',
    ];
    return run('git', [...settings, ...args], { env, cwd }).then(
      ({ stdout, stderr }) => ({ code: 0, words: stdout + stderr }),
      (error: { code: number; stdout: string; stderr: string }) => ({ code: error.code, words: error.stdout + error.stderr }),
    );
  }
  const basic = (token: string) => ({
    authorization: `Basic ${Buffer.from(`x:${token}`).toString('base64')}`,
    accept: json,
    'content-type': json,
  });
  const batch = (project: string, operation: string, token: string, objects: unknown[] = [{ oid, size: big.length }]) =>
    server.call('POST', `/${project}.git/info/lfs/objects/batch`, {
      headers: basic(token),
      raw: JSON.stringify({ operation, transfers: ['basic'], objects }),
    });
  const parsed = (text: string) =>
    JSON.parse(text) as { objects: { actions?: Record<string, { href: string; header?: unknown }>; error?: { code: number } }[] };

  async function job(): Promise<{
    id: number;
    fetchPass: string;
    token: string;
    pass: string | undefined;
    payload: Record<string, unknown>;
  }> {
    const found = await server.claim(runner.token);
    if (found === undefined) throw new Error('no job');
    return found;
  }

  test('a large file goes in by push and comes back by clone, with the credential of git alone', async () => {
    const work = join(folder, 'work');
    await git(alice.token, folder, 'init', '-q', '-b', 'main', work);
    await git(alice.token, work, 'lfs', 'install', '--local');
    await git(alice.token, work, 'lfs', 'track', '*.bin');
    await writeFile(join(work, 'big.bin'), big);
    await writeFile(join(work, '.gitlab-ci.yml'), oneJob);
    await git(alice.token, work, 'add', '.');
    await git(alice.token, work, 'commit', '-q', '-m', 'large');
    const pushed = await git(alice.token, work, 'push', `${server.url}/team/art.git`, 'main');
    expect(pushed).toMatchObject({ code: 0 });
    await git(
      bob.token,
      folder,
      '-c',
      'filter.lfs.smudge=git-lfs smudge -- %f',
      '-c',
      'filter.lfs.process=git-lfs filter-process',
      'clone',
      '-q',
      `${server.url}/team/art.git`,
      'clone',
    );
    expect(big.equals(await readFile(join(folder, 'clone', 'big.bin')))).toBe(true);
  });

  test('A40 A48 answers carry no credential; a fetch pass downloads and does not upload; a dead one does neither', async () => {
    const claimed = await job();
    const offered = await batch('team/art', 'download', claimed.fetchPass);
    const href = parsed(offered.text).objects[0]?.actions?.['download'];
    expect(href).toEqual({ href: `${server.url}/team/art.git/gitlab-lfs/objects/${oid}` });
    const path = new URL(href?.href ?? '').pathname;
    const got = await fetch(`${server.url}${path}`, { headers: basic(claimed.fetchPass) });
    expect(big.equals(Buffer.from(await got.arrayBuffer()))).toBe(true);
    expect((await batch('team/art', 'upload', claimed.fetchPass)).status).toBe(403);
    expect((await batch('team/art', 'upload', bob.token)).status).toBe(403);
    await server.finish(claimed);
    // At 401 git-lfs would send it again, for ever.
    expect((await batch('team/art', 'download', claimed.fetchPass)).status).toBe(403);
    expect((await server.call('GET', path, { headers: basic(claimed.fetchPass) })).status).toBe(403);
  });

  test('A40 an object of another project is not there, in words and in bytes, until it was uploaded there', async () => {
    const name = createHash('sha256').update('art').digest('hex');
    const path = (project: string) => `/${project}.git/gitlab-lfs/objects/${name}`;
    const put = await server.call('PUT', `${path('team/art')}/3`, { headers: basic(alice.token), raw: 'art' });
    const got = await server.call('GET', path('team/art'), { headers: basic(alice.token) });
    expect([put.status, got.status, got.text]).toEqual([200, 200, 'art']);
    const object = [{ oid: name, size: 3 }];
    expect(parsed((await batch('team/other', 'download', alice.token, object)).text).objects[0]?.error?.code).toBe(404);
    expect((await server.call('GET', path('team/other'), { headers: basic(alice.token) })).status).toBe(404);
    // Knowing the name of what another project holds is not having it.
    const asked = parsed((await batch('team/other', 'upload', alice.token, object)).text).objects[0]?.actions;
    expect(Object.keys(asked ?? {})).toEqual(['upload', 'verify']);
  });

  test('R2 what is not what it says is not kept', async () => {
    const put = (name: string, size: number, body: string) =>
      server.call('PUT', `/team/other.git/gitlab-lfs/objects/${name}/${size}`, {
        headers: { ...basic(alice.token), 'content-type': 'application/octet-stream' },
        raw: body,
      });
    const [right, wrong] = [createHash('sha256').update('abc').digest('hex'), 'f'.repeat(64)];
    expect((await put(wrong, 3, 'abc')).status).toBe(422);
    expect((await put(right, 4, 'abc')).status).toBe(422);
    expect((await put(right, 2, 'abc')).status).toBe(422);
    expect(parsed((await batch('team/other', 'download', alice.token, [{ oid: right, size: 3 }])).text).objects[0]?.error?.code).toBe(404);
    expect((await put(right, 3, 'abc')).status).toBe(200);
    const verify = (size: number) =>
      server.call('POST', '/team/other.git/info/lfs/objects/verify', {
        headers: basic(alice.token),
        raw: JSON.stringify({ oid: right, size }),
      });
    expect([(await verify(3)).status, (await verify(4)).status]).toEqual([200, 422]);
    const part = await server.call('GET', `/team/other.git/gitlab-lfs/objects/${right}`, {
      headers: { ...basic(alice.token), range: 'bytes=1-1' },
    });
    expect([part.status, part.text, part.headers.get('content-range')]).toEqual([206, 'b', 'bytes 1-1/3']);
  });

  test('locks: one owner each, listed, told apart from others, taken away by a maintainer with force only', async () => {
    const call = (method: string, path: string, token: string, body?: unknown) =>
      server.call(method, `/team/art.git/info/lfs/locks${path}`, {
        headers: basic(token),
        ...(body === undefined ? {} : { raw: JSON.stringify(body) }),
      });
    const carol = await server.user('carol');
    await server.member(1, carol.id, 30);
    const made = await call('POST', '', carol.token, { path: 'big.bin' });
    expect(made.status).toBe(201);
    expect((await call('POST', '', alice.token, { path: 'big.bin' })).status).toBe(409);
    expect((await call('POST', '', bob.token, { path: 'small.bin' })).status).toBe(403);
    const { lock } = JSON.parse(made.text) as { lock: { id: string; owner: { name: string } } };
    expect(lock.owner.name).toBe('carol');
    const sides = JSON.parse((await call('POST', '/verify', alice.token, {})).text) as { ours: unknown[]; theirs: unknown[] };
    expect([sides.ours.length, sides.theirs.length]).toEqual([0, 1]);
    expect((JSON.parse((await call('GET', '?path=big.bin', bob.token)).text) as { locks: unknown[] }).locks).toHaveLength(1);
    expect((await call('POST', `/${lock.id}/unlock`, alice.token, {})).status).toBe(403);
    expect((await call('POST', `/${lock.id}/unlock`, alice.token, { force: true })).status).toBe(200);
    expect((await call('POST', `/${lock.id}/unlock`, alice.token, {})).status).toBe(404);
  });

  test('R13 A41 malformed and hidden are refused alike at every route', async () => {
    expect((await batch('team/art', 'download', alice.token, [{ oid: '../x', size: 1 }])).status).toBe(422);
    expect((await batch('team/art', 'steal', alice.token)).status).toBe(422);
    const stranger = await server.user('stranger');
    for (const project of ['team/art', 'team/none']) expect((await batch(project, 'download', stranger.token)).status).toBe(404);
    const asked = await server.call('POST', '/team/art.git/info/lfs/objects/batch', { raw: '{}' });
    expect([asked.status, asked.headers.get('lfs-authenticate')]).toEqual([401, 'Basic realm="GitLab"']);
    expect((await server.call('GET', '/team/art.git/info/lfs/other', { headers: basic(alice.token) })).status).toBe(404);
  });
});
