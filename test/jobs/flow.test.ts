import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { id, type JobId, millis, type PipelineId, type ProjectId } from '../../src/base/ids.ts';
import { interrupted } from '../../src/jobs/auto-cancel.ts';
import { openStore } from '../../src/store/open.ts';
import { sampleJob } from '../support/sample-job.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

let server: TestServer;
let runner: string;
let alice: { id: number; token: string };
let bob: { id: number; token: string };
let made = 0;
beforeAll(async () => {
  server = await startTestServer();
  alice = await server.user('alice');
  bob = await server.user('bob');
  ({ token: runner } = await server.runner());
});
afterAll(() => server.stop());

/** A project whose `main` has this file, with alice and bob as maintainers; the pipeline of the push is over. */
async function project(file: string): Promise<number> {
  made += 1;
  const app = await server.project(`flow/app${made}`);
  for (const user of [alice, bob]) await server.member(app, user.id, 40);
  await server.commit(app, '.gitlab-ci.yml', file, { token: alice.token });
  return app;
}
const newest = async (app: number): Promise<PipelineId> =>
  (await server.store.jobs.listPipelines(null, id<ProjectId>(app), {}, { page: 1, perPage: 1 })).rows[0]?.id ?? id<PipelineId>(1);
const start = async (app: number): Promise<PipelineId> =>
  id<PipelineId>(Number((await server.must('POST', `/api/v4/projects/${app}/pipeline`, { ref: 'main' }, alice.token))['id']));
const jobs = async (pipeline: PipelineId) => server.store.jobs.jobsOfPipeline(null, pipeline);
const states = async (pipeline: PipelineId) => Object.fromEntries((await jobs(pipeline)).map((job) => [job.name, job.status]));
const named = async (pipeline: PipelineId, name: string): Promise<JobId> =>
  (await jobs(pipeline)).findLast((job) => job.name === name)?.id ?? id<JobId>(0);
const finish = async (state: 'success' | 'failed' = 'success') => {
  const job = await server.claim(runner);
  if (job === undefined) throw new Error('no job to take');
  await server.finish(job, state);
  return job;
};
async function eventually(what: () => Promise<unknown>, wanted: unknown): Promise<void> {
  await expect.poll(what, { timeout: 20_000, interval: 20 }).toEqual(wanted);
}

test('a delayed job waits for its time; played it starts at once', async () => {
  const app = await project('late: {script: x, when: delayed, start_in: 1 hour}\nsoon: {script: x, when: delayed, start_in: 2 hours}\n');
  const pipeline = await newest(app);
  expect(await states(pipeline)).toEqual({ late: 'scheduled', soon: 'scheduled' });
  const late = await named(pipeline, 'late');
  const due = (await server.store.jobs.job(null, late))?.scheduledAt ?? 0;
  expect(Math.abs(due - Date.now() - 3600_000)).toBeLessThan(600_000);
  expect((await server.store.jobs.pipeline(null, pipeline))?.status).toBe('scheduled');
  expect(await server.claim(runner)).toBeUndefined();
  await server.must('POST', `/api/v4/projects/${app}/jobs/${await named(pipeline, 'soon')}/play`, {}, bob.token);
  expect((await finish()).id).toBe(await named(pipeline, 'soon'));
  await server.store.transactor.write((tx) => server.store.jobs.changeJob(tx, late, ['scheduled'], { scheduledAt: millis(1) }));
  await eventually(async () => (await states(pipeline))['late'], 'pending');
  await finish();
  expect((await server.store.jobs.pipeline(null, pipeline))?.status).toBe('success');
});

test('a delayed job that came due while no server ran starts with the next one', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'jobpass-delayed-'));
  try {
    const first = await startTestServer({ dataDir });
    const app = await first.project('late/app');
    await first.commit(app, '.gitlab-ci.yml', 'late: {script: x, when: delayed, start_in: 1 hour}\n');
    const [late] = await first.store.jobs.jobsOfPipeline(null, id<PipelineId>(1));
    expect(late?.status).toBe('scheduled');
    await first.stop();
    const store = await openStore(`sqlite:${join(dataDir, 'jobpass.db')}`);
    await store.transactor.write((tx) => store.jobs.changeJob(tx, late?.id ?? id<JobId>(0), ['scheduled'], { scheduledAt: millis(1) }));
    await store.close();
    const second = await startTestServer({ dataDir });
    await eventually(async () => (await second.store.jobs.jobsOfPipeline(null, id<PipelineId>(1)))[0]?.status, 'pending');
    await second.stop();
  } finally {
    await rm(dataDir, { recursive: true, force: true });
  }
});

test('of a resource group one job runs at a time; its end lets the next one in, whatever the end', async () => {
  const app = await project('deploy: {script: x, resource_group: prod}\n');
  const group = `/api/v4/projects/${app}/resource_groups/prod`;
  const first = await newest(app);
  await eventually(async () => (await states(first))['deploy'], 'pending');
  const second = await start(app);
  const third = await start(app);
  expect([await states(second), await states(third)]).toEqual([{ deploy: 'waiting_for_resource' }, { deploy: 'waiting_for_resource' }]);
  expect((await server.store.jobs.pipeline(null, second))?.status).toBe('waiting_for_resource');
  const one = await server.claim(runner);
  expect(await server.claim(runner)).toBeUndefined();
  const get = (path: string) => server.call('GET', path, { token: alice.token });
  expect((await get(group)).body).toMatchObject({ key: 'prod', process_mode: 'unordered' });
  expect((await get(`${group}/current_job`)).body).toMatchObject({ id: one?.id, status: 'running' });
  expect((await get(`${group}/upcoming_jobs`)).list).toHaveLength(2);
  expect((await get(`/api/v4/projects/${app}/resource_groups`)).list).toHaveLength(1);
  await server.must('PUT', group, { process_mode: 'newest_ready_first' }, alice.token);
  if (one !== undefined) await server.finish(one, 'failed');
  await eventually(async () => (await states(third))['deploy'], 'pending');
  await server.must('POST', `/api/v4/projects/${app}/pipelines/${third}/cancel`, {}, alice.token);
  await eventually(async () => (await states(second))['deploy'], 'pending');
  await finish();
  expect((await server.store.resourceGroups.byKey(null, id<ProjectId>(app), 'prod'))?.holderId).toBeNull();
});

test('oldest_first lets nobody by who is not yet ready before', async () => {
  const file = 'stages: [a, b]\nfirst: {stage: a, script: x}\ndeploy: {stage: b, script: x, resource_group: prod}\n';
  const app = await project(file);
  const older = await newest(app);
  await server.must('PUT', `/api/v4/projects/${app}/resource_groups/prod`, { process_mode: 'oldest_first' }, alice.token);
  const newer = await start(app);
  await server.must('POST', `/api/v4/projects/${app}/jobs/${await named(older, 'first')}/cancel`, {}, alice.token);
  await server.must('POST', `/api/v4/projects/${app}/jobs/${await named(older, 'first')}/retry`, {}, alice.token);
  // The newer one's first job comes first in the queue.
  expect((await finish()).id).toBe(await named(newer, 'first'));
  expect((await states(newer))['deploy']).toBe('waiting_for_resource');
  expect((await states(older))['deploy']).toBe('created');
  await finish();
  await eventually(async () => (await states(older))['deploy'], 'pending');
  expect((await states(newer))['deploy']).toBe('waiting_for_resource');
  await finish();
  await eventually(async () => (await states(newer))['deploy'], 'pending');
  await finish();
});

test('a newer commit ends what it makes redundant: not what a job of it may not be interrupted in, unless the workflow says so', async () => {
  const file = (workflow: string) => `${workflow}\nsafe: {script: x, interruptible: true}\nhard: {script: x}\n`;
  const push = (app: number, name: string) => server.commit(app, name, 'x', { token: bob.token });
  const untouched = await project(file(''));
  const before = await newest(untouched);
  await push(untouched, 'one');
  expect(await states(before)).toEqual({ safe: 'canceled', hard: 'canceled' });
  const second = await newest(untouched);
  // Both jobs of it run: `hard` may not be interrupted.
  await finish();
  await finish();
  await push(untouched, 'two');
  expect(await states(second)).toEqual({ safe: 'success', hard: 'success' });
  const third = await newest(untouched);
  const running = [await server.claim(runner), await server.claim(runner)];
  await push(untouched, 'three');
  expect(await states(third)).toEqual({ safe: 'running', hard: 'running' });
  for (const job of running) if (job !== undefined) await server.finish(job);
  await finish();
  await finish();

  const picky = await project(file('workflow: {auto_cancel: {on_new_commit: interruptible}}'));
  const fourth = await newest(picky);
  await push(picky, 'one');
  expect(await states(fourth)).toEqual({ safe: 'canceled', hard: 'pending' });
  const never = await project(file('workflow: {auto_cancel: {on_new_commit: none}}'));
  const fifth = await newest(never);
  await push(never, 'one');
  expect(await states(fifth)).toEqual({ safe: 'pending', hard: 'pending' });
  // The same commit again makes nothing redundant.
  const sixth = await newest(never);
  await start(never);
  expect(await states(sixth)).toEqual({ safe: 'pending', hard: 'pending' });
  while ((await server.claim(runner)) !== undefined);
});

test('what a newer commit interrupts is decided by what has started', () => {
  const plan = (interruptible: boolean) => JSON.stringify({ job: { interruptible } });
  const soft = sampleJob({ name: 'soft', status: 'running', startedAt: millis(1), plan: plan(true) });
  const hard = sampleJob({ name: 'hard', status: 'pending', plan: plan(false) });
  expect(interrupted('conservative', [soft, hard])).toEqual([soft, hard]);
  expect(interrupted('conservative', [soft, { ...hard, startedAt: millis(1), status: 'success' }])).toEqual([]);
  expect(interrupted('interruptible', [soft, hard])).toEqual([soft]);
  expect(interrupted('none', [soft, hard])).toEqual([]);
});

test('one failure ends the pipeline where its workflow says so, and one that is allowed does not', async () => {
  const app = await project(
    'workflow: {auto_cancel: {on_job_failure: all}}\nsoft: {script: x, allow_failure: true}\na: {script: x}\nb: {script: x}\n',
  );
  const pipeline = await newest(app);
  await finish('failed');
  await server.must('GET', '/api/v4/version');
  expect(await states(pipeline)).toEqual({ soft: 'failed', a: 'pending', b: 'pending' });
  await finish('failed');
  await eventually(() => states(pipeline), { soft: 'failed', a: 'failed', b: 'canceled' });
  expect((await server.store.jobs.pipeline(null, pipeline))?.status).toBe('failed');
});

test('A56 who gives a job variables when playing it is a principal, also where another retries it', async () => {
  const app = await project('ask: {script: x, when: manual}\n');
  const pipeline = await newest(app);
  const root = `/api/v4/projects/${app}/jobs`;
  const give = [{ key: 'TARGET', value: 'prod' }];
  await server.must('POST', `${root}/${await named(pipeline, 'ask')}/play`, { job_variables_attributes: give }, bob.token);
  const first = await finish();
  expect(first.payload['variables']).toContainEqual({ key: 'TARGET', value: 'prod', public: true, masked: false });
  await server.must('POST', `${root}/${first.id}/retry`, {}, alice.token);
  const again = await server.claim(runner);
  expect(again?.payload['variables']).toContainEqual({ key: 'TARGET', value: 'prod', public: true, masked: false });
  const [pass] = await server.store.passes.forJob(null, id<JobId>(again?.id ?? 0));
  expect(pass?.principals.map(({ userId }) => userId)).toEqual([alice.id, bob.id]);
  if (again !== undefined) await server.finish(again);
  const large = [{ key: 'A', value: 'x'.repeat(70_000) }];
  await server.must('POST', `${root}/${first.id}/retry`, {}, alice.token).catch(() => undefined);
  expect(
    (await server.call('POST', `${root}/${first.id}/play`, { token: bob.token, body: { job_variables_attributes: large } })).status,
  ).toBe(413);
});

test('a job is erased once it has ended, a pipeline named and deleted with all that is its own', async () => {
  const app = await project('a: {script: x}\nb: {script: x}\n');
  const carol = await server.user('carol');
  await server.member(app, carol.id, 50);
  const pipeline = await newest(app);
  const root = `/api/v4/projects/${app}`;
  const job = await server.claim(runner);
  if (job === undefined) throw new Error('no job to take');
  const erase = () => server.call('POST', `${root}/jobs/${job.id}/erase`, { token: alice.token });
  expect((await erase()).status).toBe(403);
  const own = { 'job-token': job.token };
  await server.call('PATCH', `/api/v4/jobs/${job.id}/trace`, { headers: { ...own, 'content-range': '0-4' }, raw: 'hello' });
  await server.finish(job);
  const erased = await erase();
  expect([erased.status, typeof erased.body['erased_at']]).toEqual([201, 'string']);
  expect((await server.call('GET', `${root}/jobs/${job.id}/trace`, { token: alice.token })).text).toBe('');
  expect((await erase()).status).toBe(403);
  expect(await server.must('PUT', `${root}/pipelines/${pipeline}/metadata`, { name: 'Release' }, alice.token)).toMatchObject({
    name: 'Release',
  });
  const running = await server.claim(runner);
  expect((await server.call('DELETE', `${root}/pipelines/${pipeline}`, { token: alice.token })).status).toBe(403);
  expect((await server.call('DELETE', `${root}/pipelines/${pipeline}`, { token: carol.token })).status).toBe(204);
  expect(await jobs(pipeline)).toEqual([]);
  // What ran died with it, and its number is not given again.
  expect((await server.call('GET', '/api/v4/job', { headers: { 'job-token': running?.token ?? '' } })).status).toBe(401);
  const next = await server.store.jobs.pipeline(null, await start(app));
  expect(next?.iid).toBe(2);
});
