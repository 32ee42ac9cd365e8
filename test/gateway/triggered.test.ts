import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Handed, type Scene, scene } from '../support/scripted.ts';

/** Jobs of pipelines that other pipelines started: of the same project (300 → 201), or of libs/secret (8) by GraphQL. */
let gate: Scene;
beforeEach(async () => {
  gate = await scene();
});
afterEach(() => gate.stop());

const set = (path: string, body: unknown): void => void gate.gitlab.answers.set(path, [200, body]);
const pipeline = (project: number, id: number, fields: object): void =>
  set(`GET /projects/${project}/pipelines/${id}`, { id, sha: gate.sha, ref: 'main', source: 'push', user: { id: 3 }, ...fields });

/** The forge tells that pipeline 300 of team/app, which bob made, started 201. */
function parentOfSameProject(): void {
  set('GET /projects/7/pipelines', [{ id: 300 }]);
  set('GET /projects/7/pipelines/300/bridges', [{ id: 1, downstream_pipeline: { id: 201 } }]);
  pipeline(7, 300, {});
  set('GET /projects/7/pipelines/300/jobs', []);
}

function parentOfAnotherProject(): void {
  gate.gitlab.answers.set('POST /api/graphql', ({ body }) => {
    expect(JSON.parse(body)).toMatchObject({ variables: { path: 'team/app', id: 'gid://gitlab/Ci::Pipeline/201' } });
    const upstream = { id: 'gid://gitlab/Ci::Pipeline/300', project: { id: 'gid://gitlab/Project/8' } };
    return [200, { data: { project: { pipeline: { upstream } } } }];
  });
  pipeline(8, 300, {});
  set('GET /projects/8/pipelines/300/jobs', []);
}

const child = (source = 'parent_pipeline'): Promise<Handed> => gate.job({ source });
const ownOnly = 'fetches its own project only';

test('A6 R3 who made the pipeline above is a principal of a child pipeline, which has its full pass otherwise', async () => {
  parentOfSameProject();
  const job = await child();
  expect(job.notes).toContain('bob (ancestor)');
  expect(job.notes).not.toContain(ownOnly);
  // Bob has no right in the library: neither has the pass.
  expect((await gate.call('GET', '/api/v4/projects/8', job.pass)).status).toBe(404);
});

test('A6 R3 a pipeline of another project that started it brings its creator, and who pushed what it ran', async () => {
  parentOfAnotherProject();
  gate.gitlab.user(4, 'carol');
  set('GET /projects/8/events', [
    { id: 1, author_id: 4, push_data: { action: 'pushed', ref_type: 'branch', ref: 'main', commit_to: gate.sha } },
  ]);
  const job = await child('pipeline');
  expect(job.notes).toContain('bob (ancestor)');
  expect(job.notes).toContain('carol (ancestor)');
  expect(job.notes).not.toContain(ownOnly);
});

test.each<[string, () => void, string]>([
  ['is told by nobody', () => set('GET /projects/7/pipelines', []), 'parent_pipeline'],
  ['GraphQL does not tell', () => set('POST /api/graphql', { errors: [{ message: 'no' }] }), 'pipeline'],
  [
    'is named by another kind of id',
    () => set('POST /api/graphql', { data: { project: { pipeline: { upstream: { id: '300', project: { id: '8' } } } } } }),
    'pipeline',
  ],
])('A6 R13 where the pipeline above %s, the pass fetches its own project only', async (_what, prepare, source) => {
  prepare();
  const job = await child(source);
  expect(job.notes).toContain(ownOnly);
  expect(job.notes).toContain('does not tell which');
});

test('A6 R3 artifacts of a job above that the gateway did not hand out could be what the child is made of', async () => {
  parentOfSameProject();
  set('GET /projects/7/pipelines/300/jobs', [{ id: 999, artifacts: [{ file_type: 'archive' }] }]);
  expect((await child()).notes).toContain('a job of pipeline 300, from which it descends, was not handed out through the gateway');
});

test('A6 R3 of one that it handed out, everybody behind its pass counts; a trace is no artifact', async () => {
  const above = await gate.job({ userId: 3 });
  set('GET /projects/7/pipelines', [{ id: 300 }]);
  set('GET /projects/7/pipelines/300/bridges', [{ id: 1, downstream_pipeline: { id: 202 } }]);
  pipeline(7, 300, { user: { id: 2 } });
  set('GET /projects/7/pipelines/300/jobs', [
    { id: above.id, artifacts: [{ file_type: 'archive' }, { file_type: 'trace' }] },
    { id: 998, artifacts: [{ file_type: 'trace' }] },
  ]);
  const job = await child();
  expect(job.notes).toContain('bob (ancestor)');
  expect(job.notes).not.toContain(ownOnly);
});

test('A6 R5 a job below a pipeline that a pass started gets no pass', async () => {
  const job = await gate.job();
  gate.gitlab.answers.set('POST /projects/7/pipeline', [201, { id: 300, source: 'api', sha: gate.sha, ref: 'main' }]);
  const made = await gate.call('POST', '/api/v4/projects/7/pipeline', job.pass, { body: { ref: 'main' } });
  expect(made.status, made.text).toBe(201);
  set('GET /projects/7/pipelines', [{ id: 300 }]);
  set('GET /projects/7/pipelines/300/bridges', [{ id: 1, downstream_pipeline: { id: 202 } }]);
  pipeline(7, 300, {});
  set('GET /projects/7/pipelines/300/jobs', []);
  expect((await child()).payload).not.toHaveProperty('extended_job_token');
});

test('R13 pipelines that start each other in a circle end somewhere', async () => {
  set('GET /projects/7/pipelines', [{ id: 300 }, { id: 301 }]);
  set('GET /projects/7/pipelines/300/bridges', [{ downstream_pipeline: { id: 201 } }, { downstream_pipeline: { id: 301 } }]);
  set('GET /projects/7/pipelines/301/bridges', [{ downstream_pipeline: { id: 300 } }]);
  for (const id of [300, 301]) {
    pipeline(7, id, { source: 'parent_pipeline' });
    set(`GET /projects/7/pipelines/${id}/jobs`, []);
  }
  expect((await child()).notes).toContain('more than 10 pipelines started each other');
});
