import { afterAll, beforeAll, expect, test } from 'vitest';
import { id, type PipelineId, type ProjectId } from '../../src/base/ids.ts';
import type { JobStatus } from '../../src/ports/jobs.ts';
import { onlyAsked, soon, twoPeople, type TwoPeople } from '../support/two-people.ts';

let two: TwoPeople;
let app: number;
let parent: PipelineId;
beforeAll(async () => void (two = await twoPeople()));
afterAll(() => two.server.stop());

const state = async (name: string) => (await two.job(parent, name))?.status;
const comes = (name: string, status: JobStatus) => two.comes(parent, name, status);
async function child(): Promise<number> {
  const filter = { source: 'parent_pipeline' } as const;
  const newest = async () =>
    (await two.server.store.jobs.listPipelines(null, id<ProjectId>(app), filter, { page: 1, perPage: 1 })).rows[0]?.id;
  await expect.poll(newest, soon).toBeGreaterThan(parent);
  return Number(await newest());
}
const post = (path: string, by = two.alice) => two.server.must('POST', `/api/v4/projects/${app}/${path}`, {}, by.token);
async function start(strategy: string, work = 'work: {script: x}\n'): Promise<number> {
  const file = `stages: [a, b]\nhop: {stage: a, trigger: {include: child.yml, strategy: ${strategy}}}\nlate: {stage: b, script: x}\n`;
  ({ id: app } = await two.project({ '.gitlab-ci.yml': `${onlyAsked}${file}`, 'child.yml': work }));
  parent = await two.run(app);
  return child();
}

test('what runs again in a child pipeline reopens the bridge that waited for it, and what was skipped behind it; A56 by who retried', async () => {
  const below = await start('depend');
  await two.work('failed');
  await comes('hop', 'failed');
  expect(await state('late')).toBe('skipped');
  await post(`pipelines/${below}/retry`, two.bob);
  expect([await state('hop'), await state('late')]).toEqual(['running', 'created']);
  await two.work('success');
  await comes('hop', 'success');
  await comes('late', 'pending');
  const late = (await two.server.store.jobs.jobsOfPipeline(null, parent)).findLast(({ name }) => name === 'late');
  expect(late?.userId).toBe(two.bob.id);
  await two.work('success');
  // The same once more over a job, with what waits for it done.
  const jobs = (await two.server.call('GET', `/api/v4/projects/${app}/pipelines/${below}/jobs`, { token: two.alice.token })).list;
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
  await two.work('success');
  await comes('late', 'pending');
  await two.work('success');
});

test('A6 `mirror` is manual while somebody has to play a job below, and so is the pipeline; playing the bridge would trigger a second one', async () => {
  const below = await start('mirror', 'work: {script: x, when: manual, allow_failure: false}\n');
  await comes('hop', 'manual');
  const bridge = await two.job(parent, 'hop');
  const { body: shown } = await two.server.call('GET', `/api/v4/projects/${app}/pipelines/${parent}`, { token: two.alice.token });
  expect([shown['status'], bridge?.downstreamId, await state('late')]).toEqual(['manual', below, 'created']);
  const played = await two.server.call('POST', `/api/v4/projects/${app}/jobs/${String(bridge?.id)}/play`, { token: two.alice.token });
  expect([played.status, played.body['message'], await state('hop')]).toEqual([400, 'Unplayable Job', 'manual']);
  const jobs = (await two.server.call('GET', `/api/v4/projects/${app}/pipelines/${below}/jobs`, { token: two.alice.token })).list;
  await post(`jobs/${String(jobs[0]?.['id'])}/play`);
  await comes('hop', 'running');
  await two.work();
  await comes('hop', 'success');
  await comes('late', 'pending');
  await two.work();
});

test('`depend` stays running while somebody has to play a job below', async () => {
  const below = await start('depend', 'work: {script: x, when: manual, allow_failure: false}\n');
  await expect.poll(async () => (await two.server.store.jobs.pipeline(null, id<PipelineId>(below)))?.status, soon).toBe('manual');
  expect([await state('hop'), await two.server.store.flow.staleMirrors(null, 1000)]).toEqual(['running', []]);
  await post(`pipelines/${below}/cancel`);
  await comes('hop', 'canceled');
});

test('A6 a bridge of another project is reopened by who may run jobs there, and stays as it ended for the others', async () => {
  const far = await two.project({ '.gitlab-ci.yml': `${onlyAsked}work: {script: x}` });
  ({ id: app } = await two.project({ '.gitlab-ci.yml': `${onlyAsked}hop: {trigger: {project: ${far.path}, strategy: depend}}\n` }));
  await two.server.must('PUT', `/api/v4/projects/${app}/members/${two.bob.id}`, { access_level: 30 });
  parent = await two.run(app);
  await comes('hop', 'running');
  await two.work('failed');
  await comes('hop', 'failed');
  const newest = async () =>
    (await two.server.store.jobs.listPipelines(null, id<ProjectId>(far.id), { source: 'pipeline' }, { page: 1, perPage: 1 })).rows[0]?.id;
  const retry = async (by: typeof two.alice) =>
    two.server.must('POST', `/api/v4/projects/${far.id}/pipelines/${String(await newest())}/retry`, {}, by.token);
  // Bob is a developer there, and the branch is protected.
  await retry(two.bob);
  expect(await state('hop')).toBe('failed');
  await two.work('failed');
  await retry(two.alice);
  expect(await state('hop')).toBe('running');
  await two.work('success');
  await comes('hop', 'success');
});
