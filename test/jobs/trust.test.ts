import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { ok } from '../support/git-http.ts';
import { type Claimed, oneJob, startTestServer, type TestServer } from '../support/server.ts';

describe('whose rights a job has, and what users and admins say about it', () => {
  let server: TestServer;
  let alice: { id: number; token: string };
  let carol: { id: number; token: string };
  let runner: { id: number; token: string };
  let app: number;

  beforeAll(async () => {
    server = await startTestServer();
    [alice, carol] = [await server.user('alice'), await server.user('carol')];
    runner = await server.runner();
    app = await server.project('team/app');
    await server.member(app, alice.id, 40);
    await server.member(app, carol.id, 40);
    await server.commit(app, '.gitlab-ci.yml', oneJob, { token: alice.token });
    await server.commit(app, 'merged.txt', 'x', { token: carol.token });
  });
  afterAll(() => server.stop());
  beforeEach(async () => {
    for (let job = await server.claim(runner.token); job !== undefined; job = await server.claim(runner.token)) await server.finish(job);
  });

  /** A job that alice starts on protected main, where carol was the last to write. */
  async function start(token = runner.token): Promise<Claimed> {
    await server.must('POST', `/api/v4/projects/${app}/pipeline`, { ref: 'main' }, alice.token);
    const job = await server.claim(token);
    if (job === undefined) throw new Error('no job');
    return job;
  }
  async function principals(job: Claimed, token = alice.token): Promise<unknown> {
    const page = await server.must('GET', `/api/v4/projects/${app}/jobs/${job.id}/jobpass`, undefined, token);
    return (page['principals'] as { username: string; reason: string }[]).map(({ username, reason }) => `${username}: ${reason}`);
  }

  test('R3 A59 who trusts a project by name does not share rights with who last merged there', async () => {
    const before = await start();
    expect(await principals(before)).toEqual(['alice: starter', 'carol: last_merger']);
    await server.must('PUT', '/api/v4/user/jobpass/trusted_projects/team%2Fapp', undefined, alice.token);
    expect((await server.call('GET', '/api/v4/user/jobpass/trusted_projects', { token: alice.token })).list).toEqual([{ id: app }]);
    const trusting = await start();
    expect(await principals(trusting)).toEqual(['alice: starter']);
    const gone = () => server.call('DELETE', `/api/v4/user/jobpass/trusted_projects/${app}`, { token: alice.token });
    expect([(await gone()).status, (await gone()).status]).toEqual([204, 404]);
    expect(await principals(await start())).toEqual(['alice: starter', 'carol: last_merger']);
  });

  test('R3 A59 who moved the protected ref answers for it also while the push goes on with its other refs', async () => {
    await server.commit(app, 'hers.txt', 'x', { token: alice.token });
    for (let job = await server.claim(runner.token); job !== undefined; job = await server.claim(runner.token)) await server.finish(job);
    const folder = await mkdtemp(join(tmpdir(), 'jobpass-push-'));
    const header = `http.extraHeader=Authorization: Basic ${Buffer.from(`carol:${carol.token}`).toString('base64')}`;
    await ok(folder, '-c', header, 'clone', '-q', `${server.url}/team/app.git`, '.');
    const evil = await ok(folder, 'commit-tree', '-p', 'HEAD', '-m', 'evil', 'HEAD^{tree}');
    // Asked once for the whole push, then for each ref that moves: main has moved when the other one is asked about.
    const { directory } = server.store;
    const { protectedRefs } = directory;
    const [moved, goOn] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    let asked = 0;
    const held: typeof protectedRefs = async (...of) => {
      if ((asked += 1) === 3) {
        moved.resolve();
        await goOn.promise;
      }
      return protectedRefs(...of);
    };
    Object.assign(directory, { protectedRefs: held });
    const pushing = ok(folder, '-c', header, 'push', '-q', 'origin', `${evil}:refs/heads/main`, `${evil}:refs/heads/other`);
    try {
      await Promise.race([moved.promise, pushing]);
      const job = await start();
      expect([(job.payload['git_info'] as { sha: string }).sha, await principals(job)]).toEqual([
        evil,
        ['alice: starter', 'carol: last_merger'],
      ]);
    } finally {
      goOn.resolve();
      await pushing;
      Object.assign(directory, { protectedRefs });
      await rm(folder, { recursive: true, force: true });
    }
  });

  test('R3 A59 a branch that was cut from a protected one is answered for by who last merged there, also below commits of its own', async () => {
    const P = `/api/v4/projects/${app}`;
    const onBranch = async (name: string): Promise<Claimed> => {
      await server.must('POST', `${P}/pipeline`, { ref: name }, alice.token);
      const job = await server.claim(runner.token);
      if (job === undefined) throw new Error('no job');
      return job;
    };
    await server.must('POST', `${P}/repository/branches`, { branch: 'cut', ref: 'main' }, alice.token);
    for (let job = await server.claim(runner.token); job !== undefined; job = await server.claim(runner.token)) await server.finish(job);
    const cut = await onBranch('cut');
    expect(await principals(cut)).toEqual(['alice: starter', 'carol: last_merger']);
    // Her rights count outside the top-level group alone: at home the job has all of alice's.
    const elsewhere = await server.project('other/lib');
    await server.member(elsewhere, alice.id, 40);
    const reads = async (job: Claimed, project: number): Promise<number> => {
      const basic = { authorization: `Basic ${Buffer.from(`x:${job.fetchPass}`).toString('base64')}` };
      const path = project === app ? 'team/app' : 'other/lib';
      return (await server.call('GET', `/${path}.git/info/refs?service=git-upload-pack`, { headers: basic })).status;
    };
    expect([await reads(cut, app), await reads(cut, elsewhere)]).toEqual([200, 404]);
    await server.finish(cut);
    await server.commit(app, 'own.txt', 'x', { token: alice.token, branch: 'cut' });
    const own = await server.claim(runner.token);
    expect(own === undefined ? [] : await principals(own)).toEqual(['alice: starter', 'carol: last_merger']);
    if (own !== undefined) await server.finish(own);
    await server.must('PUT', '/api/v4/user/jobpass/trusted_projects/team%2Fapp', undefined, alice.token);
    const trusting = await onBranch('cut');
    expect([await principals(trusting), await reads(trusting, elsewhere)]).toEqual([['alice: starter'], 200]);
    await server.finish(trusting);
    await server.call('DELETE', `/api/v4/user/jobpass/trusted_projects/${app}`, { token: alice.token });
  });

  test('R3 R5 nobody trusts what they cannot see, and no pass trusts for its user', async () => {
    const stranger = await server.user('stranger');
    const path = '/api/v4/user/jobpass/trusted_projects/team%2Fapp';
    expect((await server.call('PUT', path, { token: stranger.token })).status).toBe(404);
    const job = await start();
    expect((await server.call('PUT', path, { token: job.fetchPass })).status).toBe(403);
    expect((await server.call('PUT', '/api/v4/user/jobpass', { token: job.fetchPass, body: { max_exposure: 'replace' } })).status).toBe(
      403,
    );
    expect((await server.call('GET', '/api/v4/user/jobpass/trusted_projects', { token: alice.token })).list).toEqual([]);
  });

  test("R3 A44 a project runner's owner is a principal, until an admin names another or vouches for it", async () => {
    await server.must('PUT', `/api/v4/runners/${runner.id}`, { paused: true });
    const own = await server.must('POST', '/api/v4/user/runners', { runner_type: 'project_type', project_id: app }, carol.token);
    const [id, token] = [Number(own['id']), String(own['token'])];
    const last = 'carol: last_merger';
    expect(await principals(await start(token))).toEqual(['alice: starter', 'carol: runner_owner']);
    await server.must('PUT', `/api/v4/runners/${id}`, { responsible_user_id: alice.id });
    expect(await principals(await start(token))).toEqual(['alice: starter', last]);
    expect((await server.call('PUT', `/api/v4/runners/${id}`, { token: server.root, body: { responsible_user_id: 99_999 } })).status).toBe(
      400,
    );
    await server.must('PUT', `/api/v4/runners/${id}`, { responsible_user_id: null, vouched: true });
    expect(await principals(await start(token))).toEqual(['alice: starter', last]);
    expect((await server.call('PUT', `/api/v4/runners/${id}`, { token: carol.token, body: { vouched: true } })).status).toBe(403);
    await server.must('PUT', `/api/v4/runners/${runner.id}`, { paused: false });
  });

  test('R6 R11 the page of a job tells whose rights its passes have and how they ended, and no secret', async () => {
    const job = await start();
    const url = `/api/v4/projects/${app}/jobs/${job.id}/jobpass`;
    await server.finish(job);
    const page = await server.call('GET', url, { token: alice.token });
    expect(page.body).toMatchObject({
      job_id: job.id,
      own_project_only: false,
      passes: [{ kind: 'fetch', revoked_at: expect.any(String) }],
    });
    expect(page.text).not.toMatch(/jpt_|digest/);
    const stranger = await server.user('stranger2');
    expect((await server.call('GET', url, { token: stranger.token })).status).toBe(404);
    const other = await server.project('team/other');
    expect((await server.call('GET', `/api/v4/projects/${other}/jobs/${job.id}/jobpass`, { token: server.root })).status).toBe(404);
  });
});
