import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { id, type JobId, millis, type PipelineId, type RunnerId } from '../../src/base/ids.ts';
import { silentLog } from '../../src/base/log.ts';
import type { ClaimRequest, SignedReport } from '../../src/jobs/jobs.ts';
import { Reaper } from '../../src/jobs/reaper.ts';
import { Wakeup } from '../../src/jobs/wakeup.ts';
import { LiveGrants } from '../../src/pass/live.ts';
import { makeRevoker } from '../../src/pass/revoke.ts';
import type { JobRecord, NewJob } from '../../src/ports/jobs.ts';
import { fileBlobs } from '../../src/store/blobs/files.ts';
import { sampleJob } from '../support/sample-job.ts';
import { type Claimed, startTestServer, type TestServer } from '../support/server.ts';

describe('jobs from their creation to their end, on SQLite and real git', () => {
  let server: TestServer;
  let alice: { id: number; token: string };
  let bob: { id: number; token: string };
  let runner: { id: number; token: string };
  let count = 0;

  beforeAll(async () => {
    server = await startTestServer();
    [alice, bob] = [await server.user('alice'), await server.user('bob')];
    runner = await server.runner();
  });
  afterAll(() => server.stop());
  beforeEach(async () => {
    for (let job = await server.claim(runner.token); job !== undefined; job = await server.claim(runner.token)) await server.finish(job);
  });

  /** A project of its own, where alice is maintainer and bob is developer, with the file on its protected main branch. */
  async function project(ciFile: string): Promise<number> {
    count += 1;
    const made = await server.project(`group${count}/app`);
    await server.member(made, alice.id, 40);
    await server.member(made, bob.id, 30);
    await server.commit(made, '.gitlab-ci.yml', ciFile, { token: alice.token });
    return made;
  }
  const claim = async (): Promise<Claimed> => {
    const job = await server.claim(runner.token);
    if (job === undefined) throw new Error('no job');
    return job;
  };
  const row = async (job: number): Promise<JobRecord> => {
    const found = await server.store.jobs.job(null, id<JobId>(job));
    if (found === undefined) throw new Error('no row');
    return found;
  };
  const jobsOf = async (job: Claimed) =>
    (await server.store.jobs.jobsOfPipeline(null, (await row(job.id)).pipelineId)).filter((one) => one.retriedById === null);
  const principalsOf = async (job: number) => (await server.store.passes.forJob(null, id<JobId>(job)))[0]?.principals ?? [];

  const request = (signed: SignedReport | null): ClaimRequest => ({ signed, secure: true, managerId: null, features: [] });

  test('A3 a developer starts nothing on a protected branch, and may on an own one', async () => {
    const app = await project('stages: [test]\njob:\n  script: ["true"]\n');
    await server.finish(await claim());
    const onMain = await server.call('POST', `/api/v4/projects/${app}/pipeline`, { token: bob.token, body: { ref: 'main' } });
    expect([onMain.status, onMain.text]).toEqual([403, expect.stringContaining('protected')]);
    await server.must('POST', `/api/v4/projects/${app}/repository/branches`, { branch: 'bobs', ref: 'main' }, bob.token);
    await server.must('POST', `/api/v4/projects/${app}/pipeline`, { ref: 'bobs' }, bob.token);
    expect(await server.claim(runner.token)).toBeDefined();
  });

  test('A3 A7 a developer neither retries nor plays a job of a protected branch', async () => {
    const app = await project('stages: [test]\njob:\n  script: ["true"]\ngate:\n  when: manual\n  script: ["true"]\n');
    const job = await claim();
    await server.finish(job, 'failed');
    const gate = (await jobsOf(job)).find((one) => one.status === 'manual');
    for (const [path, status] of [
      [`jobs/${job.id}/retry`, 201],
      [`jobs/${String(gate?.id)}/play`, 200],
    ] as const) {
      expect((await server.call('POST', `/api/v4/projects/${app}/${path}`, { token: bob.token })).status).toBe(403);
      expect((await server.call('POST', `/api/v4/projects/${app}/${path}`, { token: alice.token })).status).toBe(status);
    }
  });

  test('A7 the right to start is asked again when a runner takes the job', async () => {
    const app = await project('stages: [test]\njob:\n  script: ["true"]\n');
    const [waiting] = (await server.call('GET', `/api/v4/projects/${app}/jobs`, { token: alice.token })).list;
    await server.must('DELETE', `/api/v4/projects/${app}/members/${alice.id}`);
    expect(await server.claim(runner.token)).toBeUndefined();
    expect(await row(Number(waiting?.['id']))).toMatchObject({ status: 'failed', failureReason: 'runner_system_failure', runnerId: null });
    expect(await principalsOf(Number(waiting?.['id']))).toEqual([]);
  });

  test('A56 who retries lends the rights: to the job, and to what was skipped behind it', async () => {
    const app = await project('stages: [test, deploy]\nt:\n  stage: test\n  script: ["true"]\nd:\n  stage: deploy\n  script: ["true"]\n');
    const first = await claim();
    await server.finish(first, 'failed');
    expect((await jobsOf(first)).map((one) => one.status)).toEqual(['failed', 'skipped']);
    await server.member(app, bob.id, 40).catch(async () => {
      await server.must('PUT', `/api/v4/projects/${app}/members/${bob.id}`, { access_level: 40 });
    });
    await server.must('POST', `/api/v4/projects/${app}/jobs/${first.id}/retry`, {}, bob.token);
    const again = await claim();
    expect([(await row(again.id)).name, (await row(again.id)).userId]).toEqual(['t', bob.id]);
    expect((await principalsOf(again.id))[0]?.userId).toBe(bob.id);
    await server.finish(again);
    const deploy = await claim();
    expect([(await row(deploy.id)).name, (await row(deploy.id)).userId]).toEqual(['d', bob.id]);
    await server.finish(deploy);
    expect((await server.store.jobs.pipeline(null, (await row(deploy.id)).pipelineId))?.status).toBe('success');
  });

  test('A46 retries at once make one new job', async () => {
    const app = await project('stages: [test]\njob:\n  script: ["true"]\n');
    const job = await claim();
    await server.finish(job, 'failed');
    const replies = await Promise.all(
      Array.from({ length: 8 }, () => server.call('POST', `/api/v4/projects/${app}/jobs/${job.id}/retry`, { token: alice.token })),
    );
    expect(replies.filter((reply) => reply.status === 201)).toHaveLength(1);
    expect(replies.filter((reply) => reply.status === 422)).toHaveLength(7);
    expect(await jobsOf(job)).toHaveLength(1);
  });

  test('a retried pipeline goes through its stages again', async () => {
    const app = await project(
      'stages: [a, b]\none:\n  stage: a\n  script: ["true"]\ntwo:\n  stage: b\n  when: always\n  script: ["true"]\n',
    );
    await server.finish(await claim(), 'failed');
    const last = await claim();
    await server.finish(last, 'failed');
    await server.must('POST', `/api/v4/projects/${app}/pipelines/${(await row(last.id)).pipelineId}/retry`, {}, alice.token);
    expect((await jobsOf(last)).map((one) => [one.name, one.status])).toEqual([
      ['one', 'pending'],
      ['two', 'created'],
    ]);
  });

  test('an exit code that is allowed is forgiven once, not for the next try', async () => {
    const app = await project('stages: [test]\njob:\n  script: ["true"]\n  allow_failure:\n    exit_codes: [42]\n');
    const end = (job: Claimed, exitCode: number) =>
      server.call('PUT', `/api/v4/jobs/${job.id}`, { headers: { 'job-token': job.token }, body: { state: 'failed', exit_code: exitCode } });
    const status = async (job: Claimed) => (await server.store.jobs.pipeline(null, (await row(job.id)).pipelineId))?.status;
    const job = await claim();
    await end(job, 42);
    expect(await status(job)).toBe('success');
    await server.must('POST', `/api/v4/projects/${app}/jobs/${job.id}/retry`, {}, alice.token);
    await end(await claim(), 1);
    expect(await status(job)).toBe('failed');
  });

  test('R5 a pipeline of a pass is as deep as source and target project allow, and as wide as the pass', async () => {
    const app = await project('stages: [test]\njob:\n  script: ["true"]\n');
    const job = await claim();
    await server.must('PUT', `/api/v4/projects/${app}`, { jobpass_chain_depth: 1 });
    const { newPassToken } = await import('../../src/base/pass-token.ts');
    const passFor = async (of: Claimed, depth: number) => {
      const secret = newPassToken('full');
      const source = await row(of.id);
      await server.store.transactor.write((tx) =>
        server.store.passes.insert(tx, {
          kind: 'full',
          digest: secret.digest(),
          jobId: source.id,
          pipelineId: source.pipelineId,
          projectId: source.projectId,
          sha: source.sha,
          parentId: null,
          principals: [
            { userId: id(alice.id), reason: 'starter' },
            { userId: id(bob.id), reason: 'pusher' },
          ],
          ownProjectOnly: false,
          chainDepth: depth,
          issuedAt: millis(Date.now()),
          expiresAt: millis(Date.now() + 600_000),
        }),
      );
      return secret.reveal();
    };
    const start = (token: string, ref: string) => server.call('POST', `/api/v4/projects/${app}/pipeline`, { token, body: { ref } });
    await server.must('POST', `/api/v4/projects/${app}/repository/branches`, { branch: 'child', ref: 'main' });
    for (let other = await server.claim(runner.token); other !== undefined; other = await server.claim(runner.token))
      await server.finish(other);
    const pass = await passFor(job, 0);
    // bob may not start anything on main, and he is a principal.
    expect((await start(pass, 'main')).status).toBe(403);
    const made = await start(pass, 'child');
    expect(made.status).toBe(201);
    expect(await server.store.jobs.pipeline(null, id<PipelineId>(Number(made.body['id'])))).toMatchObject({
      chainDepth: 1,
      parentJobId: job.id,
      creators: [alice.id, bob.id],
    });
    const child = await claim();
    expect((await principalsOf(child.id)).map((one) => one.userId)).toEqual(expect.arrayContaining([alice.id, bob.id]));
    expect((await start(await passFor(child, 1), 'child')).status).toBe(403);
    await server.finish(child, 'failed');
    const retried = await server.call('POST', `/api/v4/projects/${app}/jobs/${child.id}/retry`, { token: pass });
    expect([retried.status, retried.text]).toEqual([403, expect.stringContaining('A pass may not retry')]);
    await server.finish(job);
  });

  test('A1 a pipeline of a push is of the commit that was pushed, whatever stands there by now', async () => {
    const app = await project('stages: [test]\njob:\n  script: ["true"]\n');
    const first = await claim();
    const { sha } = await row(first.id);
    await server.commit(app, 'later.txt', 'x', { token: alice.token });
    const later = await claim();
    const [oldOid, newOid] = [sha, (await row(later.id)).sha];
    const event = { pushId: id(1), projectId: id(app), passId: null, jobId: null, skipCi: false } as const;
    await server.jobs.pipelines.pushed({
      ...event,
      pushers: [id(alice.id)],
      changes: [{ ref: 'refs/heads/main', oldOid: '0'.repeat(40), newOid: oldOid }],
    } as never);
    const again = await claim();
    expect((await row(again.id)).sha).toBe(oldOid);
    expect(oldOid).not.toBe(newOid);
    for (const job of [first, later, again]) await server.finish(job);
  });

  test('R7 a runner that lost its trust while it waited gets a job without passes or none at all', async () => {
    await project('stages: [test]\njob:\n  script: ["true"]\n');
    const known = await server.store.runners.byId(null, id<RunnerId>(runner.id));
    if (known === undefined) throw new Error('no runner');
    await server.must('PUT', `/api/v4/runners/${runner.id}`, { trust: 'none' });
    const claimed = await server.jobs.queue.claim({ ...known, trust: 'full' }, request({ verdict: 'expose', unsafe: false }));
    expect(claimed?.payload.extended_job_token).toBeUndefined();
    await claimed?.withdraw();
    await server.must('PUT', `/api/v4/runners/${runner.id}`, { paused: true });
    expect(await server.jobs.queue.claim(known, request(null))).toBeUndefined();
    await server.must('PUT', `/api/v4/runners/${runner.id}`, { paused: false, trust: 'fetch' });
  });

  test('R7 project and starting user bound what a job sees, the pass says so, and nobody widens it for another', async () => {
    const app = await project('variables:\n  JOBPASS_EXPOSE: replace\nstages: [test]\njob:\n  script: ["true"]\n');
    await server.must('PUT', `/api/v4/runners/${runner.id}`, { trust: 'full' });
    const known = await server.store.runners.byId(null, id<RunnerId>(runner.id));
    if (known === undefined) throw new Error('no runner');
    const seen = async () => {
      const claimed = await server.jobs.queue.claim(known, request({ verdict: 'expose', unsafe: false }));
      const extended = claimed?.payload.extended_job_token;
      await claimed?.withdraw();
      return [extended?.exposure, extended?.token !== undefined, extended?.notes[0] ?? ''] as const;
    };
    expect(await seen()).toEqual(['replace', true, expect.stringContaining('gate finds the runner safe')]);
    await server.must('PUT', '/api/v4/user/jobpass', { max_exposure: 'variable' }, alice.token);
    expect(await seen()).toEqual(['variable', true, expect.stringContaining('who started it allows variable at most')]);
    await server.must('PUT', `/api/v4/projects/${app}/jobpass`, { max_exposure: 'withhold' });
    expect(await seen()).toEqual(['withhold', false, expect.stringContaining('the project allows withhold at most')]);
    await server.must('PUT', `/api/v4/projects/${app}/jobpass`, { max_exposure: null });
    expect((await server.must('GET', '/api/v4/user/jobpass', undefined, alice.token))['max_exposure']).toBe('variable');
    expect((await server.call('PUT', '/api/v4/user/jobpass', { token: alice.token, body: {} })).status).toBe(400);
    await server.must('PUT', '/api/v4/user/jobpass', { max_exposure: null }, alice.token);
    await server.must('PUT', `/api/v4/runners/${runner.id}`, { trust: 'fetch' });
    await server.finish(await claim());
  });

  test('R2 A46 a job that was not delivered goes back, and its passes are dead', async () => {
    await project('stages: [test]\njob:\n  script: ["true"]\n');
    const known = await server.store.runners.byId(null, id<RunnerId>(runner.id));
    if (known === undefined) throw new Error('no runner');
    const claimed = await server.jobs.queue.claim(known, request(null));
    const pass = claimed?.payload.extended_job_token?.fetch_token ?? '';
    expect((await server.call('GET', '/api/v4/job', { token: pass })).status).toBe(200);
    await claimed?.withdraw();
    const again = await claim();
    expect(again.id).toBe(claimed?.payload.id);
    expect((await server.call('GET', '/api/v4/job', { token: pass })).status).toBe(401);
    expect((await server.call('GET', '/api/v4/job', { token: again.fetchPass })).status).toBe(200);
    await server.finish(again);
  });

  test('A46 many runners at once take each job once, and leave none', async () => {
    await project(`stages: [test]\n${Array.from({ length: 12 }, (_, number) => `j${number}:\n  script: ["true"]\n`).join('')}`);
    const claims = await Promise.all(Array.from({ length: 20 }, () => server.claim(runner.token)));
    const ids = claims.flatMap((job) => job?.id ?? []);
    expect([ids.length, new Set(ids).size]).toEqual([12, 12]);
    for (const job of claims) if (job !== undefined) await server.finish(job);
  });

  test('R13 one job that cannot be prepared does not keep the others from running', async () => {
    await project('stages: [test]\njob:\n  script: ["true"]\n');
    const [poisoned] = await server.store.transactor.write((tx) =>
      server.store.jobs.claimCandidates(tx, { runnerId: id(runner.id), tags: [], runUntagged: true, protectedOnly: false }, 1),
    );
    if (poisoned === undefined) throw new Error('no job');
    await server.store.transactor.write((tx) =>
      server.store.jobs.insertJobs(tx, [{ ...newRowOf(poisoned), name: 'broken', plan: '{' }]).then(() => undefined),
    );
    await server.finish(await claim());
    await project('stages: [test]\nafter:\n  script: ["true"]\n');
    const next = await claim();
    expect((await row(next.id)).name).toBe('after');
    await server.finish(next);
  });

  test('R2 the reaper ends jobs of lost runners, stuck cancels and jobs past their timeout, with their passes', async () => {
    const reap = async (change: Parameters<typeof server.store.jobs.changeJob>[3], afterMs: number) => {
      await project('stages: [test]\njob:\n  timeout: 1 hour\n  script: ["true"]\n');
      const job = await claim();
      const times = { now: millis(Date.now()) };
      const clock = { now: () => times.now, monotonic: () => times.now };
      const live = new LiveGrants(() => Promise.resolve(true));
      const revoker = makeRevoker({ ...server.store, live, clock });
      const blobs = fileBlobs(join(server.dataDir, 'blobs'));
      const reaper = new Reaper({ ...server.store, clock, revoker, log: silentLog, wakeup: new Wakeup('test'), blobs });
      await server.store.transactor.write((tx) => server.store.jobs.changeJob(tx, id<JobId>(job.id), ['running'], change));
      times.now = millis(times.now + afterMs);
      await reaper.sweep();
      const ended = await row(job.id);
      const [pass] = await server.store.passes.forJob(null, ended.id);
      const result = [ended.status, ended.failureReason, pass?.revokedAt !== null];
      await server.finish(job);
      return result;
    };
    const now = millis(Date.now());
    const minutes = (number: number) => number * 60_000;
    expect(await reap({ contactAt: now }, minutes(11))).toEqual(['failed', 'stuck_or_timeout_failure', true]);
    expect(await reap({ contactAt: millis(now + minutes(9)) }, minutes(11))).toEqual(['running', null, false]);
    expect(await reap({ contactAt: millis(now - minutes(60)) }, minutes(1))).toEqual(['running', null, false]);
    expect(await reap({ status: 'canceling', cancelingSince: now, contactAt: millis(now + minutes(5)) }, minutes(6))).toEqual([
      'canceled',
      null,
      true,
    ]);
    expect(await reap({ contactAt: millis(now + minutes(71)), startedAt: millis(now - 2000) }, minutes(70))).toEqual([
      'failed',
      'job_execution_timeout',
      true,
    ]);
  });
});

/** What a new row takes over from one that is there. */
function newRowOf(job: JobRecord): NewJob {
  const { pipelineId, projectId, name, stage, stageIndex, ref, tag, sha, userId, plan, createdAt } = job;
  const { allowFailure, when, tags, timeoutSeconds, needs, retriedById, status } = sampleJob({ status: 'pending' });
  const fresh = { allowFailure, when, tags, timeoutSeconds, needs, retriedById, status };
  return { ...fresh, pipelineId, projectId, name, stage, stageIndex, ref, tag, sha, userId, plan, createdAt };
}
