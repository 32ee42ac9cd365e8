import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { id, millis, type PipelineId } from '../../src/base/ids.ts';
import { silentLog } from '../../src/base/log.ts';
import { randomBase62 } from '../../src/base/secret.ts';
import { Reaper } from '../../src/jobs/reaper.ts';
import { Wakeup } from '../../src/jobs/wakeup.ts';
import { LiveGrants } from '../../src/pass/live.ts';
import { makeRevoker } from '../../src/pass/revoke.ts';
import { fileBlobs } from '../../src/store/blobs/files.ts';
import { openStore } from '../../src/store/open.ts';
import { GitlabRunner, RunnerJob } from '../conformance/gitlab-runner-client.ts';

const launcher = fileURLToPath(new URL('../../bin/jobpass.js', import.meta.url));
const root = `glpat-${randomBase62(20)}`;
const jobCount = 40;
const kills = 6;
let data: string;

/** A server of its own process, which is killed in the middle of anything and started again. */
class MortalServer {
  url = '';
  #child: ChildProcess | undefined;
  #up: Promise<void> = Promise.resolve();
  #restarting = false;

  start(): Promise<void> {
    this.#up = this.#start();
    return this.#up;
  }

  async #start(): Promise<void> {
    const child = spawn(process.execPath, [launcher, 'serve', '--data', join(data, 'd'), '--listen', '127.0.0.1:0'], {
      env: { PATH: process.env['PATH'] ?? '', HOME: data, JOBPASS_ROOT_TOKEN: root },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child = child;
    let said = '';
    child.stderr.on('data', (chunk) => {
      said = `${said}${String(chunk)}`.slice(-2000);
    });
    this.url = await new Promise((resolve, reject) => {
      child.once('close', () => reject(new Error(`the server ended: ${said}`)));
      child.stdout.on('data', (chunk) => {
        said += String(chunk);
        const at = /listening on (http:\S+)/.exec(said)?.[1];
        if (at !== undefined) resolve(at);
      });
    });
  }

  async kill(): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const closed = once(child, 'close');
    child.kill('SIGKILL');
    await closed;
  }

  /** Killed now, and back as soon as it can. One that is not back yet is left to it: whoever waits for it would wait for a dead one. */
  restart(): void {
    if (this.#restarting) return;
    this.#restarting = true;
    this.#up = this.kill()
      .then(() => this.#start())
      .finally(() => {
        this.#restarting = false;
      });
  }

  /** @returns where it is, once it is up */
  async at(): Promise<string> {
    await this.#up;
    return this.url;
  }
}

const server = new MortalServer();
beforeAll(async () => {
  data = await mkdtemp(join(tmpdir(), 'jobpass-kill-'));
  await server.start();
});
afterAll(async () => {
  await server.kill();
  await rm(data, { recursive: true, force: true });
});

async function must(method: string, path: string, body: unknown): Promise<Record<string, unknown>> {
  const reply = await fetch(`${server.url}/api/v4${path}`, {
    method,
    headers: { 'private-token': root, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  if (!reply.ok) throw new Error(`${method} ${path}: ${reply.status} ${await reply.text()}`);
  return (await reply.json()) as Record<string, unknown>;
}

test('R2 A46 the server is killed at random points: no job is lost, none runs twice, no pass outlives its job, no bridge triggers twice, no resource stays taken', async () => {
  const seed = Date.now();
  const [afterRequests = []] = fc.sample(fc.array(fc.integer({ min: 3, max: 30 }), { minLength: kills, maxLength: kills }), {
    seed,
    numRuns: 1,
  });
  const { id: group } = await must('POST', '/groups', { name: 'g', path: 'g' });
  const { id: project } = await must('POST', '/projects', { name: 'p', path: 'p', namespace_id: group });
  // Every fifth shares a resource with the others of its kind; one triggers a child pipeline.
  const job = (name: string, index: number): string =>
    `${name}${index}: {script: ["true"]${index % 5 === 0 ? ', resource_group: one' : ''}}\n`;
  const content = Array.from({ length: jobCount }, (_none, index) => job('job', index)).join('');
  const actions = [
    { action: 'create', file_path: '.gitlab-ci.yml', content: `${content}hop: {trigger: {include: child.yml, strategy: depend}}\n` },
    { action: 'create', file_path: 'child.yml', content: [0, 1, 2].map((index) => job('leaf', index)).join('') },
  ];
  await must('POST', `/projects/${String(project)}/repository/commits`, { branch: 'main', commit_message: 'ci', actions });
  const runners = await Promise.all(
    Array.from({ length: 4 }, () => must('POST', '/user/runners', { runner_type: 'instance_type', run_untagged: true })),
  );

  const left = [...afterRequests];
  let until = left.shift() ?? 0;
  /** Counts requests; the one that is due goes out, and the server dies while it works on it. */
  const counted = async <Result>(client: GitlabRunner, send: () => Promise<Result>): Promise<Result | 'cut'> => {
    client.url = await server.at();
    const sent = send().catch((): 'cut' => 'cut');
    until -= 1;
    if (until === 0) {
      for (let turns = (seed + left.length) % 7; turns > 0; turns -= 1) await new Promise((resolve) => setImmediate(resolve));
      server.restart();
      until = left.shift() ?? 0;
    }
    return sent;
  };
  const begun = new Map<number, number>();
  const asRoot = async (path: string): Promise<unknown> => {
    const reply = await fetch(`${await server.at()}/api/v4/projects/${String(project)}/${path}`, { headers: { 'private-token': root } });
    return reply.json();
  };
  /** Whether nothing is left to take: what waits for a resource then waits for a job that no runner heard of. */
  const over = async (): Promise<boolean> => {
    const waiting = (await asRoot('jobs?scope[]=pending&scope[]=created')) as readonly unknown[];
    const bridges = (await asRoot('pipelines/1/bridges')) as readonly { downstream_pipeline: unknown }[];
    if (waiting.length > 0 || bridges.some((bridge) => bridge.downstream_pipeline === null)) return false;
    const queue = (await asRoot('resource_groups/one/upcoming_jobs')) as readonly unknown[];
    const holder = (await asRoot('resource_groups/one/current_job')) as { id: number } | null;
    return queue.length === 0 || (holder !== null && !begun.has(holder.id));
  };
  const work = async (token: string): Promise<void> => {
    const client = new GitlabRunner(server.url, token);
    for (;;) {
      client.lastUpdate = undefined;
      const answer = await counted(client, () => client.requestJob());
      if (answer === 'cut' || (answer.status !== 201 && until > 0)) continue;
      if (answer.status !== 201 && !(await over().catch(() => false))) continue;
      if (answer.status !== 201) return;
      const job = new RunnerJob(client, answer.json as never);
      const running = await counted(client, () => job.update({ state: 'running' }));
      // Only a clear no stops a runner (runner-protocol §2).
      if (running !== 'cut' && [403, 404].includes(running.status)) continue;
      begun.set(job.id, (begun.get(job.id) ?? 0) + 1);
      job.write(`log of ${job.id}\n`);
      for (let told = 0; told !== 200 && told !== 403;) {
        await counted(client, () => job.patch(job.log, 0));
        const end = await counted(client, () => job.update({ state: 'success' }));
        told = end === 'cut' ? 0 : end.status;
      }
    }
  };
  await Promise.all(runners.map((runner) => work(String(runner['token']))));
  await server.at();
  await server.kill();

  const store = await openStore(`sqlite:${join(data, 'd', 'jobpass.db')}`);
  try {
    const times = { now: millis(Date.now()) };
    const clock = { now: () => times.now, monotonic: () => times.now };
    const revoker = makeRevoker({ ...store, live: new LiveGrants(() => Promise.resolve(true)), clock });
    const reaper = new Reaper({
      ...store,
      clock,
      revoker,
      log: silentLog,
      wakeup: new Wakeup('test'),
      blobs: fileBlobs(join(data, 'd', 'blobs')),
    });
    times.now = millis(times.now + 11 * 60_000);
    await reaper.sweep();
    const below = await store.jobs.listPipelines(null, id(Number(project)), { source: 'parent_pipeline' }, { page: 1, perPage: 10 });
    expect([seed, below.total]).toEqual([seed, 1]);
    const all = [
      ...(await store.jobs.jobsOfPipeline(null, id<PipelineId>(1))),
      ...(await store.jobs.jobsOfPipeline(null, id<PipelineId>(2))),
    ];
    const jobs = all.filter(({ kind }) => kind === 'build');
    expect(jobs).toHaveLength(jobCount + 3);
    expect((await store.resourceGroups.byKey(null, id(Number(project)), 'one'))?.holderId).toBeNull();
    const lost = jobs.some((one) => one.resourceGroup !== null && one.failureReason === 'stuck_or_timeout_failure');
    const wrong = jobs.filter(({ id: number, status, failureReason }) =>
      begun.has(number)
        ? status !== 'success' || begun.get(number) !== 1
        : !(status === 'failed' && failureReason === 'stuck_or_timeout_failure') && !(status === 'waiting_for_resource' && lost),
    );
    expect([seed, wrong.map(({ id: job, status }) => [job, status, begun.get(job)])]).toEqual([seed, []]);
    // What was given to a runner that never heard of it is all that may be missing.
    expect(begun.size).toBeGreaterThanOrEqual(jobCount - kills * runners.length - jobCount / 5);
    for (const job of jobs)
      for (const pass of await store.passes.forJob(null, job.id)) expect([seed, job.id, pass.revokedAt]).not.toContain(null);
  } finally {
    await store.close();
  }
}, 120_000);
