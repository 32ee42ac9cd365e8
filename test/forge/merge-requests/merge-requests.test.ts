import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { id, type JobId, type Oid, type ProjectId } from '../../../src/base/ids.ts';
import { predefinedVariables } from '../../../src/jobs/predefined-reference.ts';
import { passFor } from '../../support/pass.ts';
import { type Claimed, startTestServer, type TestServer } from '../../support/server.ts';

const plain = 'job:\n  script: ["true"]\n';
const forRequests = `workflow:
  rules:
    - if: $CI_PIPELINE_SOURCE == "merge_request_event"
    - if: $CI_COMMIT_BRANCH && $CI_OPEN_MERGE_REQUESTS
      when: never
    - if: $CI_COMMIT_BRANCH
job:
  script: ["true"]
`;

describe('merge requests, on SQLite and real git', () => {
  let server: TestServer;
  let alice: { id: number; token: string };
  let bob: { id: number; token: string };
  let carol: { id: number; token: string };
  let runner: { id: number; token: string };
  let count = 0;

  beforeAll(async () => {
    server = await startTestServer();
    [alice, bob, carol] = [await server.user('alice'), await server.user('bob'), await server.user('carol')];
    runner = await server.runner();
  });
  afterAll(() => server.stop());
  beforeEach(drain);

  async function drain(): Promise<void> {
    for (let job = await server.claim(runner.token); job !== undefined; job = await server.claim(runner.token)) await server.finish(job);
  }
  /** Alice is maintainer, bob and carol are developers; bob's branch `work` has one commit more than the protected `main`. */
  async function project(ciFile = plain): Promise<number> {
    count += 1;
    const made = await server.project(`group${count}/app`);
    await server.member(made, alice.id, 40);
    for (const { id: user } of [bob, carol]) await server.member(made, user, 30);
    await server.commit(made, '.gitlab-ci.yml', ciFile, { token: alice.token });
    await server.commit(made, 'work.txt', 'work\n', { token: bob.token, branch: 'work', start: 'main' });
    await drain();
    return made;
  }
  const M = (app: number): string => `/api/v4/projects/${app}/merge_requests`;
  const branches = { source_branch: 'work', target_branch: 'main', title: 'Work' };
  const open = (app: number, token = bob.token, change: object = {}) => server.must('POST', M(app), { ...branches, ...change }, token);
  const write = (app: number, file: string, content: string, branch: string, token: string) =>
    server.must(
      'POST',
      `/api/v4/projects/${app}/repository/commits`,
      { branch, commit_message: `write ${file}`, actions: [{ action: 'create', file_path: file, content }] },
      token,
    );
  const pipelines = async (app: number, source: string) =>
    (await server.call('GET', `/api/v4/projects/${app}/pipelines?per_page=100`, { token: alice.token })).list.filter(
      (one) => one['source'] === source,
    );
  const claim = async (): Promise<Claimed> => (await server.claim(runner.token)) ?? Promise.reject(new Error('no job'));
  const variables = ({ payload }: Claimed) =>
    Object.fromEntries((payload['variables'] as { key: string; value: string }[]).map(({ key, value }) => [key, value]));
  const behind = async (job: Claimed) =>
    (await server.store.passes.forJob(null, id<JobId>(job.id)))[0]?.principals.map(({ userId }) => Number(userId)) ?? [];

  test('a merge request has GitLab’s fields, its commits, its changes and its notes', async () => {
    const app = await project();
    const made = await open(app, bob.token, {
      description: 'about it',
      labels: 'one,two',
      assignee_ids: [carol.id],
      remove_source_branch: true,
    });
    expect(made).toMatchObject({
      iid: 1,
      project_id: app,
      title: 'Work',
      description: 'about it',
      state: 'opened',
      source_branch: 'work',
      target_branch: 'main',
      author: { username: 'bob' },
      assignees: [{ username: 'carol' }],
      labels: ['one', 'two'],
      draft: false,
      force_remove_source_branch: true,
      references: { short: '!1', full: `group${count}/app!1` },
    });
    const one = await server.must('GET', `${M(app)}/1`, undefined, carol.token);
    expect(one).toMatchObject({
      detailed_merge_status: 'mergeable',
      merge_status: 'can_be_merged',
      has_conflicts: false,
      changes_count: '1',
    });
    const { list: commits } = await server.call('GET', `${M(app)}/1/commits`, { token: carol.token });
    expect(commits).toMatchObject([{ id: one['sha'], title: 'write work.txt' }]);
    const { list: diffs } = await server.call('GET', `${M(app)}/1/diffs`, { token: carol.token });
    expect(diffs).toMatchObject([{ new_path: 'work.txt', new_file: true, diff: '@@ -0,0 +1 @@\n+work\n' }]);
    const said = await server.must('POST', `${M(app)}/1/notes`, { body: 'fine\n/merge' }, carol.token);
    expect(said).toMatchObject({ body: 'fine\n/merge', author: { username: 'carol' }, noteable_type: 'MergeRequest', noteable_iid: 1 });
    expect((await server.call('GET', `${M(app)}/1/notes`, { token: bob.token })).list).toHaveLength(1);
    // A quick action is text here.
    expect(await server.must('GET', `${M(app)}/1`, undefined, bob.token)).toMatchObject({ state: 'opened', user_notes_count: 1 });
    const sha = String(one['sha']);
    const found = await server.call('GET', `/api/v4/projects/${app}/repository/commits/${sha}/merge_requests`, { token: bob.token });
    expect(found.list).toMatchObject([{ iid: 1 }]);
    const { list } = await server.call('GET', `${M(app)}?state=opened&source_branch=work`, { token: bob.token });
    expect(list).toMatchObject([{ iid: 1 }]);
    expect((await server.call('GET', `${M(app)}?state=merged`, { token: bob.token })).list).toEqual([]);
  });

  test('the same branches have one open merge request at a time', async () => {
    const app = await project();
    await open(app);
    expect((await server.call('POST', M(app), { token: carol.token, body: branches })).status).toBe(409);
    await server.must('PUT', `${M(app)}/1`, { state_event: 'close' }, bob.token);
    expect((await open(app))['iid']).toBe(2);
    expect((await server.call('PUT', `${M(app)}/1`, { token: bob.token, body: { state_event: 'reopen' } })).status).toBe(409);
    for (const [change, status] of [
      [{ source_branch: 'nowhere' }, 400],
      [{ target_branch: 'nowhere' }, 400],
      [{ source_branch: 'main' }, 422],
    ] as const)
      expect((await server.call('POST', M(app), { token: bob.token, body: { ...branches, ...change } })).status).toBe(status);
  });

  test('A2 a merge is a push of whoever merges: commit, pipeline, and the branch goes', async () => {
    const app = await project();
    const made = await open(app);
    await drain();
    const stale = await server.call('PUT', `${M(app)}/1/merge`, { token: alice.token, body: { sha: 'f'.repeat(40) } });
    expect(stale.status).toBe(409);
    const merged = await server.must('PUT', `${M(app)}/1/merge`, { sha: made['sha'], should_remove_source_branch: true }, alice.token);
    expect(merged).toMatchObject({ state: 'merged', merge_user: { username: 'alice' }, detailed_merge_status: 'not_open' });
    const commit = await server.must(
      'GET',
      `/api/v4/projects/${app}/repository/commits/${String(merged['merge_commit_sha'])}`,
      undefined,
      bob.token,
    );
    expect(commit).toMatchObject({ title: "Merge branch 'work' into 'main'", author_name: 'alice' });
    expect(commit['parent_ids']).toContain(made['sha']);
    expect((await server.call('GET', `/api/v4/projects/${app}/repository/branches/work`, { token: bob.token })).status).toBe(404);
    const [run] = await pipelines(app, 'push');
    expect(run).toMatchObject({ ref: 'main', sha: merged['merge_commit_sha'] });
    const job = await claim();
    expect(variables(job)).toMatchObject({ GITLAB_USER_LOGIN: 'alice', CI_COMMIT_BRANCH: 'main' });
    expect((await server.call('PUT', `${M(app)}/1/merge`, { token: alice.token })).status).toBe(422);
  });

  test('who may merge to a protected branch need not be allowed to push to it, and who may neither does neither', async () => {
    const app = await project();
    await open(app);
    expect((await server.call('PUT', `${M(app)}/1/merge`, { token: bob.token })).status).toBe(403);
    const P = `/api/v4/projects/${app}/protected_branches`;
    await server.must('DELETE', `${P}/main`);
    await server.must('POST', P, { name: 'main', push_access_level: 40, merge_access_level: 30 });
    expect((await server.must('PUT', `${M(app)}/1/merge`, {}, bob.token))['state']).toBe('merged');
    await expect(write(app, 'direct.txt', 'x', 'main', bob.token)).rejects.toThrow('403');
  });

  test('what cannot be merged says why', async () => {
    const app = await project();
    await open(app);
    await write(app, 'work.txt', 'other\n', 'main', alice.token);
    const status = async () => (await server.must('GET', `${M(app)}/1`, undefined, bob.token))['detailed_merge_status'];
    expect(await status()).toBe('conflict');
    const refused = await server.call('PUT', `${M(app)}/1/merge`, { token: alice.token });
    expect([refused.status, refused.text]).toEqual([422, expect.stringContaining('conflict')]);
    await server.must('PUT', `${M(app)}/1`, { title: 'Draft: Work' }, bob.token);
    expect(await status()).toBe('draft_status');
    await server.must('PUT', `${M(app)}/1`, { state_event: 'close' }, bob.token);
    expect(await status()).toBe('not_open');
  });

  test('a squashed merge is one commit on the target', async () => {
    const app = await project();
    await open(app, bob.token, { squash: true });
    const merged = await server.must('PUT', `${M(app)}/1/merge`, {}, alice.token);
    const path = `/api/v4/projects/${app}/repository/commits/${String(merged['merge_commit_sha'])}`;
    expect((await server.must('GET', path, undefined, bob.token))['parent_ids']).toHaveLength(1);
  });

  test('with `merge_method: ff` the target moves to the head, or nothing is merged', async () => {
    const app = await project();
    const set = (method: string) => server.call('PUT', `/api/v4/projects/${app}`, { token: alice.token, body: { merge_method: method } });
    expect([(await set('rebase_merge')).status, (await set('other')).status]).toEqual([501, 400]);
    expect((await set('ff')).body['merge_method']).toBe('ff');
    const made = await open(app);
    await write(app, 'second.txt', 'x', 'work', bob.token);
    const { sha } = await server.must('GET', `${M(app)}/1`, undefined, bob.token);
    const merged = await server.must('PUT', `${M(app)}/1/merge`, {}, alice.token);
    expect(merged).toMatchObject({ state: 'merged', sha });
    const main = await server.must('GET', `/api/v4/projects/${app}/repository/branches/main`, undefined, bob.token);
    expect((main['commit'] as { id: string }).id).toBe(sha);
    const { list } = await server.call('GET', `${M(app)}/1/diffs`, { token: bob.token });
    expect(list.map((one) => one['new_path'])).toContain('second.txt');
    expect(list.length).toBeGreaterThan(1);
    expect(made['sha']).not.toBe(sha);
    // The target has gone on: somebody must rebase first.
    await server.must('POST', `/api/v4/projects/${app}/repository/branches`, { branch: 'late', ref: String(sha) }, alice.token);
    await write(app, 'late.txt', 'x', 'late', bob.token);
    await write(app, 'onward.txt', 'x', 'main', alice.token);
    await open(app, bob.token, { source_branch: 'late' });
    const refused = await server.call('PUT', `${M(app)}/2/merge`, { token: alice.token });
    expect([refused.status, refused.text]).toEqual([422, expect.stringContaining('need_rebase')]);
  });

  test('its head follows the branch, and a push of its commits to the target merges it', async () => {
    const app = await project();
    await open(app);
    const more = await write(app, 'more.txt', 'x', 'work', bob.token);
    expect(await server.must('GET', `${M(app)}/1`, undefined, bob.token)).toMatchObject({ sha: more['id'] });
    await server.must('PUT', `/api/v4/projects/${app}`, { description: 'x' }, alice.token);
    // What fast-forwards main is not asked for here; a merge request into a branch that holds its commits is merged.
    await server.must('POST', `/api/v4/projects/${app}/repository/branches`, { branch: 'next', ref: 'main' }, alice.token);
    await open(app, bob.token, { target_branch: 'next' });
    await open(app, bob.token, { source_branch: 'next', target_branch: 'work' });
    await server.must('PUT', `${M(app)}/2/merge`, {}, alice.token);
    expect((await server.must('GET', `${M(app)}/2`, undefined, bob.token))['state']).toBe('merged');
    expect((await server.must('GET', `${M(app)}/1`, undefined, bob.token))['state']).toBe('opened');
  });

  test('a pipeline runs for it where the file wants one, and not twice (GitLab: Avoid duplicate pipelines)', async () => {
    const app = await project(forRequests);
    expect(await pipelines(app, 'merge_request_event')).toEqual([]);
    const made = await open(app, bob.token, { title: 'Do it' });
    const [first, ...others] = await pipelines(app, 'merge_request_event');
    expect([first, others]).toMatchObject([{ ref: 'refs/merge-requests/1/head', sha: made['sha'] }, []]);
    const job = await claim();
    const given = variables(job);
    expect(given).toMatchObject({
      CI_PIPELINE_SOURCE: 'merge_request_event',
      CI_MERGE_REQUEST_IID: '1',
      CI_MERGE_REQUEST_TITLE: 'Do it',
      CI_MERGE_REQUEST_TARGET_BRANCH_NAME: 'main',
      CI_MERGE_REQUEST_SOURCE_BRANCH_NAME: 'work',
      CI_MERGE_REQUEST_EVENT_TYPE: 'detached',
      CI_OPEN_MERGE_REQUESTS: `group${count}/app!1`,
      CI_COMMIT_REF_NAME: 'work',
      CI_COMMIT_REF_PROTECTED: 'false',
      GITLAB_USER_LOGIN: 'bob',
    });
    expect(Object.keys(given)).not.toContain('CI_COMMIT_BRANCH');
    const ofRequests = Object.keys(given).filter((name) => /MERGE_REQUEST/.test(name));
    expect(ofRequests.filter((name) => predefinedVariables.get(name)?.known !== 'pipeline')).toEqual([]);
    const listed = [...predefinedVariables].flatMap(([name, { known }]) =>
      known === 'pipeline' && /MERGE_REQUEST/.test(name) ? [name] : [],
    );
    expect(listed.toSorted()).toEqual(ofRequests.toSorted());
    expect(job.payload['git_info']).toMatchObject({
      ref: 'refs/merge-requests/1/head',
      refspecs: ['+refs/merge-requests/1/head:refs/merge-requests/1/head'],
      protected: false,
    });
    await write(app, 'more.txt', 'x', 'work', carol.token);
    expect(await pipelines(app, 'merge_request_event')).toHaveLength(2);
    expect((await pipelines(app, 'push')).filter((one) => one['ref'] === 'work')).toHaveLength(1);
    const again = await claim();
    expect(variables(again)['GITLAB_USER_LOGIN']).toBe('carol');
    // Bob wrote the title and pushed the first commit, alice moved main last (R3, A59).
    expect(await behind(again)).toEqual([carol.id, bob.id, alice.id]);
    expect(await server.must('GET', `${M(app)}/1`, undefined, bob.token)).toMatchObject({
      head_pipeline: { source: 'merge_request_event' },
    });
    const { list } = await server.call('GET', `${M(app)}/1/pipelines`, { token: bob.token });
    expect(list).toHaveLength(2);
  });

  test('rules:changes look at what the request would bring to its target, and not at what moved there meanwhile (GitLab)', async () => {
    const when = (path: string) => `{script: x, rules: [{if: $CI_PIPELINE_SOURCE == "merge_request_event", changes: [${path}]}]}`;
    const app = await project(
      `touched: ${when('work.txt')}\nother: ${when('other.txt')}\nold: {script: x, only: {refs: [merge_requests], changes: ['w*']}}\n`,
    );
    await write(app, 'other.txt', 'x', 'main', alice.token);
    await open(app);
    const [made] = await pipelines(app, 'merge_request_event');
    const { list } = await server.call('GET', `/api/v4/projects/${app}/pipelines/${String(made?.['id'])}/jobs`, { token: bob.token });
    expect(list.map((one) => one['name'])).toEqual(expect.arrayContaining(['touched', 'old']));
    expect(list).toHaveLength(2);
  });

  test('jobs without rules are for branches; on demand the file is told why there is none', async () => {
    const app = await project();
    await open(app);
    expect(await pipelines(app, 'merge_request_event')).toEqual([]);
    const asked = await server.call('POST', `${M(app)}/1/pipelines`, { token: bob.token });
    expect([asked.status, asked.text]).toEqual([400, expect.stringContaining('Pipeline will not run')]);
  });

  test('A56 who wrote the title is a principal of the jobs that read it', async () => {
    const app = await project(forRequests);
    await open(app);
    await drain();
    await server.must('PUT', `${M(app)}/1`, { title: '$(evil)' }, carol.token);
    await server.must('POST', `${M(app)}/1/pipelines`, {}, alice.token);
    expect(await behind(await claim())).toEqual([alice.id, bob.id, carol.id]);
  });

  test('A56 who opened it is a principal of its jobs, also where another runs them again', async () => {
    const app = await project(forRequests);
    await open(app, carol.token, { title: '$(evil)' });
    const job = await claim();
    await server.finish(job, 'failed');
    await server.must('POST', `/api/v4/projects/${app}/jobs/${job.id}/retry`, {}, alice.token);
    expect(await behind(await claim())).toEqual([alice.id, carol.id, bob.id]);
  });

  test('A56 who chose its target is a principal of the jobs that read it', async () => {
    const app = await project(forRequests);
    await open(app);
    await drain();
    await server.must('POST', `/api/v4/projects/${app}/repository/branches`, { branch: 'evil', ref: 'main' }, carol.token);
    await drain();
    await server.must('PUT', `${M(app)}/1`, { target_branch: 'evil' }, carol.token);
    await server.must('POST', `${M(app)}/1/pipelines`, {}, alice.token);
    expect(await behind(await claim())).toEqual([alice.id, bob.id, carol.id]);
  });

  test('A7 the right to run it is asked again when a runner takes the job', async () => {
    const app = await project(forRequests);
    await open(app);
    await drain();
    const made = await server.must('POST', `${M(app)}/1/pipelines`, {}, bob.token);
    await server.must('PUT', `/api/v4/projects/${app}/members/${bob.id}`, { access_level: 20 });
    expect(await server.claim(runner.token)).toBeUndefined();
    expect(await server.must('GET', `/api/v4/projects/${app}/pipelines/${String(made['id'])}`, undefined, alice.token)).toMatchObject({
      status: 'failed',
    });
    await server.must('PUT', `/api/v4/projects/${app}/members/${bob.id}`, { access_level: 30 });
    // A source branch that is protected counts as any other (A3).
    await server.must('POST', `/api/v4/projects/${app}/protected_branches`, {
      name: 'work',
      push_access_level: 40,
      merge_access_level: 40,
    });
    expect((await server.call('POST', `${M(app)}/1/pipelines`, { token: bob.token })).status).toBe(403);
  });

  test('A58 what a pass merges, all its principals merged; R5 it starts nothing, A62 it writes no quick action', async () => {
    const app = await project(forRequests);
    await server.must('POST', `/api/v4/projects/${app}/pipeline`, { ref: 'main' }, alice.token);
    const job = await claim();
    const pass = await passFor(server, job, [alice.id, bob.id]);
    await server.must('PUT', `/api/v4/projects/${app}/members/${bob.id}`, { access_level: 40 });
    const evil = await server.call('POST', M(app), { token: pass, body: { ...branches, description: 'x\n/assign @root' } });
    expect([evil.status, evil.text]).toEqual([403, expect.stringContaining('quick action')]);
    await open(app, pass);
    expect(await pipelines(app, 'merge_request_event')).toEqual([]);
    expect((await server.call('POST', `${M(app)}/1/pipelines`, { token: pass })).status).toBe(403);
    for (const body of [{ body: '/merge' }, { body: 'x\n  /close' }])
      expect((await server.call('POST', `${M(app)}/1/notes`, { token: pass, body })).status).toBe(403);
    const later = await server.call('PUT', `${M(app)}/1/merge`, { token: pass, body: { merge_when_pipeline_succeeds: true } });
    expect([later.status, later.text]).toEqual([403, expect.stringContaining('merge_when_pipeline_succeeds')]);
    const before = await pipelines(app, 'push');
    const merged = await server.must('PUT', `${M(app)}/1/merge`, {}, pass);
    expect(merged).toMatchObject({ state: 'merged', merge_user: { username: 'alice' } });
    const sha = String(merged['merge_commit_sha']) as Oid;
    const pushers = await server.store.forge.pushLog.pushersOf(null, id<ProjectId>(app), [sha]);
    expect(pushers.get(sha)).toEqual([alice.id, bob.id]);
    expect(await pipelines(app, 'push')).toHaveLength(before.length);
    expect(await server.store.mergeRequests.byIid(null, id<ProjectId>(app), 1)).toMatchObject({ writers: [alice.id, bob.id] });
  });

  test('R2 a pass that dies while it opens one starts no pipeline any more', async () => {
    const app = await project(forRequests);
    await server.must('PUT', `/api/v4/projects/${app}`, { jobpass_chain_depth: 1 });
    await server.must('POST', `/api/v4/projects/${app}/pipeline`, { ref: 'main' }, alice.token);
    const job = await claim();
    const pass = await passFor(server, job, [alice.id]);
    const { mergeRequests } = server.store;
    const { byId } = mergeRequests;
    // It stands, and what is to run on it is about to be looked up.
    const ended: typeof byId = async (tx, request) => {
      Object.assign(mergeRequests, { byId });
      await server.finish(job);
      return byId(tx, request);
    };
    Object.assign(mergeRequests, { byId: ended });
    await open(app, pass);
    expect(await pipelines(app, 'merge_request_event')).toEqual([]);
    // One that lives starts it.
    await server.must('POST', `/api/v4/projects/${app}/pipeline`, { ref: 'main' }, alice.token);
    const alive = await passFor(server, await claim(), [alice.id]);
    await server.must('POST', `/api/v4/projects/${app}/repository/branches`, { branch: 'other', ref: 'work' }, bob.token);
    await open(app, alive, { source_branch: 'other' });
    expect(await pipelines(app, 'merge_request_event')).toHaveLength(1);
  });

  test('R4 A66 a merge by a pass brings nothing below .jobpass/', async () => {
    const app = await project();
    await write(app, '.jobpass/policy.yml', 'x', 'work', bob.token);
    await open(app);
    await drain();
    await server.must('POST', `/api/v4/projects/${app}/pipeline`, { ref: 'main' }, alice.token);
    const pass = await passFor(server, await claim(), [alice.id]);
    const refused = await server.call('PUT', `${M(app)}/1/merge`, { token: pass });
    expect([refused.status, refused.text]).toEqual([403, expect.stringContaining('.jobpass/')]);
    expect((await server.must('GET', `${M(app)}/1`, undefined, bob.token))['state']).toBe('opened');
  });
});
