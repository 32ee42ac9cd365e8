import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { passesIn } from '../../support/pass-forms.ts';
import { id, type JobId, millis } from '../../../src/base/ids.ts';
import { type Claimed, startTestServer, type TestServer } from '../../support/server.ts';

const asks = 'variables:\n  JOBPASS_EXPOSE: variable\njob:\n  script: ["true"]\n';
const pass = /jpt_[xfn][0-9A-Za-z]/;

describe('assist: what an older runner gets of a pass that it does not know', () => {
  let server: TestServer;
  let alice: { id: number; token: string };
  let app: number;
  let lib: number;
  let runner: { id: number; token: string };

  beforeAll(async () => {
    server = await startTestServer();
    alice = await server.user('alice');
    [app, lib] = [await server.project('team/app'), await server.project('other/lib')];
    for (const project of [app, lib]) await server.member(project, alice.id, 40);
    await server.project('secret/box');
    await server.commit(lib, 'file', 'private', { token: alice.token });
    await server.commit(app, '.gitlab-ci.yml', asks, { token: alice.token });
    runner = await server.runner();
    await server.claim(runner.token).then((job) => job && server.finish(job));
  });
  afterAll(() => server.stop());
  beforeEach(() => set({ trust: 'fetch', assist: 'none', pinned_verdict: 'none', unsafe_accepted: false }));

  const set = (change: object) => server.must('PUT', `/api/v4/runners/${runner.id}`, change);
  const refused = async (change: object): Promise<string> => {
    const reply = await server.call('PUT', `/api/v4/runners/${runner.id}`, { token: server.root, body: change });
    expect(reply.status).toBe(400);
    return reply.text;
  };
  const start = async (): Promise<Claimed> => {
    await server.must('POST', `/api/v4/projects/${app}/pipeline`, { ref: 'main' }, alice.token);
    const job = await server.claim(runner.token);
    if (job === undefined) throw new Error('no job');
    return job;
  };
  const basic = ({ token }: Claimed) => ({ authorization: `Basic ${Buffer.from(`gitlab-ci-token:${token}`).toString('base64')}` });
  const git = async (job: Claimed, path: string, service = 'git-upload-pack'): Promise<number> =>
    (await server.call('GET', `/${path}.git/info/refs?service=${service}`, { headers: basic(job) })).status;
  const lfs = async (job: Claimed, path: string): Promise<number> =>
    (
      await server.call('POST', `/${path}.git/info/lfs/objects/batch`, {
        headers: { ...basic(job), 'content-type': 'application/vnd.git-lfs+json', accept: 'application/vnd.git-lfs+json' },
        raw: JSON.stringify({ operation: 'download', objects: [{ oid: 'a'.repeat(64), size: 1 }] }),
      })
    ).status;
  /** What a registry token of the job hears of a repository: that there is no such manifest, or no such name. */
  const registry = async (job: Claimed, path: string): Promise<string> => {
    const url = `/jwt/auth?service=container_registry&scope=${encodeURIComponent(`repository:${path}:pull`)}`;
    const { token } = (await server.call('GET', url, { headers: basic(job) })).body as { token?: string };
    const reply = await server.call('GET', `/v2/${path}/manifests/none`, { headers: { authorization: `Bearer ${token ?? ''}` } });
    return (reply.body['errors'] as { code: string }[])[0]?.code ?? '';
  };

  test('R6 R7 without assist a runner sees no pass at all, and its job token reaches its own project only', async () => {
    await set({ trust: 'full', pinned_verdict: 'expose' });
    const job = await start();
    const { extended_job_token: _field, ...payload } = job.payload;
    expect(JSON.stringify(payload)).not.toMatch(pass);
    expect(passesIn(JSON.stringify(payload))).toEqual([]);
    expect([await git(job, 'team/app'), await git(job, 'other/lib')]).toEqual([200, 403]);
    expect(await registry(job, 'other/lib')).toBe('DENIED');
    await server.finish(job);
  });

  test('R7 assist needs a pinned verdict or an admin who accepts what is unsafe; expose needs full trust and a pinned expose', async () => {
    expect(await refused({ assist: 'fetch' })).toMatch(/gate verdict/);
    await set({ pinned_verdict: 'withhold' });
    expect(await refused({ assist: 'fetch' })).toMatch(/withhold/);
    expect(await set({ assist: 'fetch', unsafe_accepted: true })).toMatchObject({ assist: 'fetch' });
    expect(await refused({ assist: 'expose', trust: 'full' })).toMatch(/pinned gate verdict/);
    await set({ pinned_verdict: 'expose' });
    expect(await refused({ assist: 'expose' })).toMatch(/trust full/);
    expect(await refused({ assist: 'fetch', trust: 'none' })).toMatch(/trust/);
    expect(await set({ assist: 'expose', trust: 'full' })).toMatchObject({ assist: 'expose' });
    // A user who is no admin sets nothing.
    const own = await server.call('PUT', `/api/v4/runners/${runner.id}`, { token: alice.token, body: { assist: 'fetch' } });
    expect(own.status).toBe(403);
  });

  test('R1 R8 assist fetch: git, large files and images of what the starting user may read, nothing else, nothing in the payload', async () => {
    await set({ assist: 'fetch', pinned_verdict: 'expose' });
    const job = await start();
    const { extended_job_token: _field, ...payload } = job.payload;
    expect(JSON.stringify(payload)).not.toMatch(pass);
    expect([await git(job, 'team/app'), await git(job, 'other/lib'), await git(job, 'secret/box')]).toEqual([200, 200, 404]);
    expect([await lfs(job, 'other/lib'), await lfs(job, 'secret/box')]).toEqual([200, 404]);
    expect([await registry(job, 'other/lib'), await registry(job, 'secret/box')]).toEqual(['MANIFEST_UNKNOWN', 'NAME_UNKNOWN']);
    expect(await git(job, 'other/lib', 'git-receive-pack')).toBe(403);
    // The API is no place where a runner fetches.
    const api = await server.call('GET', `/api/v4/projects/${lib}/repository/tree`, { headers: { 'job-token': job.token } });
    expect([403, 404]).toContain(api.status);
    const images = await server.call('GET', `/api/v4/projects/${lib}/registry/repositories`, { headers: { 'job-token': job.token } });
    expect(images.status).toBe(403);
    await server.finish(job);
    expect([await git(job, 'other/lib'), await git(job, 'team/app')]).toEqual([401, 401]);
  });

  test('R10 the trail names the fetch pass with whose rights it was', async () => {
    await set({ assist: 'fetch', pinned_verdict: 'expose' });
    const job = await start();
    await git(job, 'other/lib');
    const rows = (await server.call('GET', `/api/v4/jobpass/audit?job_id=${job.id}&per_page=100`, { token: server.root })).list;
    const [fetch] = await server.store.passes.forJob(null, id<JobId>(job.id));
    expect(rows.find((row) => row['door'] === 'git')).toMatchObject({ subject: 'job', pass_id: fetch?.id, pass_kind: 'fetch', rule: 'R8' });
    await server.finish(job);
  });

  test.each([
    ['the setting', 403, () => set({ assist: 'none' })],
    ['the pin', 403, () => set({ pinned_verdict: 'withhold' })],
    ['the trust', 403, () => set({ trust: 'none' })],
    ["the user's role", 404, () => server.must('DELETE', `/api/v4/projects/${lib}/members/${alice.id}`)],
  ])('R2 A37 assist ends with %s, while the job runs', async (_what, status, end) => {
    await set({ assist: 'fetch', pinned_verdict: 'expose' });
    const job = await start();
    expect(await git(job, 'other/lib')).toBe(200);
    await end();
    expect([await git(job, 'other/lib'), await git(job, 'team/app')]).toEqual([status, 200]);
    await server.call('POST', `/api/v4/projects/${lib}/members`, { token: server.root, body: { user_id: alice.id, access_level: 40 } });
    await server.finish(job);
  });

  test('R2 R12 assist ends with the pass: revoked, or its runner silent', async () => {
    await set({ assist: 'fetch', pinned_verdict: 'expose' });
    const job = await start();
    await server.store.transactor.write((tx) =>
      server.store.jobs.changeJob(tx, id<JobId>(job.id), ['running'], { contactAt: millis(Date.now() - 4 * 60_000) }),
    );
    expect(await git(job, 'other/lib')).toBe(403);
    await server.call('PUT', `/api/v4/jobs/${job.id}`, { headers: { 'job-token': job.token }, body: { state: 'running' } });
    expect(await git(job, 'other/lib')).toBe(200);
    await server.call('POST', '/-/jobpass/oauth/revoke', {
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      raw: `token=${job.fetchPass}`,
    });
    expect(await git(job, 'other/lib')).toBe(403);
    await server.finish(job);
  });

  test('R6 R7 assist expose: a masked variable, for a job that asks, and nowhere else', async () => {
    await set({ assist: 'expose', trust: 'full', pinned_verdict: 'expose' });
    const job = await start();
    const variables = job.payload['variables'] as { key: string; value: string; masked: boolean; public: boolean }[];
    const held = variables.filter(({ value }) => pass.test(value));
    expect(held).toEqual([{ key: 'CI_EXTENDED_JOB_TOKEN', value: job.pass, masked: true, public: false, raw: true }]);
    expect((await server.call('GET', '/api/v4/user', { token: held[0]?.value ?? '' })).body['username']).toBe('alice');
    await server.finish(job);
    await server.must('PUT', `/api/v4/projects/${app}/jobpass`, { max_exposure: 'withhold' });
    const other = await start();
    expect(JSON.stringify(other.payload['variables'])).not.toMatch(pass);
    await server.must('PUT', `/api/v4/projects/${app}/jobpass`, { max_exposure: null });
    await server.finish(other);
  });

  test('A60 a runner with a key of its own is not assisted, whatever it is set to', async () => {
    await set({ assist: 'fetch', pinned_verdict: 'expose' });
    await server.store.transactor.write((tx) => server.store.runners.change(tx, id(runner.id), { publicKey: 'k' }));
    const job = await start();
    expect(await git(job, 'other/lib')).toBe(403);
    await server.store.transactor.write((tx) => server.store.runners.change(tx, id(runner.id), { publicKey: null }));
    await server.finish(job);
  });
});
