import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { id, type JobId, millis } from '../../src/base/ids.ts';
import { silentLog } from '../../src/base/log.ts';
import { artifactKey, reportKey } from '../../src/jobs/keys.ts';
import { Reaper } from '../../src/jobs/reaper.ts';
import { Wakeup } from '../../src/jobs/wakeup.ts';
import { LiveGrants } from '../../src/pass/live.ts';
import { makeRevoker } from '../../src/pass/revoke.ts';
import type { JobRecord } from '../../src/ports/jobs.ts';
import { fileBlobs } from '../../src/store/blobs/files.ts';
import { GitlabRunner, type RunnerJob } from '../conformance/gitlab-runner-client.ts';
import { oneJob, startTestServer, type TestServer } from '../support/server.ts';

describe('what becomes of a job after its end', () => {
  let server: TestServer;
  let alice: { id: number; token: string };
  let app: number;
  let client: GitlabRunner;
  let count = 0;

  beforeAll(async () => {
    server = await startTestServer();
    alice = await server.user('alice');
    app = await server.project('team/app');
    await server.member(app, alice.id, 40);
    await server.commit(app, 'README.md', 'hello', { token: alice.token });
    await server.must('POST', `/api/v4/projects/${app}/repository/branches`, { branch: 'empty', ref: 'main' }, alice.token);
    await server.commit(app, '.gitlab-ci.yml', oneJob, { token: alice.token });
    client = new GitlabRunner(server.url, (await server.runner()).token);
    await (await take()).finish('success');
  });
  afterAll(() => server.stop());

  const take = async (): Promise<RunnerJob> => {
    const job = await next();
    if (job === undefined) throw new Error('no job');
    return job;
  };
  /** What there is now: without a version nothing is held. */
  const next = (): Promise<RunnerJob | undefined> => {
    client.lastUpdate = undefined;
    return client.takeJob();
  };
  const row = async (job: { id: number }): Promise<JobRecord> => {
    const found = await server.store.jobs.job(null, id<JobId>(job.id));
    if (found === undefined) throw new Error('no row');
    return found;
  };
  /** A pipeline whose one job says when it is retried. */
  async function withRetry(retry: object): Promise<void> {
    count += 1;
    const content = `job:\n  script: ["true"]\n  retry: ${JSON.stringify(retry)}\n`;
    await server.commit(app, '.gitlab-ci.yml', content, { token: alice.token, branch: `retry-${count}`, start: 'empty' });
  }
  const reaperAt = (now: number): Reaper => {
    const times = { now: millis(Date.now()) };
    const clock = { now: () => times.now, monotonic: () => times.now };
    const live = new LiveGrants(() => Promise.resolve(true));
    const revoker = makeRevoker({ ...server.store, live, clock });
    const blobs = fileBlobs(join(server.dataDir, 'blobs'));
    const reaper = new Reaper({ ...server.store, clock, revoker, log: silentLog, wakeup: new Wakeup('test'), blobs });
    times.now = millis(now);
    return reaper;
  };

  test('retry: a failed job is made anew as often as it says, by the same user, and the pipeline waits for it', async () => {
    await withRetry({ max: 2, when: ['always'] });
    const ids: number[] = [];
    for (let turn = 0; turn < 3; turn += 1) {
      const job = await take();
      ids.push(job.id);
      await job.finish('failed', { failure_reason: 'script_failure' });
    }
    expect(await next()).toBeUndefined();
    const [first, second, third] = await Promise.all(ids.map((one) => row({ id: one })));
    expect([first?.retriedById, second?.retriedById, third?.retriedById]).toEqual([second?.id, third?.id, null]);
    expect([second?.userId, third?.userId]).toEqual([alice.id, alice.id]);
    expect((await server.store.jobs.pipeline(null, first?.pipelineId ?? id(0)))?.status).toBe('failed');
  });

  test('R2 retry: the passes of the failed one are dead, the new one has its own', async () => {
    await withRetry({ max: 1, when: ['always'] });
    const passOf = (job: RunnerJob) => (job.payload['extended_job_token'] as { fetch_token: string }).fetch_token;
    const statusOf = async (job: RunnerJob) => (await server.call('GET', '/api/v4/job', { token: passOf(job) })).status;
    const first = await take();
    await first.finish('failed');
    const second = await take();
    expect([await statusOf(first), await statusOf(second)]).toEqual([401, 200]);
    await second.finish('success');
  });

  test.each([
    [{ max: 1, when: ['runner_system_failure'] }, { failure_reason: 'script_failure' }, false],
    [{ max: 1, when: ['runner_system_failure'] }, { failure_reason: 'runner_system_failure' }, true],
    [{ max: 1, exit_codes: [137] }, { failure_reason: 'script_failure', exit_code: 137 }, true],
    [{ max: 1, exit_codes: [137] }, { failure_reason: 'script_failure', exit_code: 1 }, false],
    [{ max: 0, when: ['always'] }, { failure_reason: 'script_failure' }, false],
  ])('retry %o after %o: %s', async (retry, failure, again) => {
    await withRetry(retry);
    await (await take()).finish('failed', failure);
    const other = await next();
    expect(other !== undefined).toBe(again);
    await other?.finish('success');
  });

  test('retry: a lost runner is stuck_or_timeout_failure, and counts; a cancel is none', async () => {
    await withRetry({ max: 1, when: ['stuck_or_timeout_failure'] });
    const lost = await take();
    await reaperAt(Date.now() + 11 * 60_000).sweep();
    expect(await row(lost)).toMatchObject({ status: 'failed', failureReason: 'stuck_or_timeout_failure' });
    expect((await lost.update({ state: 'running' })).status).toBe(403);
    const again = await take();
    expect((await row(lost)).retriedById).toBe(again.id);
    await server.must('POST', `/api/v4/projects/${app}/jobs/${again.id}/cancel`, {}, alice.token);
    await again.finish('failed');
    expect(await next()).toBeUndefined();
  });

  /** As an upload on another node meets it: `meanwhile` happens when it has just found the job running and nothing stored. */
  async function overtaken(job: RunnerJob, query: string, meanwhile: () => Promise<unknown>): Promise<number> {
    const { jobs } = server.store;
    const { job: look } = jobs;
    let first = true;
    const late: typeof look = async (tx, wanted) => {
      const found = await look(tx, wanted);
      if (!first || tx !== null || wanted !== job.id) return found;
      first = false;
      await meanwhile();
      return found;
    };
    Object.assign(jobs, { job: late });
    try {
      return (await job.upload('late', 'late.zip', query)).status;
    } finally {
      Object.assign(jobs, { job: look });
    }
  }
  const kinds = [
    ['archive', 'artifact_format=zip&artifact_type=archive'],
    ['report', 'artifact_format=gzip&artifact_type=junit'],
  ] as const;
  async function contentOf(job: { id: number }, kind: 'archive' | 'report'): Promise<string> {
    const number = id<JobId>(job.id);
    const key = kind === 'archive' ? artifactKey(number) : reportKey(number, 'junit');
    const folder = dirname(join(server.dataDir, 'blobs', key));
    expect((await readdir(folder)).filter((name) => name.startsWith(`${basename(key)}.`))).toEqual([]);
    return readFile(join(server.dataDir, 'blobs', key), 'utf8');
  }

  test.each(kinds)('R2 an upload that outlives its job replaces nothing, and takes nothing away: %s', async (kind, query) => {
    await server.must('POST', `/api/v4/projects/${app}/pipeline`, { ref: 'main' }, alice.token);
    const job = await take();
    const status = await overtaken(job, query, async () => {
      // On the node that was faster.
      const key = kind === 'archive' ? artifactKey(id<JobId>(job.id)) : reportKey(id<JobId>(job.id), 'junit');
      await fileBlobs(join(server.dataDir, 'blobs')).write(key, Readable.from([Buffer.from('first')]), 10);
      await job.finish('success');
    });
    expect([status, await contentOf(job, kind)]).toEqual([403, 'first']);
  });

  test.each(kinds)('R3 a second upload replaces nothing, whatever was found at its start: %s', async (kind, query) => {
    await server.must('POST', `/api/v4/projects/${app}/pipeline`, { ref: 'main' }, alice.token);
    const job = await take();
    const status = await overtaken(job, query, () => job.upload('first', 'first.zip', query));
    expect([status, await contentOf(job, kind)]).toEqual([400, 'first']);
    expect((await row(job)).artifactsFile).toBe(kind === 'archive' ? 'first.zip' : null);
    await job.finish('success');
  });

  test('expire_in: archive and reports are gone once it is over, files and rows; what never expires stays', async () => {
    const upload = async (query: string) => {
      await server.must('POST', `/api/v4/projects/${app}/pipeline`, { ref: 'main' }, alice.token);
      const job = await take();
      expect((await job.upload('zip', 'artifacts.zip', `artifact_format=zip&artifact_type=archive${query}`)).status).toBe(201);
      expect((await job.upload('xml', 'junit.xml.gz', `artifact_format=gzip&artifact_type=junit${query}`)).status).toBe(201);
      await job.finish('success');
      return id<JobId>(job.id);
    };
    const [short, never] = [await upload('&expire_in=1+hour'), await upload('&expire_in=never')];
    const there = (job: JobId) => [artifactKey(job), reportKey(job, 'junit')].map((key) => existsSync(join(server.dataDir, 'blobs', key)));
    const answer = async (job: JobId) =>
      (await server.call('GET', `/api/v4/projects/${app}/jobs/${job}/artifacts`, { token: alice.token })).status;
    await reaperAt(Date.now() + 30 * 60_000).sweep();
    expect([...there(short), await answer(short)]).toEqual([true, true, 200]);
    await reaperAt(Date.now() + 61 * 60_000).sweep();
    expect([...there(short), await answer(short), await server.store.jobs.reportsOf(null, short)]).toEqual([false, false, 404, []]);
    expect([...there(never), await answer(never)]).toEqual([true, true, 200]);
  });
});
