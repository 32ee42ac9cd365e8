import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { id, type JobId } from '../../../src/base/ids.ts';
import { passFor } from '../../support/pass.ts';
import { type Claimed, startTestServer, type TestServer } from '../../support/server.ts';

const file =
  'workflow:\n  rules:\n    - if: $CI_PIPELINE_SOURCE == "merge_request_event"\n    - if: $CI_COMMIT_BRANCH\njob:\n  script: ["true"]\n';

describe('forks and their merge requests, on SQLite and real git', () => {
  let server: TestServer;
  let alice: { id: number; token: string };
  let eve: { id: number; token: string };
  let runner: { id: number; token: string };
  let app: number;
  let fork: number;
  let M: string;

  beforeAll(async () => {
    server = await startTestServer();
    [alice, eve] = [await server.user('alice'), await server.user('eve')];
    runner = await server.runner();
    app = await server.project('group/app');
    M = `/api/v4/projects/${app}/merge_requests`;
    await server.member(app, alice.id, 40);
    await server.member(app, eve.id, 20);
    await server.commit(app, '.gitlab-ci.yml', file, { token: alice.token });
    await server.must('POST', `/api/v4/projects/${app}/repository/branches`, { branch: 'work', ref: 'main' }, alice.token);
    await server.commit(app, 'alice.txt', 'x', { token: alice.token, branch: 'work' });
    const made = await server.must('POST', `/api/v4/projects/${app}/fork`, {}, eve.token);
    fork = Number(made['id']);
    expect(made).toMatchObject({
      path_with_namespace: 'eve/app',
      visibility: 'private',
      forked_from_project: { id: app },
      import_status: 'finished',
    });
  });
  afterAll(() => server.stop());
  beforeEach(drain);

  async function drain(): Promise<void> {
    for (let job = await server.claim(runner.token); job !== undefined; job = await server.claim(runner.token)) await server.finish(job);
  }
  const claim = async (): Promise<Claimed> => (await server.claim(runner.token)) ?? Promise.reject(new Error('no job'));
  const rights = async (job: Claimed) => {
    const [pass] = await server.store.passes.forJob(null, id<JobId>(job.id));
    return { who: pass?.principals.map(({ userId }) => Number(userId)), ownProjectOnly: pass?.ownProjectOnly };
  };
  const evil = (branch: string) => server.commit(fork, `${branch}.txt`, 'x', { token: eve.token, branch, start: 'main' });
  const ask = (branch: string) =>
    server.must(
      'POST',
      `/api/v4/projects/${fork}/merge_requests`,
      { source_branch: branch, target_branch: 'main', target_project_id: app, title: branch },
      eve.token,
    );

  test('a fork has the branches and tags, its owner, and is in the list of those who see it', async () => {
    const { list } = await server.call('GET', `/api/v4/projects/${fork}/repository/branches`, { token: eve.token });
    expect(list.map((one) => one['name'])).toEqual(['main', 'work']);
    expect((await server.call('GET', `/api/v4/projects/${app}/forks`, { token: eve.token })).list).toMatchObject([{ id: fork }]);
    expect((await server.call('GET', `/api/v4/projects/${app}/forks`, { token: alice.token })).list).toEqual([]);
    expect((await server.call('POST', `/api/v4/projects/${app}/fork`, { token: eve.token })).status).toBe(409);
    const mallory = await server.user('mallory');
    expect((await server.call('POST', `/api/v4/projects/${app}/fork`, { token: mallory.token })).status).toBe(404);
    expect(Object.keys(await server.must('GET', `/api/v4/projects/${fork}`, undefined, server.root))).toContain('id');
  });

  test('R3 a fork knows who pushed what it was made from, also when that is gone', async () => {
    await server.must('POST', `/api/v4/projects/${fork}/pipeline`, { ref: 'work' }, eve.token);
    expect(await rights(await claim())).toEqual({ who: [eve.id, alice.id], ownProjectOnly: false });
    await drain();
    const other = await server.project('gone/app');
    await server.member(other, alice.id, 40);
    await server.member(other, eve.id, 20);
    await server.commit(other, '.gitlab-ci.yml', file, { token: alice.token });
    await server.commit(other, 'x.txt', 'x', { token: alice.token, branch: 'work', start: 'main' });
    const copy = await server.must('POST', `/api/v4/projects/${other}/fork`, { path: 'copy' }, eve.token);
    await server.must('DELETE', `/api/v4/projects/${other}`);
    await drain();
    await server.must('POST', `/api/v4/projects/${String(copy['id'])}/pipeline`, { ref: 'work' }, eve.token);
    expect(await rights(await claim())).toEqual({ who: [eve.id, alice.id], ownProjectOnly: false });
    expect(Object.keys(await server.must('GET', `/api/v4/projects/${String(copy['id'])}`, undefined, eve.token))).not.toContain(
      'forked_from_project',
    );
  });

  test('R3 A7 a fork’s pipeline runs in the fork; run in the parent by a member, who pushed to the fork is a principal and nothing is protected', async () => {
    await evil('idea');
    await drain();
    const made = await ask('idea');
    expect(made).toMatchObject({
      project_id: app,
      source_project_id: fork,
      target_project_id: app,
      references: { full: `group/app!${String(made['iid'])}` },
    });
    const own = await claim();
    expect(own.payload['job_info']).toMatchObject({ project_id: fork });
    expect(own.payload['git_info']).toMatchObject({ ref: 'idea' });
    // Alice moved what the fork's main came with (A59).
    expect(await rights(own)).toEqual({ who: [eve.id, alice.id], ownProjectOnly: false });
    await drain();
    const iid = String(made['iid']);
    expect((await server.call('POST', `${M}/${iid}/pipelines`, { token: eve.token })).status).toBe(403);
    await server.must('POST', `${M}/${iid}/pipelines`, {}, alice.token);
    const job = await claim();
    expect(job.payload['job_info']).toMatchObject({ project_id: app });
    expect(job.payload['git_info']).toMatchObject({ ref: `refs/merge-requests/${iid}/head`, sha: made['sha'], protected: false });
    expect(await rights(job)).toEqual({ who: [alice.id, eve.id], ownProjectOnly: false });
  });

  test('rules:changes in a fork compare with the branch of the parent that the request is for', async () => {
    const when = (path: string) => `{script: x, rules: [{if: $CI_PIPELINE_SOURCE == "merge_request_event", changes: [${path}]}]}`;
    const text = `touched: ${when('compared.txt')}\nother: ${when('alice.txt')}\n`;
    const actions = [
      { action: 'update', file_path: '.gitlab-ci.yml', content: text },
      { action: 'create', file_path: 'compared.txt', content: 'x' },
    ];
    const body = { branch: 'compared', start_branch: 'main', commit_message: 'w', actions };
    await server.must('POST', `/api/v4/projects/${fork}/repository/commits`, body, eve.token);
    await ask('compared');
    expect((await claim()).payload['job_info']).toMatchObject({ project_id: fork, name: 'touched' });
    expect(await server.claim(runner.token)).toBeUndefined();
  });

  test('its head in the parent follows the fork, and a merge brings its commits with their pushers', async () => {
    await evil('more');
    const made = await ask('more');
    const next = await server.commit(fork, 'next.txt', 'x', { token: eve.token, branch: 'more' });
    const one = await server.must('GET', `${M}/${String(made['iid'])}`, undefined, alice.token);
    expect(one).toMatchObject({ sha: next, detailed_merge_status: 'mergeable' });
    const merged = await server.must('PUT', `${M}/${String(made['iid'])}/merge`, {}, alice.token);
    expect(merged['state']).toBe('merged');
    const pushers = await server.store.forge.pushLog.pushersOf(null, id(app), [next as never]);
    expect([...pushers.values()]).toEqual([[eve.id]]);
  });

  test('A41 a target that is hidden is answered like one that is not there', async () => {
    const hidden = await server.project('secret/app');
    await evil('hidden');
    const asked = (target: number) =>
      server.call('POST', `/api/v4/projects/${fork}/merge_requests`, {
        token: eve.token,
        body: { source_branch: 'hidden', target_branch: 'main', target_project_id: target, title: 'x' },
      });
    const [one, other] = [await asked(hidden), await asked(999_999)];
    expect([one.status, one.text]).toEqual([404, other.text]);
    expect(other.status).toBe(404);
  });

  test('R5 no pass makes a fork', async () => {
    await server.must('POST', `/api/v4/projects/${app}/pipeline`, { ref: 'main' }, alice.token);
    const pass = await passFor(server, await claim(), [alice.id]);
    const refused = await server.call('POST', `/api/v4/projects/${app}/fork`, { token: pass });
    expect([refused.status, refused.text]).toEqual([403, expect.stringContaining('No pass may do this')]);
  });
});
