import { mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { id, type JobId } from '../../src/base/ids.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

let dataDir: string;
let server: TestServer;
beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'jobpass-unreadable-'));
  server = await startTestServer({ dataDir });
});
afterAll(async () => {
  await server.stop();
  await rm(dataDir, { recursive: true, force: true });
});

test('R2 a job whose repository cannot be read any more ends all the same, and its passes with it', async () => {
  const project = await server.project('team/lost');
  const { token } = await server.runner();
  await server.commit(
    project,
    '.gitlab-ci.yml',
    'deploy: {script: x, environment: {name: live, url: "https://$CI_COMMIT_SHORT_SHA.example.com"}}',
  );
  const job = await server.claim(token);
  if (job === undefined) throw new Error('no job to take');
  expect((await server.call('GET', '/api/v4/job', { headers: { 'job-token': job.fetchPass } })).status).toBe(200);
  const repositories = (await readdir(dataDir, { recursive: true })).filter((path) => path.endsWith(`/${project}.git`));
  expect(repositories).toHaveLength(1);
  for (const path of repositories) await rename(join(dataDir, path), join(dataDir, 'elsewhere.git'));
  // Windows says 0xC0000005 so; the number is beyond what a store's integer holds.
  const body = { state: 'success', exit_code: 3_221_225_477 };
  expect((await server.call('PUT', `/api/v4/jobs/${job.id}`, { headers: { 'job-token': job.token }, body })).status).toBe(200);
  expect((await server.call('GET', '/api/v4/job', { headers: { 'job-token': job.fetchPass } })).status).toBe(401);
  expect(await server.store.jobs.job(null, id<JobId>(job.id))).toMatchObject({ status: 'success', exitCode: -1_073_741_819 });
});
