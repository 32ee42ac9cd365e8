import { afterAll, beforeAll, expect, test } from 'vitest';
import { id, type JobId, type ProjectId } from '../../src/base/ids.ts';
import type { PipelineSource } from '../../src/ports/jobs.ts';
import type { Claimed } from '../support/server.ts';
import { onlyAsked as asked, twoPeople, type TwoPeople } from '../support/two-people.ts';

let two: TwoPeople;
beforeAll(async () => void (two = await twoPeople()));
afterAll(() => two.server.stop());

const spec = 'spec: {inputs: {who: {default: nobody}, times: {type: number, default: 1}, words: {type: array, default: []}}}\n---\n';
const work = 'work: {script: "echo $[[ inputs.who ]] $[[ inputs.times ]] $[[ inputs.words ]]"}\n';

const script = ({ payload }: Claimed) => (payload['steps'] as readonly { script: readonly string[] }[])[0]?.script;
const whose = async (job: Claimed) =>
  ((await two.server.store.passes.forJob(null, id<JobId>(job.id)))[0]?.principals ?? []).map(({ userId }) => Number(userId));

test('a pipeline is made with inputs over the API: as JSON, or as a form, and a mistake is told as GitLab does', async () => {
  const app = await two.project({ '.gitlab-ci.yml': `${spec}${asked}${work}` });
  expect((await two.ask(app.id, { inputs: { who: 'a: b', times: 3, words: ['x', 'y'] } })).status).toBe(201);
  const first = await two.claim();
  expect(script(first)).toEqual(['echo a: b 3 ["x","y"]']);
  await two.server.finish(first);
  const form = new URLSearchParams([
    ['ref', 'main'],
    ['inputs[times]', '2'],
    ['inputs[words]', '["z"]'],
  ]);
  const headers = { 'private-token': two.alice.token, 'content-type': 'application/x-www-form-urlencoded' };
  expect((await two.server.call('POST', `/api/v4/projects/${app.id}/pipeline`, { headers, raw: form.toString() })).status).toBe(201);
  const second = await two.claim();
  expect(script(second)).toEqual(['echo nobody 2 ["z"]']);
  await two.server.finish(second);
  const wrong = await two.ask(app.id, { inputs: { times: 'x', other: 1 } });
  expect([wrong.status, wrong.body['message']]).toEqual([
    400,
    { base: ['unknown input arguments: other', '`times` input: provided value is not a number'] },
  ]);
  expect((await two.ask(app.id, { inputs: ['a'] })).status).toBe(400);
  const many = Object.fromEntries(Array.from({ length: 21 }, (_, at) => [`a${at}`, 'x']));
  expect((await two.ask(app.id, { inputs: many })).text).toContain('there are more than 20 inputs');
  expect((await two.ask(app.id, { inputs: { who: { a: 1 } } })).status).toBe(400);
  expect((await two.ask(app.id, { inputs: { who: 'x'.repeat(70_000) } })).status).toBe(413);
  const token = await two.server.must('POST', `/api/v4/projects/${app.id}/triggers`, { description: 't' }, two.alice.token);
  const body = { token: token['token'], ref: 'main', inputs: { who: 'trigger' } };
  expect((await two.server.call('POST', `/api/v4/projects/${app.id}/trigger/pipeline`, { body })).status).toBe(201);
  const third = await two.claim();
  expect(script(third)).toEqual(['echo trigger 1 []']);
  await two.server.finish(third);
});

test('R3 whoever gave a pipeline inputs is a principal of its jobs, also where another retries them', async () => {
  const app = await two.project({ '.gitlab-ci.yml': `${spec}${asked}${work}` });
  const rerun = async (inputs: object): Promise<readonly number[]> => {
    expect((await two.ask(app.id, inputs, two.bob)).status).toBe(201);
    const job = await two.claim();
    await two.server.finish(job, 'failed');
    await two.server.must('POST', `/api/v4/projects/${app.id}/jobs/${job.id}/retry`, {}, two.alice.token);
    const again = await two.claim();
    await two.server.finish(again);
    return whose(again);
  };
  expect(await rerun({ inputs: { who: '$(steal)' } })).toEqual([two.alice.id, two.bob.id]);
  expect(await rerun({})).toEqual([two.alice.id]);
});

test('a bridge gives inputs to a child pipeline, and to one of another project, and says what is wrong with them', async () => {
  const target = await two.project({ '.gitlab-ci.yml': `${spec}${asked}${work}` });
  const hops = [
    'far: {trigger: {project: $TARGET, inputs: {who: far $CI_JOB_NAME, times: 2}}}',
    'child: {trigger: {include: [{local: child.yml, inputs: {who: child}}]}}',
    'both: {trigger: {include: [{local: child.yml, inputs: {who: one}}, {local: other.yml}]}}',
    'wrong: {trigger: {include: [{local: child.yml, inputs: {none: x}}]}, allow_failure: true}',
  ];
  const app = await two.project({
    '.gitlab-ci.yml': `${asked}variables: {TARGET: ${target.path}}\n${hops.join('\n')}\n`,
    'child.yml': `${spec}${work}`,
    'other.yml': 'other: {script: other}\n',
  });
  const pipeline = await two.run(app.id);
  const scripts = new Set<string | undefined>();
  for (let count = 0; count < 4; count += 1) {
    const job = await two.claim();
    scripts.add(script(job)?.[0]);
    await two.server.finish(job);
  }
  expect(scripts).toEqual(new Set(['echo child 1 []', 'echo far $CI_JOB_NAME 2 []', 'echo one 1 []', 'other']));
  const from = async (project: number, source: PipelineSource) =>
    (await two.server.store.jobs.listPipelines(null, id<ProjectId>(project), { source }, { page: 1, perPage: 10 })).rows;
  expect((await from(target.id, 'pipeline')).map(({ inputs }) => inputs)).toEqual([{ who: 'far $CI_JOB_NAME', times: 2 }]);
  const wrong = async () => (await two.server.store.jobs.jobsOfPipeline(null, pipeline)).find(({ name }) => name === 'wrong');
  await expect.poll(async () => (await wrong())?.status, { timeout: 20_000, interval: 20 }).toBe('failed');
  expect((await wrong())?.failureText).toBe('unknown input arguments: none');
});

test('a schedule keeps inputs; R3 whoever gave one answers for it, whoever owns the schedule', async () => {
  const app = await two.project({ '.gitlab-ci.yml': `${spec}${asked}${work}` });
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
  const kept = await two.server.must('POST', path, nightly, two.alice.token);
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
  const changed = await two.server.must('PUT', `${path}/${String(kept['id'])}`, change, two.bob.token);
  expect(changed['inputs']).toEqual([
    { name: 'who', value: 'night' },
    { name: 'words', value: ['a'] },
  ]);
  await two.server.must('POST', `${path}/${String(kept['id'])}/take_ownership`, {}, two.alice.token);
  await two.server.must('POST', `${path}/${String(kept['id'])}/play`, {}, two.alice.token);
  const job = await two.claim();
  expect(script(job)).toEqual(['echo night 1 ["a"]']);
  expect(await whose(job)).toEqual([two.alice.id, two.bob.id]);
  await two.server.finish(job);
});
