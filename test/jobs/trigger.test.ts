import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { id, type JobId, type PipelineId, type ProjectId } from '../../src/base/ids.ts';
import type { JobRecord, PipelineRecord } from '../../src/ports/jobs.ts';
import { type Claimed, startTestServer, type TestServer } from '../support/server.ts';
import { archiveForm, zipOf } from '../support/zip.ts';

interface Person {
  readonly id: number;
  readonly token: string;
}

let server: TestServer;
let runner: string;
let alice: Person;
let bob: Person;
let carol: Person;
let made = 0;
beforeAll(async () => {
  server = await startTestServer();
  [alice, bob, carol] = [await server.user('alice'), await server.user('bob'), await server.user('carol')];
  ({ token: runner } = await server.runner());
});
afterAll(() => server.stop());

type Files = Readonly<Record<string, string>>;
/** A project of its own group, whose `main` is protected, written by `by`. */
async function project(files: Files, members: readonly (readonly [Person, number])[], by = alice): Promise<{ id: number; path: string }> {
  made += 1;
  const path = `hop${made}/app`;
  const app = await server.project(path);
  for (const [person, level] of members) await server.member(app, person.id, level);
  const actions = Object.entries(files).map(([file_path, content]) => ({ action: 'create', file_path, content }));
  const body = { branch: 'main', commit_message: 'write', actions };
  await server.must('POST', `/api/v4/projects/${app}/repository/commits`, body, by.token);
  return { id: app, path };
}
const run = async (app: number, by: Person, ref = 'main', variables: readonly { key: string; value: string }[] = []) =>
  id<PipelineId>(Number((await server.must('POST', `/api/v4/projects/${app}/pipeline`, { ref, variables }, by.token))['id']));
const pipelines = async (app: number, source?: 'pipeline' | 'parent_pipeline'): Promise<readonly PipelineRecord[]> =>
  (await server.store.jobs.listPipelines(null, id<ProjectId>(app), source === undefined ? {} : { source }, { page: 1, perPage: 100 })).rows;
const newest = async (app: number) => (await pipelines(app))[0]?.id ?? id<PipelineId>(1);
const job = async (pipeline: PipelineId, name: string): Promise<JobRecord> => {
  const found = (await server.store.jobs.jobsOfPipeline(null, pipeline)).findLast((one) => one.name === name);
  if (found === undefined) throw new Error(`there is no job ${name}`);
  return found;
};
/** What a bridge has come to, once it is over or triggered something. */
async function settled(pipeline: PipelineId, name = 'hop'): Promise<JobRecord> {
  await expect.poll(async () => (await job(pipeline, name)).status, { timeout: 20_000, interval: 20 }).not.toBe('pending');
  return job(pipeline, name);
}
async function drain(): Promise<readonly Claimed[]> {
  const all: Claimed[] = [];
  for (let one = await server.claim(runner); one !== undefined; one = await server.claim(runner)) {
    all.push(one);
    await server.finish(one);
  }
  return all;
}
const claim = async (): Promise<Claimed> => {
  const one = await server.claim(runner);
  if (one === undefined) throw new Error('no job to take');
  return one;
};
const whose = async (one: Claimed) =>
  ((await server.store.passes.forJob(null, id<JobId>(one.id)))[0]?.principals ?? []).map(({ userId }) => Number(userId));
const value = (one: Claimed, key: string) =>
  (one.payload['variables'] as readonly { key: string; value: string }[]).findLast((variable) => variable.key === key)?.value;

const leaf = 'work: {script: "true"}\n';

describe('child pipelines', () => {
  test('one is made from a file of the same commit, knows where it comes from, and its bridge ends as it does', async () => {
    const app = await project(
      {
        '.gitlab-ci.yml':
          'variables: {A: "1", PARENT: $CI_PIPELINE_ID}\nhop: {trigger: {include: ci/child.yml, strategy: depend}, variables: {B: $A}}\n',
        'ci/child.yml': leaf,
      },
      [[alice, 40]],
    );
    const parent = await newest(app.id);
    expect((await settled(parent)).status).toBe('running');
    expect((await server.store.jobs.pipeline(null, parent))?.status).toBe('running');
    const [child] = await pipelines(app.id, 'parent_pipeline');
    expect(child).toMatchObject({
      source: 'parent_pipeline',
      ref: 'main',
      userId: alice.id,
      upstream: { rootId: parent, hops: 1, childDepth: 1 },
    });
    const get = (path: string) => server.call('GET', `/api/v4/projects/${app.id}/${path}`, { token: alice.token });
    // As GitLab: a list of pipelines has no child pipelines, a list of jobs no bridges.
    expect((await get('pipelines')).list).toHaveLength(1);
    expect((await get('pipelines?source=parent_pipeline')).list).toHaveLength(1);
    expect((await get('jobs')).list.map((one) => one['name'])).toEqual(['work']);
    expect((await get(`pipelines/${parent}/bridges`)).list).toMatchObject([
      { name: 'hop', status: 'running', downstream_pipeline: { id: child?.id, status: 'pending', project_id: app.id } },
    ]);
    expect((await get(`pipelines/${parent}/bridges?scope[]=running`)).list).toHaveLength(1);
    expect((await get(`pipelines/${parent}/bridges?scope[]=failed`)).list).toEqual([]);
    expect((await get(`pipelines/${parent}/bridges?scope=odd`)).status).toBe(400);
    const work = await claim();
    expect([value(work, 'CI_PIPELINE_SOURCE'), value(work, 'A'), value(work, 'B'), value(work, 'PARENT')]).toEqual([
      'parent_pipeline',
      '1',
      '1',
      String(parent),
    ]);
    await server.finish(work, 'failed');
    await expect.poll(async () => (await job(parent, 'hop')).status, { timeout: 20_000 }).toBe('failed');
    expect((await server.store.jobs.pipeline(null, parent))?.status).toBe('failed');
    await server.must('POST', `/api/v4/projects/${app.id}/jobs/${(await job(parent, 'hop')).id}/retry`, {}, alice.token);
    await settled(parent);
    await drain();
    await expect.poll(async () => (await server.store.jobs.pipeline(null, parent))?.status, { timeout: 20_000 }).toBe('success');
  });

  test('without `depend` the bridge is done at once; a canceled parent takes its children along; a mistake in the file is told', async () => {
    const app = await project(
      {
        '.gitlab-ci.yml':
          'stages: [a, b]\nhop: {stage: a, trigger: {include: child.yml}}\nlate: {stage: b, script: x}\nbad: {stage: a, trigger: {include: bad.yml}, allow_failure: true}\nnone: {stage: a, trigger: {include: none.yml}, allow_failure: true}\n',
        'child.yml': leaf,
        'bad.yml': 'a: {scrip: x}\n',
      },
      [[alice, 40]],
    );
    const parent = await newest(app.id);
    expect((await settled(parent)).status).toBe('success');
    expect(await settled(parent, 'bad')).toMatchObject({ status: 'failed', failureReason: 'downstream_pipeline_creation_failed' });
    expect((await settled(parent, 'bad')).failureText).toContain('unknown keyword `scrip`');
    expect(await settled(parent, 'none')).toMatchObject({ status: 'failed', failureText: 'There is no such file at this commit.' });
    await server.must('POST', `/api/v4/projects/${app.id}/pipelines/${parent}/cancel`, {}, alice.token);
    expect((await pipelines(app.id, 'parent_pipeline')).map(({ status }) => status)).toEqual(['failed', 'canceled']);
    expect(await drain()).toEqual([]);
  });

  test('A57 who stands behind the job that made the file answers for the child: what they may not start is not started', async () => {
    const file =
      'make: {script: x, tags: [made], artifacts: {paths: [out.yml]}}\nhop: {stage: deploy, trigger: {include: [{artifact: out.yml, job: make}]}}\n';
    const build = async (level: number): Promise<PipelineId> => {
      const app = await project({ '.gitlab-ci.yml': file }, [[alice, 40], ...(level > 0 ? [[carol, level] as const] : [])]);
      const own = await server.must('POST', '/api/v4/user/runners', {
        runner_type: 'project_type',
        project_id: app.id,
        tag_list: ['made'],
      });
      // Its responsible user is carol: what runs there is as good as written by her (A44).
      await server.must('PUT', `/api/v4/runners/${String(own['id'])}`, { responsible_user_id: carol.id });
      const work = await server.claim(String(own['token']));
      if (work === undefined) throw new Error('no job to take');
      expect(await whose(work)).toContain(carol.id);
      const form = archiveForm(zipOf({ 'out.yml': leaf }));
      const headers = { 'job-token': work.token, 'content-type': 'multipart/form-data; boundary=b' };
      expect((await server.call('POST', `/api/v4/jobs/${work.id}/artifacts`, { headers, raw: form })).status).toBe(201);
      await server.finish(work);
      return newest(app.id);
    };
    const refused = await settled(await build(0));
    expect(refused).toMatchObject({ status: 'failed', failureReason: 'downstream_bridge_project_not_found' });
    const low = await settled(await build(20));
    expect(low).toMatchObject({ status: 'failed', failureReason: 'insufficient_bridge_permissions' });
    expect(low.failureText).toContain('carol');
    const fine = await settled(await build(40));
    expect(fine.status).toBe('success');
    const work = await claim();
    expect(await whose(work)).toEqual([alice.id, carol.id]);
    await server.finish(work);
  });
});

describe('A6 each hop is authorised again', () => {
  const hop = (target: { path: string }, more = '') => `hop: {trigger: {project: ${target.path}${more}}}\n`;

  test('A6 a downstream pipeline needs the right to run on its ref, protected or not', async () => {
    const target = await project({ '.gitlab-ci.yml': leaf }, [[alice, 30]], { id: 1, token: server.root });
    await drain();
    const app = await project({ '.gitlab-ci.yml': hop(target) }, [[alice, 40]]);
    const refused = await settled(await newest(app.id));
    expect(refused).toMatchObject({ status: 'failed', failureReason: 'insufficient_bridge_permissions', downstreamId: null });
    expect(refused.failureText).toContain('protected');
    // The same on a branch that is not.
    await server.must('POST', `/api/v4/projects/${target.id}/repository/branches`, { branch: 'open', ref: 'main' });
    await drain();
    const open = await project({ '.gitlab-ci.yml': hop(target, ', branch: open') }, [[alice, 40]]);
    expect((await settled(await newest(open.id))).status).toBe('success');
    expect(await pipelines(target.id, 'pipeline')).toMatchObject([
      { ref: 'open', source: 'pipeline', userId: alice.id, parentJobId: null },
    ]);
    await drain();
  });

  test('A6 a project that is hidden from one of them is not there; nothing tells it from one that does not exist', async () => {
    const target = await project({ '.gitlab-ci.yml': leaf }, [], { id: 1, token: server.root });
    await drain();
    const hidden = await project({ '.gitlab-ci.yml': hop(target) }, [[alice, 40]]);
    const absent = await project({ '.gitlab-ci.yml': hop({ path: 'no/where' }) }, [[alice, 40]]);
    const [one, other] = [await settled(await newest(hidden.id)), await settled(await newest(absent.id))];
    expect(one).toMatchObject({ failureReason: 'downstream_bridge_project_not_found', failureText: other.failureText });
    expect(other.failureReason).toBe(one.failureReason);
    const rows = () => server.store.audit.query({ jobId: one.id, limit: 10 });
    await expect.poll(async () => (await rows()).length, { timeout: 20_000 }).toBe(1);
    expect(await rows()).toMatchObject([{ decision: 'deny', subject: 'bridge', principals: [alice.id], endpoint: 'trigger' }]);
  });

  test('A6 A58 whoever wrote what the bridge runs on is asked, too, and stands behind the pipeline that it makes', async () => {
    const target = await project({ '.gitlab-ci.yml': leaf }, [[alice, 40]]);
    await drain();
    const app = await project({ '.gitlab-ci.yml': leaf }, [
      [alice, 40],
      [bob, 30],
    ]);
    await drain();
    const actions = [
      { action: 'update', file_path: '.gitlab-ci.yml', content: `workflow: {rules: [{if: $CI_PIPELINE_SOURCE == "api"}]}\n${hop(target)}` },
    ];
    await server.must(
      'POST',
      `/api/v4/projects/${app.id}/repository/commits`,
      { branch: 'work', start_branch: 'main', commit_message: 'bob', actions },
      bob.token,
    );
    // Alice runs what bob wrote: with her rights alone it would reach her project.
    const refused = await settled(await run(app.id, alice, 'work'));
    expect(refused).toMatchObject({ status: 'failed', failureReason: 'downstream_bridge_project_not_found' });
    await server.member(target.id, bob.id, 40);
    expect((await settled(await run(app.id, alice, 'work'))).status).toBe('success');
    expect(await pipelines(target.id, 'pipeline')).toMatchObject([{ userId: alice.id, creators: [alice.id, bob.id] }]);
    const work = await claim();
    expect(await whose(work)).toEqual([alice.id, bob.id]);
    await server.finish(work);
  });

  test('A6 what they may do is asked when the bridge starts, not when its pipeline was made; an administrator lends no power', async () => {
    const target = await project({ '.gitlab-ci.yml': leaf }, [[alice, 40]]);
    await drain();
    const app = await project({ '.gitlab-ci.yml': `hop: {when: manual, trigger: {project: ${target.path}}}\n` }, [[alice, 40]]);
    const first = await newest(app.id);
    const play = async (by: Person, pipeline: PipelineId) =>
      server.must('POST', `/api/v4/projects/${app.id}/jobs/${(await job(pipeline, 'hop')).id}/play`, {}, by.token);
    await server.must('PUT', `/api/v4/projects/${target.id}/members/${alice.id}`, { access_level: 20 });
    await play(alice, first);
    expect(await settled(first)).toMatchObject({ failureReason: 'insufficient_bridge_permissions' });
    const second = await run(app.id, alice);
    const admin = await server.must('POST', '/api/v4/users', { username: 'dan', name: 'dan', email: 'dan@example.com', admin: true });
    const { token } = await server.must('POST', `/api/v4/users/${String(admin['id'])}/personal_access_tokens`, {
      name: 't',
      scopes: ['api'],
    });
    await play({ id: Number(admin['id']), token: String(token) }, second);
    expect(await settled(second)).toMatchObject({ failureReason: 'downstream_bridge_project_not_found' });
  });

  test('A6 R4 what bounds the passes of its jobs bounds a bridge', async () => {
    const target = await project({ '.gitlab-ci.yml': leaf }, [[alice, 40]]);
    await drain();
    const bounded = `hop: {trigger: ${target.path}, variables: {JOBPASS_PERMISSIONS: 'code:download'}}\n`;
    const app = await project({ '.gitlab-ci.yml': bounded }, [[alice, 40]]);
    const refused = await settled(await newest(app.id));
    expect(refused).toMatchObject({ failureReason: 'insufficient_bridge_permissions' });
    expect(refused.failureText).toContain('ceiling of the job');
  });

  test('R4 A50 what bounds a pipeline bounds what it triggers, whatever its file forwards; a ceiling keeps no child from its parent', async () => {
    const file = 'hop: {trigger: {include: child.yml, forward: {yaml_variables: false}}}\n';
    const child = 'work: {script: x, tags: [shown], variables: {JOBPASS_EXPOSE: variable}}\n';
    const app = await project({ '.gitlab-ci.yml': file, 'child.yml': child }, [[alice, 40]]);
    await settled(await newest(app.id));
    const shown = await server.runner({ tags: ['shown'] });
    await server.must('PUT', `/api/v4/runners/${shown.id}`, { trust: 'full', pinned_verdict: 'expose', pinned_reasons: ['test'] });
    const first = await server.claim(shown.token);
    expect(first?.pass).toMatch(/^jpt_x/);
    if (first !== undefined) await server.finish(first);
    await server.must('PUT', '/api/v4/user/jobpass/ceiling', { permissions: ['code:download'] }, alice.token);
    const bound = [{ key: 'JOBPASS_PERMISSIONS', value: 'container:read' }];
    expect((await settled(await run(app.id, alice, 'main', bound))).status).toBe('success');
    const work = await server.claim(shown.token);
    const passes = await server.store.passes.forJob(null, id<JobId>(work?.id ?? 0));
    expect(passes.find(({ kind }) => kind === 'full')?.limits).toMatchObject([{ by: 'a pipeline above', permissions: ['container:read'] }]);
    if (work !== undefined) await server.finish(work);
    const target = await project({ '.gitlab-ci.yml': leaf }, [[alice, 40]]);
    await drain();
    const far = await project({ '.gitlab-ci.yml': hop(target) }, [[alice, 40]]);
    expect((await settled(await newest(far.id))).failureText).toContain('ceiling of the user alice');
    expect((await server.call('DELETE', '/api/v4/user/jobpass/ceiling', { token: alice.token })).status).toBe(204);
  });

  test('R5 a pipeline that a pass began goes on only where the other project lets jobs start jobs, and names its parent', async () => {
    const target = await project({ '.gitlab-ci.yml': leaf }, [[alice, 40]]);
    await drain();
    const file = `work: {script: "true"}\nhop: {trigger: {project: ${target.path}}, rules: [{if: $CI_PIPELINE_SOURCE == "api"}]}\n`;
    const app = await project({ '.gitlab-ci.yml': file }, [[alice, 40]]);
    const began = await claim();
    await server.must('PUT', `/api/v4/projects/${app.id}`, { jobpass_chain_depth: 1 }, alice.token);
    const pass = await passOf(began);
    const start = async () =>
      id<PipelineId>(Number((await server.must('POST', `/api/v4/projects/${app.id}/pipeline`, { ref: 'main' }, pass))['id']));
    const refused = await settled(await start());
    expect(refused).toMatchObject({ failureReason: 'insufficient_bridge_permissions' });
    expect(refused.failureText).toContain('jobpass_chain_depth');
    await server.must('PUT', `/api/v4/projects/${target.id}`, { jobpass_chain_depth: 1 }, alice.token);
    expect((await settled(await start())).status).toBe('success');
    expect(await pipelines(target.id, 'pipeline')).toMatchObject([{ parentJobId: began.id, chainDepth: 1 }]);
    await server.finish(began);
    await drain();
  });
});

/** A full pass of a running job, as a runner with full trust would hold it. */
async function passOf(claimed: Claimed): Promise<string> {
  const { newPassToken } = await import('../../src/base/pass-token.ts');
  const row = await server.store.jobs.job(null, id<JobId>(claimed.id));
  const [fetch] = await server.store.passes.forJob(null, id<JobId>(claimed.id));
  if (row === null || row === undefined || fetch === undefined) throw new Error('no job');
  const secret = newPassToken('full');
  const { id: _id, revokedAt: _at, revokedReason: _reason, ...facts } = fetch;
  await server.store.transactor.write((tx) => server.store.passes.insert(tx, { ...facts, kind: 'full', digest: secret.digest() }));
  return secret.reveal();
}

describe('bounds', () => {
  test('R13 child pipelines go two levels deep, and pipelines that trigger each other come to an end', async () => {
    const file = 'hop: {trigger: {include: .gitlab-ci.yml, strategy: depend}}\n';
    const app = await project({ '.gitlab-ci.yml': file }, [[alice, 40]]);
    await expect.poll(async () => (await pipelines(app.id, 'parent_pipeline')).length, { timeout: 20_000 }).toBe(2);
    const [second] = await pipelines(app.id, 'parent_pipeline');
    expect(await settled(second?.id ?? id<PipelineId>(0))).toMatchObject({ failureReason: 'reached_max_descendant_pipelines_depth' });

    const one = await project({ 'README.md': 'x' }, [[alice, 40]]);
    const other = await project({ '.gitlab-ci.yml': `hop: {trigger: ${one.path}}\n` }, [[alice, 40]]);
    await settled(await newest(other.id));
    await server.commit(one.id, '.gitlab-ci.yml', `hop: {trigger: ${other.path}}\n`, { token: alice.token });
    const all = async () => [...(await pipelines(one.id)), ...(await pipelines(other.id))];
    await expect.poll(async () => Math.max(...(await all()).map(({ upstream }) => upstream?.hops ?? 0)), { timeout: 30_000 }).toBe(10);
    const last = (await all()).find(({ upstream }) => upstream?.hops === 10);
    expect(await settled(last?.id ?? id<PipelineId>(0))).toMatchObject({ failureReason: 'reached_max_descendant_pipelines_depth' });
  });

  test('R3 where the pipeline above is gone, whoever stood behind it is not known: its jobs fetch their own project only', async () => {
    const app = await project({ '.gitlab-ci.yml': 'hop: {trigger: {include: child.yml}}\n', 'child.yml': leaf }, [[alice, 50]]);
    const parent = await newest(app.id);
    await settled(parent);
    await server.store.transactor.write((tx) => server.store.flow.removePipeline(tx, parent));
    const work = await claim();
    expect((await server.store.passes.forJob(null, id<JobId>(work.id))).map(({ ownProjectOnly }) => ownProjectOnly)).toEqual([true]);
    await server.finish(work);
  });
});
