import { request as httpRequest } from 'node:http';
import { crc32 } from 'node:zlib';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { id, type JobId } from '../../../src/base/ids.ts';
import { limits } from '../../../src/base/limits.ts';
import { type Claimed, startTestServer, type TestServer } from '../../support/server.ts';

const twoStages = `stages: [build, use]
make:
  stage: build
  script: ["true"]
  artifacts: {paths: [out]}
other:
  stage: build
  when: manual
  script: ["true"]
  artifacts: {paths: [out]}
use:
  stage: use
  script: ["true"]
`;

describe('the runner door', () => {
  let server: TestServer;
  let alice: { id: number; token: string };
  let app: number;
  let runner: { id: number; token: string };

  beforeAll(async () => {
    server = await startTestServer();
    alice = await server.user('alice');
    app = await server.project('team/app');
    await server.member(app, alice.id, 40);
    await server.commit(app, '.gitlab-ci.yml', twoStages, { token: alice.token });
    runner = await server.runner();
  });
  afterAll(() => server.stop());
  beforeEach(async () => {
    for (let job = await server.claim(runner.token); job !== undefined; job = await server.claim(runner.token)) await server.finish(job);
  });

  const newPipeline = () => server.must('POST', `/api/v4/projects/${app}/pipeline`, { ref: 'main' }, alice.token);
  const claim = async (): Promise<Claimed> => {
    const job = await server.claim(runner.token);
    if (job === undefined) throw new Error('no job');
    return job;
  };
  const startJob = async (): Promise<Claimed> => {
    await newPipeline();
    return claim();
  };
  const patch = (job: Claimed, from: number, text: string) =>
    server.call('PATCH', `/api/v4/jobs/${job.id}/trace`, {
      headers: { 'job-token': job.token, 'content-range': `${from}-${from + text.length - 1}`, 'content-type': 'text/plain' },
      raw: text,
    });
  const put = (job: Claimed, body: object) =>
    server.call('PUT', `/api/v4/jobs/${job.id}`, { headers: { 'job-token': job.token }, body: { token: job.token, ...body } });
  const form = (content: string, name = 'artifacts.zip') =>
    `--B\r\nContent-Disposition: form-data; name="file"; filename="${name}"\r\nContent-Type: application/octet-stream\r\n\r\n${content}\r\n--B--\r\n`;
  const upload = (job: Claimed, raw: string, query = '?artifact_format=zip&artifact_type=archive&expire_in=1%20day') =>
    server.call('POST', `/api/v4/jobs/${job.id}/artifacts${query}`, {
      headers: { 'job-token': job.token, 'content-type': 'multipart/form-data; boundary=B' },
      raw,
    });
  const download = (job: Claimed, from: number) =>
    server.call('GET', `/api/v4/jobs/${from}/artifacts`, { headers: { 'job-token': job.token } });

  test('a runner is known by its token, in the header, in the body or in both', async () => {
    const verify = (body: object, headers = {}) => server.call('POST', '/api/v4/runners/verify', { body, headers });
    expect((await verify({ token: runner.token })).body).toEqual({ id: runner.id, token: runner.token, token_expires_at: null });
    expect((await verify({}, { 'runner-token': runner.token })).status).toBe(200);
    expect((await verify({ token: runner.token }, { 'runner-token': runner.token })).status).toBe(200);
    expect((await verify({ token: 'glrt-unknown' })).status).toBe(403);
    expect((await verify({})).status).toBe(403);
  });

  test('R17 two different tokens are refused', async () => {
    const two = { headers: { 'runner-token': 'glrt-other' }, body: { token: runner.token } };
    expect((await server.call('POST', '/api/v4/runners/verify', two)).status).toBe(403);
  });

  test('R5 A9 neither a pass nor a job token nor a user acts as a runner', async () => {
    const job = await startJob();
    for (const token of [job.fetchPass, job.token, alice.token, server.root])
      expect((await server.call('POST', '/api/v4/jobs/request', { body: { token } })).status).toBe(403);
    expect((await server.call('PUT', `/api/v4/jobs/${job.id}`, { body: { token: job.fetchPass, state: 'success' } })).status).toBe(403);
    expect((await server.call('PUT', `/api/v4/jobs/${job.id}`, { body: { token: runner.token, state: 'success' } })).status).toBe(403);
    await server.finish(job);
  });

  test('a runner that leaves is gone, with its token in the body of a DELETE', async () => {
    const leaving = await server.runner();
    expect((await server.call('DELETE', '/api/v4/runners', { body: { token: leaving.token } })).status).toBe(204);
    expect((await server.call('POST', '/api/v4/jobs/request', { body: { token: leaving.token } })).status).toBe(403);
  });

  test('no job router is here (501), so that requests keep coming through us', async () => {
    expect((await server.call('GET', '/api/v4/runners/router/discovery', { headers: { 'runner-token': runner.token } })).status).toBe(501);
  });

  test('a body that is no object, or too large, is refused', async () => {
    const raw = (text: string) =>
      server.call('POST', '/api/v4/jobs/request', { headers: { 'content-type': 'application/json' }, raw: text });
    expect((await raw('[]')).status).toBe(400);
    expect((await raw('{')).status).toBe(400);
    expect((await raw(JSON.stringify({ token: runner.token, info: 'x'.repeat(limits.jobRequestBodyBytes) }))).status).toBe(413);
  });

  test('a long poll ends with the job that came', async () => {
    const empty = await server.call('POST', '/api/v4/jobs/request', { body: { token: runner.token } });
    expect(empty.status).toBe(204);
    const version = empty.headers.get('x-gitlab-last-update');
    const polling = server.call('POST', '/api/v4/jobs/request', { body: { token: runner.token, last_update: version } });
    await newPipeline();
    const reply = await polling;
    expect(reply.status).toBe(201);
    await server.call('PUT', `/api/v4/jobs/${String(reply.body['id'])}`, { body: { token: reply.body['token'], state: 'success' } });
  });

  test('A46 a job whose runner hung up while it waited goes to the next one', async () => {
    const version = (await server.call('POST', '/api/v4/jobs/request', { body: { token: runner.token } })).headers.get(
      'x-gitlab-last-update',
    );
    const sent = httpRequest(`${server.url}/api/v4/jobs/request`, { method: 'POST', headers: { 'content-type': 'application/json' } });
    const failed = new Promise((resolve) => sent.once('error', resolve));
    await new Promise<void>((resolve) => sent.end(JSON.stringify({ token: runner.token, last_update: version }), () => resolve()));
    sent.destroy();
    await failed;
    await newPipeline();
    await expect.poll(() => server.claim(runner.token), { timeout: 10_000 }).toBeDefined();
  });

  test('a trace grows piece by piece; a piece at another place is told where to go on', async () => {
    const job = await startJob();
    const first = await patch(job, 0, 'one\n');
    expect([first.status, first.headers.get('range'), first.headers.get('job-status')]).toEqual([202, '0-4', 'running']);
    expect(Number(first.headers.get('x-gitlab-trace-update-interval'))).toBeGreaterThan(0);
    const again = await patch(job, 0, 'one\n');
    expect([again.status, again.headers.get('range')]).toEqual([416, '0-4']);
    const bare = await server.call('PATCH', `/api/v4/jobs/${job.id}/trace`, { headers: { 'job-token': job.token }, raw: 'x' });
    expect(bare.status).toBe(400);
    expect((await patch(job, 4, 'x'.repeat(limits.tracePatchBytes + 1))).status).toBe(413);
    await server.finish(job);
  });

  test('A45 the last word of a runner kills the passes, also while the trace is short or damaged', async () => {
    const job = await startJob();
    expect((await server.call('GET', '/api/v4/job', { token: job.fetchPass })).status).toBe(200);
    await patch(job, 0, 'damaged');
    const whole = { state: 'success', output: { checksum: `crc32:${crc32('whole').toString(16).padStart(8, '0')}`, bytesize: 5 } };
    expect((await put(job, { ...whole, output: { ...whole.output, bytesize: 9 } })).status).toBe(202);
    expect((await server.call('GET', '/api/v4/job', { token: job.fetchPass })).status).toBe(401);
    expect((await put(job, whole)).status).toBe(412);
    expect((await patch(job, 0, 'whole')).status).toBe(202);
    const ended = await put(job, whole);
    expect([ended.status, ended.headers.get('job-status')]).toEqual([200, 'success']);
  });

  test('R12 a trace that was masked ends without a check sum that could not match', async () => {
    const job = await startJob();
    const text = `${job.fetchPass}\n`;
    await patch(job, 0, text);
    const sum = `crc32:${crc32(text).toString(16).padStart(8, '0')}`;
    expect((await put(job, { state: 'failed', output: { checksum: sum, bytesize: text.length } })).status).toBe(200);
  });

  test('R2 A45 after its end a job is told so: 403 and its state', async () => {
    const job = await startJob();
    await put(job, { state: 'failed', failure_reason: 'script_failure', exit_code: 3 });
    expect(await server.store.jobs.job(null, id<JobId>(job.id))).toMatchObject({ failureReason: 'script_failure', exitCode: 3 });
    for (const reply of [await put(job, { state: 'running' }), await patch(job, 0, 'late'), await upload(job, form('late'))])
      expect([reply.status, reply.headers.get('job-status')]).toEqual([403, 'failed']);
  });

  test('R2 a cancel reaches the runner with its next word, and the end it reports then is a cancel', async () => {
    const job = await startJob();
    await server.must('POST', `/api/v4/projects/${app}/jobs/${job.id}/cancel`, {}, alice.token);
    const told = await patch(job, 0, 'x');
    expect([told.status, told.headers.get('job-status')]).toEqual([202, 'canceling']);
    expect((await server.must('POST', `/api/v4/projects/${app}/jobs/${job.id}/cancel`, {}, alice.token))['status']).toBe('canceling');
    expect((await put(job, { state: 'failed', failure_reason: 'job_canceled' })).headers.get('job-status')).toBe('canceled');
  });

  test('R3 A57 artifacts come from jobs that ended before this one began, and from no other', async () => {
    const make = await startJob();
    expect((await upload(make, form('the archive'))).status).toBe(201);
    await server.finish(make);
    const use = await claim();
    expect(use.payload['dependencies']).toEqual([
      { id: make.id, token: use.token, name: 'make', artifacts_file: { filename: 'artifacts.zip', size: 11 } },
    ]);
    const got = await download(use, make.id);
    expect([got.status, got.text, got.headers.get('content-type')]).toEqual([200, 'the archive', 'application/octet-stream']);

    const { pipelineId } = (await server.store.jobs.job(null, id<JobId>(use.id))) ?? {};
    const all = await server.store.jobs.jobsOfPipeline(null, pipelineId ?? id(0));
    const manual = all.find((job) => job.name === 'other');
    await server.must('POST', `/api/v4/projects/${app}/jobs/${String(manual?.id)}/play`, {}, alice.token);
    const late = await claim();
    expect(late.id).toBe(manual?.id);
    await upload(late, form('slipped in'));
    expect((await download(use, late.id)).status).toBe(404);
    await server.finish(late);
    expect((await download(use, late.id)).status).toBe(404);
    await server.finish(use);
    expect((await download(use, make.id)).status).toBe(403);
  });

  test('artifacts are stored once, whole or not at all', async () => {
    const job = await startJob();
    const kept = async () => (await server.store.jobs.job(null, id<JobId>(job.id)))?.artifactsFile ?? null;
    expect((await upload(job, form('x').slice(0, -20))).status).toBe(400);
    expect((await upload(job, 'no parts at all')).status).toBe(400);
    expect((await upload(job, form('x').replace('name="file"', 'name="other"'))).status).toBe(400);
    expect((await upload(job, form('x'), '?artifact_format=zip&artifact_type=junit')).status).toBe(400);
    expect(await kept()).toBeNull();

    const sent = httpRequest(`${server.url}/api/v4/jobs/${job.id}/artifacts`, {
      method: 'POST',
      headers: { 'job-token': job.token, 'content-type': 'multipart/form-data; boundary=B', 'transfer-encoding': 'chunked' },
    });
    const failed = new Promise((resolve) => sent.once('error', resolve));
    await new Promise<void>((resolve) => sent.write(form('half an archive').slice(0, -25), () => resolve()));
    sent.destroy();
    await failed;
    // The one that hung up is let go, so that the runner's next try is taken.
    await expect.poll(async () => (await upload(job, form('whole', '../x y.zip'))).status, { timeout: 10_000 }).toBe(201);
    expect(await kept()).toBe('x_y.zip');
    expect((await upload(job, form('another'))).status).toBe(400);
    await server.finish(job);
    const use = await claim();
    expect((await download(use, job.id)).text).toBe('whole');
    await server.finish(use);
  });
});
