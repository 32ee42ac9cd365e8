import { afterAll, beforeAll, expect, test } from 'vitest';
import { id, type PipelineId, type ProjectId } from '../../src/base/ids.ts';
import type { JobRecord, PipelineRecord } from '../../src/ports/jobs.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

let server: TestServer;
let alice: { id: number; token: string };
let bob: { id: number; token: string };
let made = 0;
beforeAll(async () => {
  server = await startTestServer();
  [alice, bob] = [await server.user('alice'), await server.user('bob')];
});
afterAll(() => server.stop());

/** A project of its own top-level group, of which alice is a maintainer. */
async function project(files: Readonly<Record<string, string>>): Promise<{ id: number; path: string }> {
  made += 1;
  const path = `kept${made}/app`;
  const app = await server.project(path);
  await server.member(app, alice.id, 40);
  const actions = Object.entries(files).map(([file_path, content]) => ({ action: 'create', file_path, content }));
  const body = { branch: 'main', commit_message: 'write', actions };
  await server.must('POST', `/api/v4/projects/${app}/repository/commits`, body, alice.token);
  return { id: app, path };
}
const set = (app: number, key: string, value: string, more: object = {}, token = server.root) =>
  server.must('POST', `/api/v4/projects/${app}/variables`, { key, value, ...more }, token);
const only = 'workflow: {rules: [{if: $CI_PIPELINE_SOURCE != "push"}]}\n';
const run = async (app: number) =>
  id<PipelineId>(Number((await server.must('POST', `/api/v4/projects/${app}/pipeline`, { ref: 'main' }, alice.token))['id']));
async function settled(pipeline: PipelineId, name = 'hop'): Promise<JobRecord> {
  const find = async () => (await server.store.jobs.jobsOfPipeline(null, pipeline)).findLast((one) => one.name === name);
  await expect.poll(async () => (await find())?.status, { timeout: 20_000, interval: 20 }).toMatch(/success|failed/);
  const found = await find();
  if (found === undefined) throw new Error(`there is no job ${name}`);
  return found;
}
const newest = async (app: number): Promise<PipelineRecord | undefined> => {
  const from = async (source: 'pipeline' | 'parent_pipeline') =>
    (await server.store.jobs.listPipelines(null, id<ProjectId>(app), { source }, { page: 1, perPage: 1 })).rows[0];
  return (await from('pipeline')) ?? from('parent_pipeline');
};

test('what a bridge names may stand in kept variables, and values of its own are put together from them', async () => {
  const target = await project({ '.gitlab-ci.yml': 'work: {script: x}\n' });
  await server.must('POST', `/api/v4/projects/${target.id}/repository/branches`, { branch: 'next', ref: 'main' });
  const app = await project({
    '.gitlab-ci.yml': `${only}hop: {trigger: {project: $TARGET, branch: $BRANCH}, variables: {SENT: 'to $BRANCH', RAW: {value: 'a$b', expand: false}}}\n`,
  });
  await set(app.id, 'TARGET', target.path);
  await set(app.id, 'BRANCH', 'next');
  expect(await settled(await run(app.id))).toMatchObject({ status: 'success', failureText: null });
  expect(await newest(target.id)).toMatchObject({
    ref: 'next',
    variables: [
      { key: 'SENT', value: 'to next' },
      { key: 'RAW', value: 'a$$b' },
    ],
  });
});

test('R6 a masked or protected value goes to no other project, and the bridge says so; a child is given its name', async () => {
  const secret = 'correct-horse-battery';
  const target = await project({ '.gitlab-ci.yml': 'work: {script: x}\n' });
  const files = (hop: string) => ({ '.gitlab-ci.yml': `${only}hop: {${hop}}\n`, 'child.yml': 'work: {script: x, tags: [child]}\n' });
  const bridge = async (hop: string, more: object) => {
    const app = await project(files(hop));
    await set(app.id, 'TOKEN', secret, more);
    const done = await settled(await run(app.id));
    return { app, done };
  };
  const [masked, guarded] = [{ masked: true }, { protected: true }];
  const far = `trigger: ${target.path}, variables: {SENT: '<$TOKEN>'}`;
  for (const more of [masked, guarded]) {
    const { done } = await bridge(far, more);
    expect(done).toMatchObject({ status: 'failed', failureReason: 'invalid_bridge_trigger' });
    expect(done.failureText).toContain('The variable SENT would hand on the value of TOKEN, which is masked or protected');
  }
  const named = await bridge('trigger: {project: group/$TOKEN}', masked);
  expect(named.done.failureText).toBe('trigger: the variable `TOKEN` is masked, and so becomes part of nothing that is kept or shown.');
  expect(
    (await bridge(`trigger: {project: ${target.path}, forward: {yaml_variables: false}}, variables: {SENT: $TOKEN}`, masked)).done.status,
  ).toBe('success');
  const child = await bridge("trigger: {include: child.yml}, variables: {OTHER: x, SENT: '$OTHER<$TOKEN>'}", masked);
  expect(child.done.status).toBe('success');
  expect((await newest(child.app.id))?.variables).toContainEqual({ key: 'SENT', value: 'x<${TOKEN}>' });
  const { token } = await server.runner({ tags: ['child'] });
  const work = await server.claim(token);
  const values = work?.payload['variables'] as readonly { key: string; value: string }[];
  expect(values.find(({ key }) => key === 'SENT')?.value).toBe(`x<${secret}>`);
});

test('R3 A56 whoever set a variable that a bridge gets is asked, too, outside the top-level group', async () => {
  const target = await project({ '.gitlab-ci.yml': 'work: {script: x}\n' });
  const app = await project({ '.gitlab-ci.yml': `${only}hop: {trigger: {project: $TARGET}}\n` });
  await server.member(app.id, bob.id, 40);
  // Bob may not see what he makes alice's pipeline trigger.
  await set(app.id, 'TARGET', target.path, {}, bob.token);
  expect(await settled(await run(app.id))).toMatchObject({ status: 'failed', failureReason: 'downstream_bridge_project_not_found' });
  await server.member(target.id, bob.id, 40);
  expect((await settled(await run(app.id))).status).toBe('success');
  expect(await newest(target.id)).toMatchObject({ userId: alice.id, creators: [alice.id, bob.id] });
});

test('R6 no pipeline is made whose environment:url would show a masked value; one masked later fails its job, and the API and the trace say why', async () => {
  const app = await project({
    '.gitlab-ci.yml': `${only}go: {script: x, tags: [url], environment: {name: live, url: 'https://$HOST/'}}\n`,
  });
  const why = 'environment:url: the variable `HOST` is masked, and so becomes part of nothing that is kept or shown';
  await set(app.id, 'HOST', 'correct-horse-battery', { masked: true, environment_scope: 'live' });
  const refused = await server.call('POST', `/api/v4/projects/${app.id}/pipeline`, { token: alice.token, body: { ref: 'main' } });
  expect([refused.status, refused.text]).toEqual([400, expect.stringContaining(why)]);
  const mask = (masked: boolean) =>
    server.must('PUT', `/api/v4/projects/${app.id}/variables/HOST`, { value: masked ? 'correct-horse-battery' : 'live.example', masked });
  const { token } = await server.runner({ tags: ['url'] });
  await mask(false);
  const pipeline = await run(app.id);
  await mask(true);
  expect(await server.claim(token)).toBeUndefined();
  const { id: failed } = await settled(pipeline, 'go');
  const get = (path: string) => server.call('GET', `/api/v4/projects/${app.id}/jobs/${failed}${path}`, { token: alice.token });
  expect((await get('')).body).toMatchObject({ status: 'failed', failure_reason: 'runner_system_failure', failure_message: why });
  expect((await get('/trace')).text).toBe(`ERROR: Job failed: ${why}\n`);
  await mask(false);
  await run(app.id);
  const job = await server.claim(token);
  if (job === undefined) throw new Error('no job');
  await server.finish(job);
  const { list } = await server.call('GET', `/api/v4/projects/${app.id}/environments`, { token: alice.token });
  expect(list).toMatchObject([{ name: 'live', external_url: 'https://live.example/' }]);
});

test('R3 a bridge deploys: it gets what is kept for its environment, whose setter is asked, and its end is the deployment', async () => {
  const target = await project({ '.gitlab-ci.yml': 'work: {script: x, tags: [place]}\n' });
  const at = (name: string, strategy: string) =>
    `${name}: {trigger: {project: ${target.path}${strategy}}, environment: {name: ${name}, url: 'https://$HOST/'}, variables: {SENT: $HOST}}\n`;
  const app = await project({ '.gitlab-ci.yml': `${only}${at('live', ', strategy: depend')}${at('lab', '')}` });
  await server.member(app.id, bob.id, 40);
  await set(app.id, 'HOST', 'live.example', { environment_scope: 'live' }, bob.token);
  await set(app.id, 'HOST', 'lab.example', { environment_scope: 'lab' }, alice.token);
  const refused = await run(app.id);
  expect((await settled(refused, 'live')).failureReason).toBe('downstream_bridge_project_not_found');
  expect((await settled(refused, 'lab')).status).toBe('success');
  await server.member(target.id, bob.id, 40);
  const pipeline = await run(app.id);
  const places = async () =>
    (await server.call('GET', `/api/v4/projects/${app.id}/environments`, { token: alice.token })).list.map((one) => one['external_url']);
  const live = async () => (await server.store.jobs.jobsOfPipeline(null, pipeline)).find(({ name }) => name === 'live')?.status;
  await expect.poll(live, { timeout: 20_000, interval: 20 }).toBe('running');
  await settled(pipeline, 'lab');
  expect((await newest(target.id))?.variables).toEqual([{ key: 'SENT', value: 'lab.example' }]);
  expect(await places()).toEqual(['https://lab.example/', null]);
  const { token } = await server.runner({ tags: ['place'] });
  for (let job = await server.claim(token); job !== undefined; job = await server.claim(token)) await server.finish(job);
  expect((await settled(pipeline, 'live')).status).toBe('success');
  expect(await places()).toEqual(['https://lab.example/', 'https://live.example/']);
  const { list } = await server.call('GET', `/api/v4/projects/${app.id}/deployments?environment=live`, { token: alice.token });
  expect(list).toMatchObject([{ status: 'failed' }, { status: 'success', deployable: { name: 'live' } }]);
});
