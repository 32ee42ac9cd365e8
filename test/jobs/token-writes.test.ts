import { afterAll, beforeAll, expect, test } from 'vitest';
import { id, type ProjectId, type RefName } from '../../src/base/ids.ts';
import { type Claimed, startTestServer, type TestServer } from '../support/server.ts';

let server: TestServer;
let alice: { id: number; token: string };
let mallory: { id: number; token: string };
let runner: string;
let app: number;

/** Mallory, a developer, has pushed to a branch; alice, a maintainer, runs a job on it. Tags `v*` are protected. */
beforeAll(async () => {
  server = await startTestServer();
  [alice, mallory] = [await server.user('alice'), await server.user('mallory')];
  ({ token: runner } = await server.runner());
  app = await server.project('team/app');
  await server.member(app, alice.id, 40);
  await server.member(app, mallory.id, 30);
  await server.must('POST', `/api/v4/projects/${app}/protected_tags`, { name: 'v*', create_access_level: 40 });
  const file = 'job: {script: x, rules: [{if: $CI_PIPELINE_SOURCE != "push"}]}\n';
  await server.commit(app, '.gitlab-ci.yml', file, { token: alice.token });
  await server.commit(app, 'theirs', 'x', { token: mallory.token, branch: 'feature', start: 'main' });
});
afterAll(() => server.stop());

async function jobOn(ref: string): Promise<Claimed> {
  await server.must('POST', `/api/v4/projects/${app}/pipeline`, { ref }, alice.token);
  const job = await server.claim(runner);
  if (job === undefined) throw new Error('no job');
  return job;
}
const release = (job: Claimed, tag: string, ref: string) =>
  server.call('POST', `/api/v4/projects/${app}/releases`, { headers: { 'job-token': job.token }, body: { tag_name: tag, ref } });
const pushersOf = (tag: string) => server.store.forge.pushLog.lastPushers(null, id<ProjectId>(app), `refs/tags/${tag}` as RefName);

test('A58 A6 R3 a job token makes no protected tag that not everybody whose hands are in the job may make', async () => {
  const theirs = await jobOn('feature');
  const refused = await release(theirs, 'v1', 'feature');
  expect([refused.status, JSON.stringify(refused.body['message'])]).toEqual([403, expect.stringContaining('hands are in the job')]);
  expect((await release(theirs, 'nightly', 'feature')).status).toBe(201);
  // Whoever runs jobs on that tag is told whose work stands there.
  expect(await pushersOf('nightly')).toEqual([alice.id, mallory.id]);
  await server.finish(theirs);
  const own = await jobOn('main');
  expect((await release(own, 'v1', 'main')).status).toBe(201);
  expect(await pushersOf('v1')).toEqual([alice.id]);
  await server.finish(own);
});
