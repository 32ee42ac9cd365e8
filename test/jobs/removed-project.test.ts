import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestServer, type TestServer } from '../support/server.ts';

let dataDir: string;
let server: TestServer;
beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'jobpass-removed-'));
  server = await startTestServer({ dataDir });
});
afterAll(async () => {
  await server.stop();
  await rm(dataDir, { recursive: true, force: true });
});

test('R13 with a project go the logs, artifacts and reports of its jobs, and nothing of others', async () => {
  const { token } = await server.runner();
  const work = async (project: number): Promise<string> => {
    await server.commit(project, '.gitlab-ci.yml', 'job: {script: x}');
    const job = await server.claim(token);
    if (job === undefined) throw new Error('no job to take');
    const headers = { 'job-token': job.token };
    const trace = { ...headers, 'content-range': '0-4', 'content-type': 'text/plain' };
    expect((await server.call('PATCH', `/api/v4/jobs/${job.id}/trace`, { headers: trace, raw: 'a log' })).status).toBe(202);
    for (const kind of ['artifact_type=archive&artifact_format=zip', 'artifact_type=junit&artifact_format=gzip']) {
      const raw = '--b\r\ncontent-disposition: form-data; name="file"; filename="f"\r\n\r\nx\r\n--b--\r\n';
      const form = { ...headers, 'content-type': 'multipart/form-data; boundary=b' };
      expect((await server.call('POST', `/api/v4/jobs/${job.id}/artifacts?${kind}`, { headers: form, raw })).status).toBe(201);
    }
    await server.finish(job);
    return `/${job.id}.`;
  };
  const [gone, kept] = [await server.project('team/gone'), await server.project('team/kept')];
  const [ofGone, ofKept] = [await work(gone), await work(kept)];
  const files = async (part: string) => (await readdir(join(dataDir, 'blobs'), { recursive: true })).filter((path) => path.includes(part));
  expect([(await files(ofGone)).length, (await files(ofKept)).length]).toEqual([3, 3]);
  await server.must('DELETE', `/api/v4/projects/${gone}`);
  expect([(await files(ofGone)).length, (await files(ofKept)).length]).toEqual([0, 3]);
});
