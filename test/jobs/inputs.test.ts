import { afterAll, beforeAll, expect, test } from 'vitest';
import { id, type JobId, type PipelineId, type ProjectId } from '../../src/base/ids.ts';
import type { PipelineSource } from '../../src/ports/jobs.ts';
import { type Claimed, startTestServer, type TestServer } from '../support/server.ts';

let server: TestServer;
let alice: { id: number; token: string };
let bob: { id: number; token: string };
let runner: string;
let made = 0;
beforeAll(async () => {
  server = await startTestServer();
  [alice, bob] = [await server.user('alice'), await server.user('bob')];
  ({ token: runner } = await server.runner());
});
afterAll(() => server.stop());

const spec = 'spec: {inputs: {who: {default: nobody}, times: {type: number, default: 1}, words: {type: array, default: []}}}\n---\n';
const work = 'work: {script: "echo $[[ inputs.who ]] $[[ inputs.times ]] $[[ inputs.words ]]"}\n';
const asked = 'workflow: {rules: [{if: $CI_PIPELINE_SOURCE != "push"}]}\n';

/** A project of its own top-level group, written by alice; both are maintainers. */
async function project(files: Readonly<Record<string, string>>): Promise<{ id: number; path: string }> {
  made += 1;
  const path = `put${made}/app`;
  const app = await server.project(path);
  for (const person of [alice, bob]) await server.member(app, person.id, 40);
  const actions = Object.entries(files).map(([file_path, content]) => ({ action: 'create', file_path, content }));
  await server.must('POST', `/api/v4/projects/${app}/repository/commits`, { branch: 'main', commit_message: 'w', actions }, alice.token);
  return { id: app, path };
}
const run = (app: number, body: object, token = alice.token) =>
  server.call('POST', `/api/v4/projects/${app}/pipeline`, { token, body: { ref: 'main', ...body } });
async function claim(): Promise<Claimed> {
  let job: Claimed | undefined;
  await expect.poll(async () => (job ??= await server.claim(runner)), { timeout: 20_000, interval: 20 }).toBeDefined();
  if (job === undefined) throw new Error('no job');
  return job;
}
const script = ({ payload }: Claimed) => (payload['steps'] as readonly { script: readonly string[] }[])[0]?.script;
const whose = async (job: Claimed) =>
  ((await server.store.passes.forJob(null, id<JobId>(job.id)))[0]?.principals ?? []).map(({ userId }) => Number(userId));

test('a pipeline is made with inputs over the API: as JSON, or as a form, and a mistake is told as GitLab does', async () => {
  const app = await project({ '.gitlab-ci.yml': `${spec}${asked}${work}` });
  expect((await run(app.id, { inputs: { who: 'a: b', times: 3, words: ['x', 'y'] } })).status).toBe(201);
  const first = await claim();
  expect(script(first)).toEqual(['echo a: b 3 ["x","y"]']);
  await server.finish(first);
  const form = new URLSearchParams([
    ['ref', 'main'],
    ['inputs[times]', '2'],
    ['inputs[words]', '["z"]'],
  ]);
  const headers = { 'private-token': alice.token, 'content-type': 'application/x-www-form-urlencoded' };
  expect((await server.call('POST', `/api/v4/projects/${app.id}/pipeline`, { headers, raw: form.toString() })).status).toBe(201);
  const second = await claim();
  expect(script(second)).toEqual(['echo nobody 2 ["z"]']);
  await server.finish(second);
  const wrong = await run(app.id, { inputs: { times: 'x', other: 1 } });
  expect([wrong.status, wrong.body['message']]).toEqual([
    400,
    { base: ['unknown input arguments: other', '`times` input: provided value is not a number'] },
  ]);
  expect((await run(app.id, { inputs: ['a'] })).status).toBe(400);
  expect((await run(app.id, { inputs: { who: { a: 1 } } })).status).toBe(400);
  expect((await run(app.id, { inputs: { who: 'x'.repeat(70_000) } })).status).toBe(413);
  const token = await server.must('POST', `/api/v4/projects/${app.id}/triggers`, { description: 't' }, alice.token);
  const body = { token: token['token'], ref: 'main', inputs: { who: 'trigger' } };
  expect((await server.call('POST', `/api/v4/projects/${app.id}/trigger/pipeline`, { body })).status).toBe(201);
  const third = await claim();
  expect(script(third)).toEqual(['echo trigger 1 []']);
  await server.finish(third);
});

test('R3 whoever gave a pipeline inputs is a principal of its jobs, also where another retries them', async () => {
  const app = await project({ '.gitlab-ci.yml': `${spec}${asked}${work}` });
  const rerun = async (inputs: object): Promise<readonly number[]> => {
    expect((await run(app.id, inputs, bob.token)).status).toBe(201);
    const job = await claim();
    await server.finish(job, 'failed');
    await server.must('POST', `/api/v4/projects/${app.id}/jobs/${job.id}/retry`, {}, alice.token);
    const again = await claim();
    await server.finish(again);
    return whose(again);
  };
  expect(await rerun({ inputs: { who: '$(steal)' } })).toEqual([alice.id, bob.id]);
  expect(await rerun({})).toEqual([alice.id]);
});

test('a bridge gives inputs to a child pipeline, and to one of another project, and says what is wrong with them', async () => {
  const target = await project({ '.gitlab-ci.yml': `${spec}${asked}${work}` });
  const hops = [
    'far: {trigger: {project: $TARGET, inputs: {who: far $CI_JOB_NAME, times: 2}}}',
    'child: {trigger: {include: [{local: child.yml, inputs: {who: child}}]}}',
    'both: {trigger: {include: [{local: child.yml, inputs: {who: one}}, {local: other.yml}]}}',
    'wrong: {trigger: {include: [{local: child.yml, inputs: {none: x}}]}, allow_failure: true}',
  ];
  const app = await project({
    '.gitlab-ci.yml': `${asked}variables: {TARGET: ${target.path}}\n${hops.join('\n')}\n`,
    'child.yml': `${spec}${work}`,
    'other.yml': 'other: {script: other}\n',
  });
  const { body } = await run(app.id, {});
  const pipeline = id<PipelineId>(Number(body['id']));
  const scripts = new Set<string | undefined>();
  for (let count = 0; count < 4; count += 1) {
    const job = await claim();
    scripts.add(script(job)?.[0]);
    await server.finish(job);
  }
  expect(scripts).toEqual(new Set(['echo child 1 []', 'echo far $CI_JOB_NAME 2 []', 'echo one 1 []', 'other']));
  const from = async (project: number, source: PipelineSource) =>
    (await server.store.jobs.listPipelines(null, id<ProjectId>(project), { source }, { page: 1, perPage: 10 })).rows;
  expect((await from(target.id, 'pipeline')).map(({ inputs }) => inputs)).toEqual([{ who: 'far $CI_JOB_NAME', times: 2 }]);
  const wrong = async () => (await server.store.jobs.jobsOfPipeline(null, pipeline)).find(({ name }) => name === 'wrong');
  await expect.poll(async () => (await wrong())?.status, { timeout: 20_000, interval: 20 }).toBe('failed');
  expect((await wrong())?.failureText).toBe('unknown input arguments: none');
});

test('a schedule keeps inputs; R3 whoever gave one answers for it, whoever owns the schedule', async () => {
  const app = await project({ '.gitlab-ci.yml': `${spec}${asked}${work}` });
  const path = `/api/v4/projects/${app.id}/pipeline_schedules`;
  const nightly = {
    description: 'n',
    ref: 'main',
    cron: '0 4 * * *',
    inputs: [
      { name: 'who', value: 'night' },
      { name: 'times', value: 2 },
    ],
  };
  const kept = await server.must('POST', path, nightly, alice.token);
  expect(kept['inputs']).toEqual([
    { name: 'who', value: 'night' },
    { name: 'times', value: 2 },
  ]);
  const change = {
    inputs: [
      { name: 'times', destroy: true },
      { name: 'words', value: ['a'] },
    ],
  };
  // Whoever edits it owns it; the description stays alice's, and so does the input that bob did not give.
  const changed = await server.must('PUT', `${path}/${String(kept['id'])}`, change, bob.token);
  expect(changed['inputs']).toEqual([
    { name: 'who', value: 'night' },
    { name: 'words', value: ['a'] },
  ]);
  await server.must('POST', `${path}/${String(kept['id'])}/take_ownership`, {}, alice.token);
  await server.must('POST', `${path}/${String(kept['id'])}/play`, {}, alice.token);
  const job = await claim();
  expect(script(job)).toEqual(['echo night 1 ["a"]']);
  expect(await whose(job)).toEqual([alice.id, bob.id]);
  await server.finish(job);
});
