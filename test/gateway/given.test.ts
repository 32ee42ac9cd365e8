import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Handed, type Scene, scene } from '../support/scripted.ts';

/** Jobs that alice starts, of a pipeline (201) that bob made, or that he ran before: what he gave steers them. */
let gate: Scene;
beforeEach(async () => {
  gate = await scene();
});
afterEach(() => gate.stop());

const set = (path: string, body: unknown): void => void gate.gitlab.answers.set(path, [200, body]);
const library = async (job: Handed): Promise<number> => (await gate.call('GET', '/api/v4/projects/8', job.pass)).status;

describe('A56 R3 whoever made the pipeline', () => {
  test.each([
    ['web', true],
    ['api', true],
    ['trigger', true],
    ['merge_request_event', true],
    // By a push option, which its pusher could as well have pushed.
    ['push', false],
  ])('from %s may have given it inputs, of which the forge tells nothing: a principal %s', async (source, counts) => {
    set('GET /projects/7/pipelines/201', { id: 201, sha: gate.sha, ref: 'main', source, user: { id: 3 } });
    const job = await gate.job({ source });
    expect(job.notes.includes('bob (pipeline creator)')).toBe(counts);
    // Bob has no right there.
    expect(await library(job)).toBe(counts ? 404 : 200);
  });
});

describe('A56 R3 who ran a job that somebody else retries', () => {
  const before = (name = 'test'): void =>
    set('GET /projects/7/pipelines/201/jobs', [
      { id: 50, name, user: { id: 3 } },
      { id: 101, name: 'test', user: { id: 2 } },
      { id: 900, name: 'test', user: { id: 3 } },
    ]);
  const told = (nodes: unknown): void => set('POST /api/graphql', { data: { project: { job: { manualVariables: { nodes } } } } });

  test('gave it variables, which come along: a principal', async () => {
    before();
    told([{ key: 'BASH_ENV' }]);
    const job = await gate.job();
    expect(job.notes).toContain('bob (pipeline creator)');
    expect(await library(job)).toBe(404);
    expect(gate.gitlab.heard.find(({ path }) => path === '/api/graphql')?.body).toContain('gid://gitlab/Ci::Build/101');
  });

  test('gave it none: no principal', async () => {
    before();
    told([]);
    const job = await gate.job();
    expect(job.notes).not.toContain('bob');
    expect(await library(job)).toBe(200);
  });

  test.each([
    ['where it is not told whether he did', () => set('POST /api/graphql', { errors: [{ message: 'no' }] }), {}],
    [
      'where the job has inputs',
      () => told([]),
      { inputs: [{ key: 'target', value: { type: 'string', content: 'x', sensitive: false } }] },
    ],
  ])('R13 counts %s', async (_what, prepare, given) => {
    before();
    prepare();
    expect((await gate.job(given)).notes).toContain('bob (pipeline creator)');
  });

  test('ran another job of it: no principal', async () => {
    before('build');
    expect((await gate.job()).notes).not.toContain('bob');
  });

  test('is asked for once for all jobs of a pipeline, and again for a retry', async () => {
    told([{ key: 'BASH_ENV' }]);
    const jobs = [
      { id: 500, name: 'a', user: { id: 2 } },
      { id: 501, name: 'b', user: { id: 2 } },
    ];
    set('GET /projects/7/pipelines/77/jobs', jobs);
    const asked = () => gate.gitlab.heard.filter(({ path }) => path.startsWith('/projects/7/pipelines/77/jobs')).length;
    for (const { id, name } of jobs) await gate.job({ pipelineId: 77, id, name });
    expect(asked()).toBe(1);
    // Bob played it, and it is retried.
    set('GET /projects/7/pipelines/77/jobs', [
      { id: 500, name: 'a', user: { id: 3 } },
      { id: 502, name: 'a', user: { id: 2 } },
    ]);
    expect((await gate.job({ pipelineId: 77, id: 502, name: 'a' })).notes).toContain('bob (pipeline creator)');
    expect(asked()).toBe(2);
  });

  test('R13 is not told: the pass fetches its own project only', async () => {
    gate.gitlab.answers.set('GET /projects/7/pipelines/201/jobs', [403, {}]);
    expect((await gate.job()).notes).toContain('the forge does not tell who ran the job before');
  });
});
