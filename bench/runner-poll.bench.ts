import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { Agent, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { randomBase62 } from '../src/base/secret.ts';
import { allFeatures } from '../test/conformance/gitlab-runner-client.ts';

/**
 * Idle runners held on one server process: what they cost, how fast a job reaches one of them, and how many jobs a second go out and come
 * back. The floor beside the hand-out is the same `POST /pipeline` without anybody waiting.
 */
const idleRunners = 5000;
const watchedSeconds = 20;
const handOuts = 60;
const busyRunners = 16;
const pipelines = 4;
const jobsEach = 250;
const launcher = fileURLToPath(new URL('../bin/jobpass.js', import.meta.url));
/** A clock tick of /proc on Linux. */
const ticksPerSecond = 100;

export async function run(): Promise<void> {
  const top = await mkdtemp(join(tmpdir(), 'jobpass-bench-'));
  const server = await startServer(top);
  try {
    const bench = await makeBench(server);
    await handedOut(bench);
    await idle(bench, server);
  } finally {
    await server.stop();
    await rm(top, { recursive: true, force: true });
  }
}

interface Server {
  readonly url: string;
  readonly root: string;
  readonly pid: number;
  stop(): Promise<void>;
}

interface Bench {
  call(
    method: string,
    path: string,
    body?: unknown,
    headers?: Record<string, string>,
  ): Promise<{ status: number; headers: NodeJS.Dict<string | string[]>; body: Record<string, unknown> }>;
  must(method: string, path: string, body?: unknown): Promise<Record<string, unknown>>;
  runner(tag: string): Promise<string>;
  readonly project: number;
}

async function startServer(top: string): Promise<Server> {
  const root = `glpat-${randomBase62(20)}`;
  const child: ChildProcess = spawn(process.execPath, [launcher, 'serve', '--data', join(top, 'data'), '--listen', '127.0.0.1:0'], {
    env: { ...process.env, JOBPASS_ROOT_TOKEN: root },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const url = await new Promise<string>((resolve, reject) => {
    let seen = '';
    child.stdout?.on('data', (chunk: Buffer) => {
      seen = (seen + chunk.toString()).slice(-10_000);
      const found = /listening on (http:\S+)/.exec(seen)?.[1];
      if (found !== undefined) resolve(found);
    });
    child.once('exit', () => reject(new Error('the server did not start')));
  });
  return {
    url,
    root,
    pid: child.pid ?? 0,
    async stop() {
      const gone = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await gone;
    },
  };
}

async function makeBench({ url, root }: Server): Promise<Bench> {
  const agent = new Agent({ keepAlive: true, maxSockets: idleRunners + 100 });
  const { hostname: host, port } = new URL(url);
  const call: Bench['call'] = (method, path, body, headers = {}) =>
    new Promise((resolve, reject) => {
      const text = body === undefined ? '' : JSON.stringify(body);
      const sent = request(
        {
          host,
          port,
          method,
          path,
          agent,
          headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text), ...headers },
        },
        (response) => {
          let seen = '';
          response.setEncoding('utf8').on('data', (part: string) => (seen += part));
          response.once('end', () => {
            const json: unknown = seen.startsWith('{') ? JSON.parse(seen) : {};
            resolve({ status: response.statusCode ?? 0, headers: response.headers, body: json as Record<string, unknown> });
          });
        },
      );
      sent.once('error', reject);
      sent.end(text);
    });
  const must: Bench['must'] = async (method, path, body = {}) => {
    const reply = await call(method, path, body, { 'private-token': root });
    if (reply.status >= 300) throw new Error(`${method} ${path}: ${reply.status} ${JSON.stringify(reply.body)}`);
    return reply.body;
  };
  const { id: group } = await must('POST', '/api/v4/groups', { name: 'bench', path: 'bench', visibility: 'private' });
  const { id: project } = await must('POST', '/api/v4/projects', { name: 'app', path: 'app', namespace_id: group, visibility: 'private' });
  const file = (tag: string, jobs: number): string =>
    Array.from({ length: jobs }, (_none, index) => `job${index}:\n  tags: [${tag}]\n  script: ["true"]\n`).join('');
  const commit = (branch: string, content: string, start?: string) =>
    must('POST', `/api/v4/projects/${String(project)}/repository/commits`, {
      branch,
      ...(start === undefined ? {} : { start_branch: start }),
      commit_message: 'bench [skip ci]',
      actions: [{ action: start === undefined ? 'create' : 'update', file_path: '.gitlab-ci.yml', content }],
    });
  await commit('main', file('busy', jobsEach));
  await commit('one', file('idle', 1), 'main');
  return {
    call,
    must,
    project: Number(project),
    async runner(tag) {
      const made = await must('POST', '/api/v4/user/runners', { runner_type: 'instance_type', tag_list: [tag] });
      return String(made['token']);
    },
  };
}

const info = {
  name: 'gitlab-runner',
  version: '19.4.0',
  platform: 'linux',
  architecture: 'amd64',
  executor: 'docker',
  features: allFeatures,
};

function ask(bench: Bench, token: string, lastUpdate?: string) {
  const body = { token, system_id: 's_0123456789ab', info, ...(lastUpdate === undefined ? {} : { last_update: lastUpdate }) };
  return bench.call('POST', '/api/v4/jobs/request', body);
}

function end(bench: Bench, job: Record<string, unknown>) {
  return bench.call('PUT', `/api/v4/jobs/${String(job['id'])}`, { token: job['token'], state: 'success' });
}

/** Jobs a second, from the request to the reported end. */
async function handedOut(bench: Bench): Promise<void> {
  const tokens = await Promise.all(Array.from({ length: busyRunners }, () => bench.runner('busy')));
  for (let made = 0; made < pipelines; made += 1) await bench.must('POST', `/api/v4/projects/${bench.project}/pipeline`, { ref: 'main' });
  const begun = performance.now();
  const counts = await Promise.all(
    tokens.map(async (token) => {
      let done = 0;
      for (let answer = await ask(bench, token); answer.status === 201; answer = await ask(bench, token)) {
        await end(bench, answer.body);
        done += 1;
      }
      return done;
    }),
  );
  const jobs = counts.reduce((sum, count) => sum + count, 0);
  const seconds = (performance.now() - begun) / 1000;
  console.log(
    `jobs handed out and ended, ${busyRunners} runners at once: ${(jobs / seconds).toFixed(0)}/s (${jobs} jobs; SQLite, two commits each)`,
  );
}

async function idle(bench: Bench, server: Server): Promise<void> {
  const alone: number[] = [];
  const handed: number[] = [];
  const once = () => bench.must('POST', `/api/v4/projects/${bench.project}/pipeline`, { ref: 'one' });
  for (let round = 0; round < handOuts; round += 1) {
    const begun = performance.now();
    await once();
    alone.push(performance.now() - begun);
  }
  const sweeper = await bench.runner('idle');
  for (let answer = await ask(bench, sweeper); answer.status === 201; answer = await ask(bench, sweeper)) await end(bench, answer.body);

  const before = memoryMiB(server.pid);
  const state = { stopped: false, held: 0 };
  const waiting: (() => void)[] = [];
  /** One runner: holds a request, and says when a job came. */
  const poll = async (token: string): Promise<void> => {
    let version: string | undefined;
    while (!state.stopped) {
      if (version !== undefined) state.held += 1;
      const answer = await ask(bench, token, version).catch(() => undefined);
      if (answer === undefined) return;
      if (version !== undefined) state.held -= 1;
      const now = answer.headers['x-gitlab-last-update'];
      if (typeof now === 'string') version = now;
      if (answer.status !== 201) continue;
      waiting.shift()?.();
      await end(bench, answer.body).catch(() => undefined);
    }
  };
  for (let made = 0; made < idleRunners; made += 50) {
    const tokens = await Promise.all(Array.from({ length: 50 }, () => bench.runner('idle')));
    for (const token of tokens) void poll(token);
  }
  while (state.held < idleRunners) await sleep(100);
  const [cpu, begun] = [cpuSeconds(server.pid), performance.now()];
  await sleep(watchedSeconds * 1000);
  const used = ((cpuSeconds(server.pid) - cpu) / ((performance.now() - begun) / 1000)) * 100;
  const memory = memoryMiB(server.pid);
  console.log(
    `${idleRunners} idle runners held: ${memory.toFixed(0)} MiB (${before.toFixed(0)} MiB before, ${(((memory - before) * 1024) / idleRunners).toFixed(1)} KiB each), ${used.toFixed(1)} % of one CPU`,
  );
  for (let round = 0; round < handOuts; round += 1) {
    const sent = performance.now();
    const got = new Promise<void>((resolve) => waiting.push(resolve));
    await once();
    await got;
    handed.push(performance.now() - sent);
  }
  state.stopped = true;
  const [floor, with_] = [quantiles(alone), quantiles(handed)];
  console.log(
    `POST /pipeline to the job in a runner's hands, among ${idleRunners}: p50 ${with_.p50.toFixed(1)} ms, p99 ${with_.p99.toFixed(1)} ms; ` +
      `POST /pipeline by itself: p50 ${floor.p50.toFixed(1)} ms, p99 ${floor.p99.toFixed(1)} ms; ratio ${(with_.p50 / floor.p50).toFixed(2)}`,
  );
}

function quantiles(values: readonly number[]) {
  const sorted = values.toSorted((one, other) => one - other);
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
  return { p50: at(0.5), p99: at(0.99) };
}

function memoryMiB(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024;
}

/** User and system time so far. */
function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) / ticksPerSecond;
}
