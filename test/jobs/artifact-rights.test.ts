import { afterAll, beforeAll, expect, test } from 'vitest';
import type { JobId } from '../../src/base/ids.ts';
import { type Claimed, startTestServer, type TestServer } from '../support/server.ts';

const ciFile = `stages: [build, test]
build:
  stage: build
  tags: [builder]
  script: ["true"]
  artifacts: {paths: [out]}
test:
  tags: [tester]
  script: ["true"]
`;
const form = '--b\r\ncontent-disposition: form-data; name="file"; filename="a.zip"\r\n\r\nPK\r\n--b--\r\n';

let server: TestServer;
let alice: { id: number; token: string };
let mallory: { id: number; token: string };
let app: number;
let builder: { id: number; token: string };
let tester: { id: number; token: string };
beforeAll(async () => {
  server = await startTestServer();
  [alice, mallory] = [await server.user('alice'), await server.user('mallory')];
  app = await server.project('team/app');
  for (const { id } of [alice, mallory]) await server.member(app, id, 40);
  const own = { runner_type: 'project_type', project_id: app, tag_list: ['builder'], run_untagged: false };
  const made = await server.must('POST', '/api/v4/user/runners', own, mallory.token);
  builder = { id: Number(made['id']), token: String(made['token']) };
  tester = await server.runner({ tags: ['tester'] });
  await server.commit(app, '.gitlab-ci.yml', ciFile, { token: alice.token });
});
afterAll(() => server.stop());

async function take(token: string): Promise<Claimed> {
  const job = await server.claim(token);
  if (job === undefined) throw new Error('no job');
  return job;
}

/** What mallory's runner made goes into a job of an instance runner. */
async function consumer(): Promise<Claimed> {
  const job = await take(builder.token);
  const headers = { 'job-token': job.token, 'content-type': 'multipart/form-data; boundary=b' };
  expect((await server.call('POST', `/api/v4/jobs/${job.id}/artifacts`, { headers, raw: form })).status).toBe(201);
  await server.finish(job);
  return take(tester.token);
}
const page = (job: Claimed) => server.must('GET', `/api/v4/projects/${app}/jobs/${job.id}/jobpass`, undefined, alice.token);
const names = (body: Record<string, unknown>): string[] =>
  (body['principals'] as { username: string; reason: string }[]).map(({ username, reason }) => `${username}: ${reason}`);

test('R3 A44 the owner of a runner is in the rights of what consumes its artifacts, also where the runner itself got no pass', async () => {
  const job = await consumer();
  expect(names(await page(job))).toEqual(['alice: starter', 'mallory: artifact']);
  await server.finish(job);

  await server.must('PUT', `/api/v4/runners/${builder.id}`, { trust: 'none' });
  await server.must('POST', `/api/v4/projects/${app}/pipeline`, { ref: 'main' }, alice.token);
  const again = await consumer();
  const body = await page(again);
  expect(names(body)).toEqual(['alice: starter', 'mallory: artifact']);
  expect((await server.store.passes.forJob(null, again.id as JobId)).map(({ principals }) => principals.length)).toEqual([2]);
  await server.finish(again);
});

test('R3 R11 a job without a pass has its page, too', async () => {
  await server.must('POST', `/api/v4/projects/${app}/pipeline`, { ref: 'main' }, alice.token);
  const job = await take(builder.token);
  const body = await page(job);
  expect([names(body), body['passes']]).toEqual([['alice: starter', 'mallory: runner_owner'], []]);
  await server.finish(job, 'failed');
});

test('R3 whose hands were in an artifact that nobody recorded cannot be told: only the own project is left', async () => {
  await server.must('POST', `/api/v4/projects/${app}/pipeline`, { ref: 'main' }, alice.token);
  const source = await take(builder.token);
  await server.store.transactor.write((tx) =>
    server.store.jobRights.record(tx, source.id as JobId, { principals: [], provable: false, sources: [] }),
  );
  const headers = { 'job-token': source.token, 'content-type': 'multipart/form-data; boundary=b' };
  await server.call('POST', `/api/v4/jobs/${source.id}/artifacts`, { headers, raw: form });
  await server.finish(source);
  const job = await take(tester.token);
  expect((await page(job))['own_project_only']).toBe(true);
  const { notes } = job.payload['extended_job_token'] as { notes: string[] };
  expect(notes.join('\n')).toContain('it is not known whose hands were in a job whose artifacts it uses');
  await server.finish(job);
});
