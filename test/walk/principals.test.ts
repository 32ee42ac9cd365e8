import { afterAll, beforeAll, expect, test } from 'vitest';
import type { JobId } from '../../src/base/ids.ts';
import { oneJob, startTestServer, type TestServer } from '../support/server.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());

test('R3 A55 a pass of a branch that two people wrote to reaches what both may, from the claim to the last byte', async () => {
  const [alice, bob] = [await server.user('alice'), await server.user('bob')];
  const app = await server.project('team/app');
  const [both, hers, his] = [await server.project('a/both'), await server.project('b/hers'), await server.project('c/his')];
  for (const project of [app, both, hers]) await server.member(project, alice.id, 40);
  for (const project of [app, both, his]) await server.member(project, bob.id, 30);
  for (const project of [both, hers, his]) await server.commit(project, 'a.txt', 'a');
  await server.commit(app, 'a.txt', 'a', { token: alice.token });
  await server.commit(app, '.gitlab-ci.yml', oneJob, { token: bob.token, branch: 'shared', start: 'main' });
  const runner = await server.runner();
  const first = await server.claim(runner.token);
  if (first === undefined) throw new Error('no job of the push');
  await server.finish(first);
  await server.must('POST', `/api/v4/projects/${app}/pipeline`, { ref: 'shared' }, alice.token);
  const job = await server.claim(runner.token);
  if (job === undefined) throw new Error('no job');

  const [pass] = await server.store.passes.forJob(null, job.id as JobId);
  expect(pass?.principals.map(({ userId, reason }) => [userId, reason])).toEqual([
    [alice.id, 'starter'],
    [bob.id, 'pusher'],
  ]);
  const headers = { authorization: `Basic ${Buffer.from(`x:${job.fetchPass}`).toString('base64')}` };
  const fetched = async (path: string): Promise<number> =>
    (await server.call('GET', `/${path}.git/info/refs?service=git-upload-pack`, { headers })).status;
  expect(await Promise.all(['team/app', 'a/both', 'b/hers', 'c/his'].map(fetched))).toEqual([200, 200, 404, 404]);

  // Rights are those of this moment, of each of the two.
  await server.member(hers, bob.id, 20);
  await server.must('DELETE', `/api/v4/projects/${both}/members/${bob.id}`);
  expect(await Promise.all(['team/app', 'a/both', 'b/hers', 'c/his'].map(fetched))).toEqual([200, 404, 200, 404]);
  await server.finish(job);
  expect(await Promise.all(['team/app', 'b/hers'].map(fetched))).toEqual([401, 401]);
});
