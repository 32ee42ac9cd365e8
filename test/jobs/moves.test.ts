import fc from 'fast-check';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { id, type JobId } from '../../src/base/ids.ts';
import { hasEnded, moves } from '../../src/jobs/state.ts';
import type { JobRecord, JobStatus } from '../../src/ports/jobs.ts';
import { GitlabRunner } from '../conformance/gitlab-runner-client.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

const file = `stages: [a, b]
one: {stage: a, script: ["true"], resource_group: prod}
two: {stage: a, script: ["true"], allow_failure: true}
three: {stage: a, when: manual, script: ["true"]}
four: {stage: b, script: ["true"]}
five: {stage: b, when: always, script: ["true"]}
six: {stage: b, when: on_failure, script: ["true"]}
seven: {stage: a, when: delayed, start_in: 1 day, script: ["true"], resource_group: prod}
eight: {stage: b, trigger: {include: child.yml, strategy: depend}, needs: [two]}
workflow: {auto_cancel: {on_new_commit: none}}
`;
const child = 'leaf: {script: ["true"], resource_group: prod}\n';
const inParallel = 50;
const rounds = 12;

let server: TestServer;
let alice: { id: number; token: string };
let app: number;
let machines: readonly GitlabRunner[];
/** Every move that was made, in the order of its transaction. */
const made: { job: JobId; kind: JobRecord['kind']; from: JobStatus; to: JobStatus }[] = [];
/** Moments at which more than one job of a resource group was let run. */
const crowded: string[] = [];

beforeAll(async () => {
  server = await startTestServer();
  alice = await server.user('alice');
  app = await server.project('team/app');
  await server.member(app, alice.id, 40);
  await server.commit(app, 'child.yml', child, { token: alice.token });
  await server.commit(app, '.gitlab-ci.yml', file, { token: alice.token });
  const { token } = await server.runner();
  machines = Array.from({ length: 10 }, () => new GitlabRunner(server.url, token));
  const { jobs } = server.store;
  const change = jobs.changeJob.bind(jobs);
  vi.spyOn(jobs, 'changeJob').mockImplementation(async (tx, job, from, to) => {
    const before = await jobs.job(tx, job);
    const done = await change(tx, job, from, to);
    if (!done || before === undefined || to.status === undefined) return done;
    made.push({ job, kind: before.kind, from: before.status, to: to.status });
    if (to.status === 'pending') {
      const live = (await jobs.listJobs(tx, id(app), ['pending', 'running', 'canceling'], { page: 1, perPage: 1000 })).rows;
      const inGroup = live.filter(({ resourceGroup }) => resourceGroup !== null);
      if (inGroup.length > 1) crowded.push(inGroup.map((one) => `${one.id} ${one.status}`).join(', '));
    }
    return done;
  });
});
afterAll(() => server.stop());

type Action = 'claim' | 'success' | 'failed' | 'trace' | 'cancel' | 'force' | 'retry' | 'play' | 'cancel_all' | 'retry_all';
const action = fc.record({
  what: fc.constantFrom<Action>(
    'claim',
    'claim',
    'claim',
    'success',
    'failed',
    'trace',
    'cancel',
    'force',
    'retry',
    'play',
    'cancel_all',
    'retry_all',
  ),
  which: fc.nat(30),
});

test('R2 A46 no illegal move, one claimant, one holder of a resource and one pipeline a bridge, whatever 50 requests do at once; no pass outlives its job', async () => {
  const seed = Date.now();
  const scripts = fc.sample(fc.array(action, { minLength: inParallel, maxLength: inParallel }), { seed, numRuns: rounds });
  const taken: { readonly id: number; readonly token: string }[] = [];
  const act = async ({ what, which }: { what: Action; which: number }): Promise<void> => {
    const all = (await server.store.jobs.listJobs(null, id(app), [], { page: 1, perPage: 30 })).rows;
    const job = all[which % all.length];
    const mine = taken[which % Math.max(1, taken.length)];
    const post = (path: string, body = {}) => server.call('POST', `/api/v4/projects/${app}/${path}`, { token: alice.token, body });
    if (what === 'claim') {
      const machine = machines[which % machines.length];
      const answer = await machine?.once('POST', '/jobs/request', {
        json: { token: machine.token, system_id: machine.systemId, info: machine.info },
      });
      if (answer?.status === 201) taken.push(answer.json as { id: number; token: string });
    } else if (what === 'cancel_all' || what === 'retry_all') {
      await post(`pipelines/${String(job?.pipelineId)}/${what === 'cancel_all' ? 'cancel' : 'retry'}`);
    } else if (['cancel', 'force', 'retry', 'play'].includes(what))
      await post(`jobs/${String(job?.id)}/${what === 'force' ? 'cancel' : what}`, what === 'force' ? { force: true } : {});
    else if (mine !== undefined) {
      const { id: number, token } = mine;
      if (what === 'trace')
        await server.call('PATCH', `/api/v4/jobs/${number}/trace`, { headers: { 'job-token': token, 'content-range': '0-0' }, raw: 'x' });
      else await server.call('PUT', `/api/v4/jobs/${number}`, { headers: { 'job-token': token }, body: { state: what } });
    }
  };
  for (const script of scripts) {
    await server.must('POST', `/api/v4/projects/${app}/pipeline`, { ref: 'main' }, alice.token);
    await Promise.all(script.map(act));
  }
  const illegal = made.filter(({ from, to }) => from !== to && !moves[from].includes(to));
  expect([seed, illegal]).toEqual([seed, []]);
  expect([seed, crowded]).toEqual([seed, []]);
  // Nothing here is withdrawn: a job that was handed out twice had two claimants.
  const claims = taken.map((job) => job.id);
  expect([seed, claims.length - new Set(claims).size]).toEqual([seed, 0]);
  expect(made.filter(({ kind, to }) => kind === 'build' && to === 'running')).toHaveLength(claims.length);
  // No bridge is in the middle of something: then what it made would come after the count.
  await server.jobs.stop();
  const below = await server.store.jobs.listPipelines(null, id(app), { source: 'parent_pipeline' }, { page: 1, perPage: 1000 });
  // Each that began stands for a pipeline: one of its own, or, reopened because a job below runs again, the one that was there already.
  const begun = made.filter(({ kind, to }) => kind === 'bridge' && to === 'running');
  const stands = await Promise.all(begun.map(async ({ job }) => (await server.store.jobs.job(null, job))?.downstreamId));
  expect([seed, new Set(stands)]).toEqual([seed, new Set(below.rows.map((pipeline) => pipeline.id))]);
  expect([seed, new Set(below.rows.map(({ upstream }) => upstream?.jobId)).size]).toEqual([seed, below.total]);
  for (const number of claims) {
    const job = await server.store.jobs.job(null, id<JobId>(number));
    const alive = (await server.store.passes.forJob(null, id<JobId>(number))).filter((pass) => pass.revokedAt === null);
    if (job !== undefined && hasEnded(job.status)) expect([seed, number, alive]).toEqual([seed, number, []]);
  }
  console.log(`${made.length} moves of jobs, ${claims.length} claims`);
}, 120_000);
