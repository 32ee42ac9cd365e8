import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ok } from '../support/git-http.ts';
import { passFor } from '../support/pass.ts';
import { type Claimed, oneJob, startTestServer, type TestServer } from '../support/server.ts';

const run = promisify(execFile);

describe('a project that was renamed', () => {
  let server: TestServer;
  let folder: string;
  let [alice, eve] = [
    { id: 0, token: '' },
    { id: 0, token: '' },
  ];
  let app = 0;
  let job: Claimed;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'jobpass-renamed-'));
    server = await startTestServer();
    [alice, eve] = [await server.user('alice'), await server.user('eve')];
    app = await server.project('team/old');
    await server.member(app, alice.id, 40);
    await server.commit(app, 'README.md', 'hello');
    const source = await server.project('own/source');
    await server.member(source, alice.id, 40);
    await server.commit(source, '.gitlab-ci.yml', oneJob, { token: alice.token });
    const claimed = await server.claim((await server.runner()).token);
    if (claimed === undefined) throw new Error('no job');
    job = claimed;
    await server.must('PUT', `/api/v4/projects/${app}`, { path: 'newer' }, alice.token);
  });
  afterAll(async () => {
    await server.stop();
    await rm(folder, { recursive: true, force: true });
  });

  const old = '/api/v4/projects/team%2Fold';
  const get = (path: string, token = alice.token) => server.call('GET', path, { token });
  const git = (token: string, ...args: readonly string[]) => {
    const header = `http.extraHeader=Authorization: Basic ${Buffer.from(`anyone:${token}`).toString('base64')}`;
    // As the runner's git does: it goes nowhere that it was not told (R16).
    return ok(folder, '-c', header, '-c', 'http.followRedirects=false', ...args);
  };

  test('R14 A21 the API sends a GET by an old path to the number, on this server, and refuses what writes', async () => {
    const reply = await get(`${old}/repository/branches?per_page=1`);
    expect([reply.status, reply.headers.get('location')]).toEqual([301, `/api/v4/projects/${app}/repository/branches?per_page=1`]);
    const asked = await server.call('GET', `${old}?statistics=true&private_token=${alice.token}`);
    expect([asked.status, asked.headers.get('location')]).toEqual([301, `/api/v4/projects/${app}?statistics=true`]);
    const { stdout } = await run('curl', ['-sSL', '-H', `PRIVATE-TOKEN: ${alice.token}`, `${server.url}${old}`]);
    expect(JSON.parse(stdout)).toMatchObject({ id: app, path_with_namespace: 'team/newer' });
    expect((await server.call('HEAD', old, { token: alice.token })).status).toBe(301);
    for (const [method, path] of [
      ['PUT', ''],
      ['POST', '/repository/branches'],
      ['DELETE', '/repository/branches/main'],
      ['PUT', '/packages/generic/a/1/f'],
    ] as const) {
      const refused = await server.call(method, `${old}${path}`, { token: alice.token, body: { branch: 'x', ref: 'main' } });
      expect([method, refused.status, refused.text]).toEqual([
        method,
        405,
        '{"message":"Non GET methods are not allowed for moved projects"}',
      ]);
    }
    expect((await get(`/api/v4/projects/${app}/repository/branches`)).list).toHaveLength(1);
  });

  test('R11 A41 who may not see the project hears of its old path what they hear of none', async () => {
    const pass = await passFor(server, job, [alice.id, eve.id]);
    for (const token of [eve.token, pass])
      for (const [method, path] of [
        ['GET', ''],
        ['GET', '/repository/branches'],
        ['PUT', ''],
      ] as const) {
        const [known, unknown] = await Promise.all(
          [old, '/api/v4/projects/team%2Fnever'].map((where) => server.call(method, `${where}${path}`, { token, body: undefined })),
        );
        expect([known?.status, known?.text, known?.headers.get('location')]).toEqual([unknown?.status, unknown?.text, null]);
      }
    expect((await server.call('GET', old)).text).toBe((await server.call('GET', '/api/v4/projects/team%2Fnever')).text);
    const basic = { authorization: `Basic ${Buffer.from(`x:${eve.token}`).toString('base64')}` };
    const refs = (path: string, headers = {}) => server.call('GET', `/${path}.git/info/refs?service=git-upload-pack`, { headers });
    expect([(await refs('team/old', basic)).status, (await refs('team/old')).status]).toEqual([404, 401]);
    expect((await refs('team/old', basic)).text).toBe((await refs('team/never', basic)).text);
  });

  test('R8 R14 git clones, submodules by the old path too, and pushes, without a redirect; each decision is about the number', async () => {
    await git(alice.token, 'clone', '-q', `${server.url}/team/old.git`, 'clone');
    await ok(join(folder, 'clone'), 'commit', '-q', '--allow-empty', '-m', 'more');
    await git(alice.token, '-C', 'clone', 'push', '-q', 'origin', 'HEAD:work');
    expect((await get(`/api/v4/projects/${app}/repository/branches/work`)).status).toBe(200);
    await ok(folder, 'init', '-q', 'above');
    await git(alice.token, '-C', 'above', 'submodule', '--quiet', 'add', `${server.url}/team/old.git`, 'lib');
    await ok(join(folder, 'above'), 'commit', '-q', '-m', 'with a library');
    await git(job.fetchPass, 'clone', '-q', '--recurse-submodules', join(folder, 'above'), 'whole');
    expect(await ok(folder, '-C', 'whole/lib', 'log', '-1', '--format=%s')).toBe('write README.md');
    const rows = await server.store.audit.query({ jobId: job.id as never, limit: 100 });
    expect(rows.some(({ accesses, decision }) => decision === 'allow' && accesses.includes(`code:download@project:${app}`))).toBe(true);
  });

  test('A40 large files by an old path are those of the project', async () => {
    const body = { operation: 'upload', transfers: ['basic'], objects: [{ oid: 'a'.repeat(64), size: 1 }] };
    const headers = { authorization: `Basic ${Buffer.from(`x:${alice.token}`).toString('base64')}` };
    const reply = await server.call('POST', '/team/old.git/info/lfs/objects/batch', {
      headers: { ...headers, 'content-type': 'application/vnd.git-lfs+json' },
      raw: JSON.stringify(body),
    });
    expect([reply.status, reply.text]).toEqual([200, expect.stringContaining(`${server.url}/team/newer.git/gitlab-lfs/objects/`)]);
  });

  test('A38 A47 R14 what takes the old path has it: nothing leads away from it or back, and nobody gains by it', async () => {
    const bearer = await passFor(server, job, [alice.id]);
    expect((await get(old, bearer)).status).toBe(301);
    const group = (await get('/api/v4/groups/team', server.root)).body['id'];
    const squatter = await server.must('POST', '/api/v4/projects', { name: 'OLD', path: 'OLD', namespace_id: group });
    await server.member(Number(squatter['id']), eve.id, 40);
    await server.commit(Number(squatter['id']), 'trap.txt', 'x', { token: server.root });
    expect((await get(old, eve.token)).body['id']).toBe(squatter['id']);
    for (const token of [alice.token, bearer]) expect((await get(old, token)).text).toBe('{"message":"404 Project Not Found"}');
    await expect(git(job.fetchPass, 'ls-remote', `${server.url}/team/old.git`)).rejects.toThrow('not found');
    expect((await get(`/api/v4/projects/${app}`, eve.token)).status).toBe(404);
    // Gone again, or renamed: the path is nobody's, or the last one's that had it, and never the first one's.
    await server.must('PUT', `/api/v4/projects/${String(squatter['id'])}`, { path: 'trap' });
    expect((await get(old, eve.token)).headers.get('location')).toBe(`/api/v4/projects/${String(squatter['id'])}`);
    expect((await get(old)).status).toBe(404);
    await server.must('DELETE', `/api/v4/projects/${String(squatter['id'])}`);
    for (const token of [alice.token, eve.token, server.root]) expect((await get(old, token)).status).toBe(404);
    // Who goes back to an old path takes it, too.
    await server.must('PUT', `/api/v4/projects/${app}`, { path: 'old' }, alice.token);
    expect((await get(old)).body['id']).toBe(app);
    expect((await get('/api/v4/projects/team%2Fnewer')).headers.get('location')).toBe(`/api/v4/projects/${app}`);
  });
});
