import { afterAll, beforeAll, expect, test } from 'vitest';
import { id, type PipelineId, type ProjectId } from '../../src/base/ids.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

let server: TestServer;
let alice: { id: number; token: string };
let bob: { id: number; token: string };
let app: number;
let parent: PipelineId;
let runner: string;
beforeAll(async () => {
  server = await startTestServer();
  [alice, bob] = [await server.user('alice'), await server.user('bob')];
  ({ token: runner } = await server.runner());
});
afterAll(() => server.stop());

const state = async (name: string): Promise<string | undefined> =>
  (await server.store.jobs.jobsOfPipeline(null, parent)).findLast((job) => job.name === name && job.retriedById === null)?.status;
async function comes(name: string, status: string): Promise<void> {
  await expect.poll(() => state(name), { timeout: 20_000, interval: 20 }).toBe(status);
}
async function child(): Promise<number> {
  const filter = { source: 'parent_pipeline' } as const;
  const newest = async () => (await server.store.jobs.listPipelines(null, id<ProjectId>(app), filter, { page: 1, perPage: 1 })).rows[0]?.id;
  await expect.poll(newest, { timeout: 20_000, interval: 20 }).toBeGreaterThan(parent);
  return Number(await newest());
}
async function work(status: 'success' | 'failed'): Promise<void> {
  const job = await server.claim(runner);
  if (job === undefined) throw new Error('no job');
  await server.finish(job, status);
}
const post = (path: string, by = alice) => server.must('POST', `/api/v4/projects/${app}/${path}`, {}, by.token);
async function start(strategy: string): Promise<number> {
  app = await server.project(`team/${strategy}`);
  for (const { id: person } of [alice, bob]) await server.member(app, person, 40);
  const file = `stages: [a, b]\nhop: {stage: a, trigger: {include: child.yml, strategy: ${strategy}}}\nlate: {stage: b, script: x}\n`;
  const actions = [
    { action: 'create', file_path: '.gitlab-ci.yml', content: `workflow: {rules: [{if: $CI_PIPELINE_SOURCE != "push"}]}\n${file}` },
    { action: 'create', file_path: 'child.yml', content: 'work: {script: x}\n' },
  ];
  await server.must('POST', `/api/v4/projects/${app}/repository/commits`, { branch: 'main', commit_message: 'w', actions }, alice.token);
  parent = id<PipelineId>(Number((await server.must('POST', `/api/v4/projects/${app}/pipeline`, { ref: 'main' }, alice.token))['id']));
  return child();
}

test('what runs again in a child pipeline reopens the bridge that waited for it, and what was skipped behind it; A56 by who retried', async () => {
  const below = await start('depend');
  await work('failed');
  await comes('hop', 'failed');
  expect(await state('late')).toBe('skipped');
  await post(`pipelines/${below}/retry`, bob);
  expect([await state('hop'), await state('late')]).toEqual(['running', 'created']);
  await work('success');
  await comes('hop', 'success');
  await comes('late', 'pending');
  const late = (await server.store.jobs.jobsOfPipeline(null, parent)).findLast(({ name }) => name === 'late');
  expect(late?.userId).toBe(bob.id);
  await work('success');
  // The same once more over a job, with what waits for it done.
  const jobs = (await server.call('GET', `/api/v4/projects/${app}/pipelines/${below}/jobs`, { token: alice.token })).list;
  await post(`jobs/${String(jobs[0]?.['id'])}/retry`);
  expect(await state('hop')).toBe('running');
  await post(`pipelines/${below}/cancel`);
  await comes('hop', 'canceled');
});

test('`mirror` ends as the pipeline did, also skipped and canceled', async () => {
  const below = await start('mirror');
  await post(`pipelines/${below}/cancel`);
  await comes('hop', 'canceled');
  await post(`pipelines/${below}/retry`);
  expect(await state('hop')).toBe('running');
  await work('success');
  await comes('late', 'pending');
  await work('success');
});

test('A6 a bridge of another project is reopened by who may run jobs there, and stays as it ended for the others', async () => {
  const far = await server.project('far/app');
  for (const { id: person } of [alice, bob]) await server.member(far, person, 40);
  const asked = 'workflow: {rules: [{if: $CI_PIPELINE_SOURCE != "push"}]}\n';
  await server.commit(far, '.gitlab-ci.yml', `${asked}work: {script: x}`, { token: alice.token });
  app = await server.project('near/app');
  await server.member(app, alice.id, 40);
  await server.member(app, bob.id, 30);
  const file = `${asked}hop: {trigger: {project: far/app, strategy: depend}}\n`;
  await server.commit(app, '.gitlab-ci.yml', file, { token: alice.token });
  parent = id<PipelineId>(Number((await server.must('POST', `/api/v4/projects/${app}/pipeline`, { ref: 'main' }, alice.token))['id']));
  await expect.poll(() => state('hop'), { timeout: 20_000, interval: 20 }).toBe('running');
  await work('failed');
  await comes('hop', 'failed');
  const newest = async () =>
    (await server.store.jobs.listPipelines(null, id<ProjectId>(far), { source: 'pipeline' }, { page: 1, perPage: 1 })).rows[0]?.id;
  const retry = async (by: typeof alice) =>
    server.must('POST', `/api/v4/projects/${far}/pipelines/${String(await newest())}/retry`, {}, by.token);
  // Bob is a developer there, and the branch is protected.
  await retry(bob);
  expect(await state('hop')).toBe('failed');
  await work('failed');
  await retry(alice);
  expect(await state('hop')).toBe('running');
  await work('success');
  await comes('hop', 'success');
});
