import { afterAll, beforeAll, expect, test } from 'vitest';
import { id, type JobId } from '../../src/base/ids.ts';
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
beforeAll(async () => {
  server = await startTestServer();
  [alice, bob] = [await server.user('alice'), await server.user('bob')];
  ({ token: runner } = await server.runner());
});
afterAll(() => server.stop());

const claim = async (): Promise<Claimed> => {
  const job = await server.claim(runner);
  if (job === undefined) throw new Error('no job to take');
  return job;
};
async function project(path: string, files: Readonly<Record<string, string>>, by: Person): Promise<number> {
  const app = await server.project(path);
  await server.member(app, by.id, 40);
  const actions = Object.entries(files).map(([file_path, content]) => ({ action: 'create', file_path, content }));
  await server.must('POST', `/api/v4/projects/${app}/repository/commits`, { branch: 'main', commit_message: 'write', actions }, by.token);
  return app;
}
/** Takes the next job, which uploads an archive and succeeds. */
async function build(): Promise<Claimed> {
  const job = await claim();
  const form = archiveForm(zipOf({ out: 'made' }));
  const headers = { 'job-token': job.token, 'content-type': 'multipart/form-data; boundary=b' };
  expect((await server.call('POST', `/api/v4/jobs/${job.id}/artifacts`, { headers, raw: form })).status).toBe(201);
  await server.finish(job);
  return job;
}
const fetchArchive = (job: Claimed, source: Claimed) =>
  server.call('GET', `/api/v4/jobs/${source.id}/artifacts`, { headers: { 'job-token': job.token } });
const principals = async (job: Claimed) =>
  ((await server.store.passes.forJob(null, id<JobId>(job.id)))[0]?.principals ?? []).map(({ userId }) => Number(userId));
const failed = async (app: number) =>
  (await server.call('GET', `/api/v4/projects/${app}/jobs?scope[]=failed`, { token: server.root })).list;

const maker = 'build: {script: x, artifacts: {paths: [out]}}\n';

test('R3 A57 an artifact of another project comes to those who may read it there, and who made it stands behind the job', async () => {
  const lib = await project('lib/lib', { '.gitlab-ci.yml': maker }, bob);
  const source = await build();
  expect(await principals(source)).toEqual([bob.id]);
  const file = 'use: {script: x, needs: [{project: lib/lib, ref: main, job: build}]}\n';
  const app = await project('app/app', { '.gitlab-ci.yml': file }, alice);
  // Alice may not read it: as if there were none.
  expect(await server.claim(runner)).toBeUndefined();
  expect(await failed(app)).toMatchObject([{ name: 'use', failure_reason: 'missing_dependency_failure' }]);
  await server.member(lib, alice.id, 20);
  await server.must('POST', `/api/v4/projects/${app}/pipeline`, { ref: 'main' }, alice.token);
  const use = await claim();
  expect(use.payload['dependencies']).toMatchObject([{ id: source.id, name: 'build', artifacts_file: { filename: 'a.zip' } }]);
  expect(await principals(use)).toEqual([alice.id, bob.id]);
  expect((await fetchArchive(use, source)).status).toBe(200);
  // Asked again when it is fetched (R2).
  await server.must('DELETE', `/api/v4/projects/${lib}/members/${alice.id}`);
  expect((await fetchArchive(use, source)).status).toBe(403);
  await server.finish(use);
  const rows = await server.store.audit.query({ jobId: id<JobId>(use.id), limit: 100 });
  expect(rows.filter(({ endpoint }) => endpoint === 'needs:project').map(({ decision }) => decision)).toContain('allow');
});

test('R1 an artifact that is for developers, or for nobody, comes to no job of another project whose people could not download it', async () => {
  const file =
    'build: {script: x, artifacts: {paths: [out], access: developer}}\nown: {script: x, artifacts: {paths: [out], access: none}}\n';
  const lib = await project('kept/lib', { '.gitlab-ci.yml': file }, bob);
  const source = await build();
  await build();
  await server.member(lib, alice.id, 20);
  const use = (job: string) => `use: {script: x, needs: [{project: kept/lib, ref: main, job: ${job}}]}\n`;
  const app = await project('kept/app', { '.gitlab-ci.yml': use('build') }, alice);
  expect((await server.call('GET', `/api/v4/projects/${lib}/jobs/${source.id}/artifacts`, { token: alice.token })).status).toBe(403);
  expect(await server.claim(runner)).toBeUndefined();
  expect(await failed(app)).toMatchObject([{ failure_reason: 'missing_dependency_failure' }]);
  await server.must('PUT', `/api/v4/projects/${lib}/members/${alice.id}`, { access_level: 30 });
  await server.must('POST', `/api/v4/projects/${app}/pipeline`, { ref: 'main' }, alice.token);
  const job = await claim();
  expect((await fetchArchive(job, source)).status).toBe(200);
  await server.must('PUT', `/api/v4/projects/${lib}/members/${alice.id}`, { access_level: 20 });
  expect((await fetchArchive(job, source)).status).toBe(403);
  await server.finish(job);
  await project('kept/other', { '.gitlab-ci.yml': use('own') }, bob);
  expect(await server.claim(runner)).toBeUndefined();
});

test('a child takes an artifact of its parent, and of no pipeline beside its tree', async () => {
  const parent = `stages: [a, b]\n${maker.replace('{', '{stage: a, ')}hop: {stage: b, trigger: {include: child.yml}, variables: {PARENT: $CI_PIPELINE_ID}}\n`;
  const child = 'use: {script: x, needs: [{pipeline: $PARENT, job: build}]}\n';
  const app = await project('tree/app', { '.gitlab-ci.yml': parent, 'child.yml': child }, alice);
  const source = await build();
  await expect.poll(async () => (await server.store.jobs.waiting(null, 10)).length, { timeout: 20_000, interval: 20 }).toBe(1);
  const use = await claim();
  expect(use.payload['dependencies']).toMatchObject([{ id: source.id }]);
  expect((await fetchArchive(use, source)).status).toBe(200);
  await server.finish(use);
  // Another pipeline of the same project, given as the parent.
  const [first] = (await server.call('GET', `/api/v4/projects/${app}/pipelines`, { token: alice.token })).list;
  const beside = await project('tree/other', { '.gitlab-ci.yml': child }, alice);
  const variables = [{ key: 'PARENT', value: String(first?.['id']) }];
  await server.must('POST', `/api/v4/projects/${beside}/pipeline`, { ref: 'main', variables }, alice.token);
  expect(await server.claim(runner)).toBeUndefined();
  expect(await failed(beside)).toMatchObject([
    { failure_reason: 'missing_dependency_failure' },
    { failure_reason: 'missing_dependency_failure' },
  ]);
});

test('R3 A41 a job shows how the newest pipeline of another project is doing, as long as everybody behind it may see that', async () => {
  const up = await project('upper/up', { '.gitlab-ci.yml': 'work: {script: x}\n' }, bob);
  const first = await claim();
  const app = await project(
    'lower/app',
    { '.gitlab-ci.yml': 'stages: [a, b]\nshows: {stage: a, needs: {pipeline: upper/up}}\nlate: {stage: b, script: x}\n' },
    alice,
  );
  const path = `/api/v4/projects/${app}/pipelines`;
  const newest = async () => (await server.call('GET', path, { token: alice.token })).list[0]?.['id'];
  const shown = async () => (await server.call('GET', `${path}/${String(await newest())}/bridges`, { token: alice.token })).list[0] ?? {};
  const comes = async (status: string): Promise<void> => {
    await expect.poll(async () => (await shown())['status'], { timeout: 20_000, interval: 20 }).toBe(status);
  };
  await comes('failed');
  expect(await shown()).toMatchObject({ failure_reason: 'downstream_bridge_project_not_found', downstream_pipeline: null });
  await server.member(up, alice.id, 20);
  const again = () => server.must('POST', `/api/v4/projects/${app}/pipeline`, { ref: 'main' }, alice.token);
  await again();
  await comes('running');
  // It is somebody else's pipeline: nothing downstream of this one.
  expect((await shown())['downstream_pipeline']).toBeNull();
  await server.finish(first);
  await comes('success');
  await server.finish(await claim());
  await server.must('POST', `/api/v4/projects/${up}/pipeline`, { ref: 'main' }, bob.token);
  const second = await claim();
  await again();
  await comes('running');
  await server.call('DELETE', `/api/v4/projects/${up}/members/${alice.id}`, { token: server.root });
  await server.finish(second);
  await comes('failed');
  expect((await shown())['failure_message']).toBe(
    'The pipeline that it mirrors is gone, or not everybody behind the job may see it any more.',
  );
});
