import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { Pool } from 'undici';
import { randomBase62 } from '../src/base/secret.ts';
import { quotaFor } from './quota.ts';
import { cpuSeconds, gateway, jobpass, nginx, proxyServer } from './servers.ts';

/**
 * What a request pays on its way through: `jobpass gateway` against nginx as a bare proxy, and against nginx with `auth_request`, which asks before each
 * request as we do. The same upstream, turn by turn; who is measured has one core for itself where there are two, client and upstream share the other.
 * A rate per second of CPU is what one core carries, whatever else the machine does.
 */
const rounds = 5;
const seconds = Number(process.env['BENCH_SECONDS'] ?? '3');
/** Of a core. */
const share = 0.2;
const bigMiB = Number(process.env['BENCH_BODY_MIB'] ?? '512');
const tools = ['/usr/sbin/nginx', '/usr/bin/wrk', '/usr/bin/curl', '/usr/bin/taskset'];
const [mine, others] = cpus().length > 1 ? ['0', '1'] : ['0', '0'];

interface Target {
  readonly name: string;
  readonly url: string;
  /** None = it is not measured itself. */
  readonly pids: readonly number[];
  readonly headers: Readonly<Record<string, string>>;
}

interface Sample {
  readonly rate: number;
  readonly perCpuSecond: number;
  readonly p50: number;
  readonly p99: number;
}

export async function run(): Promise<void> {
  const missing = tools.filter((path) => !existsSync(path));
  if (missing.length > 0) {
    console.log(`not run: install nginx-light, wrk, curl and util-linux (missing: ${missing.join(', ')})`);
    return;
  }
  const top = await mkdtemp(join(tmpdir(), 'jobpass-bench-gateway-'));
  const children: ChildProcess[] = [];
  try {
    await plainTraffic(top, children);
    await withPass(top, children);
  } finally {
    for (const child of children) {
      if (child.exitCode !== null || child.pid === undefined) continue;
      const gone = new Promise((resolve) => child.once('exit', resolve));
      process.kill(-child.pid, 'SIGTERM');
      await gone;
    }
    await rm(top, { recursive: true, force: true });
  }
}

/** Requests without a pass: carried, not judged. */
async function plainTraffic(top: string, children: ChildProcess[]): Promise<void> {
  const body = join(top, 'big');
  const file = await open(body, 'w');
  for (let at = 0; at < bigMiB; at += 1) await file.write(Buffer.alloc(1024 * 1024, at));
  await file.close();
  const sink = await startSink();
  const upstream = await nginx(top, children, 'upstream', others, (port) => [
    `server { listen 127.0.0.1:${port}; root ${top};`,
    `location = /small { return 200 '{"id":1,"name":"a small answer, as most are"}'; }`,
    `location = /big { } }`,
  ]);
  const down = `http://127.0.0.1:${upstream.port}`;
  const headers = { 'private-token': 'glpat-somebodys' };
  const proxy = await nginx(top, children, 'proxy', mine, (port) => proxyServer(port, upstream.port, ''));
  const auth = await nginx(top, children, 'auth', mine, (port) => proxyServer(port, upstream.port, '/small'));
  const bare: Target = { name: 'nginx proxy_pass', url: proxy.url, pids: proxy.pids(), headers };
  const asking: Target = { name: 'nginx auth_request', url: auth.url, pids: auth.pids(), headers };
  const first: Target = { ...(await gateway(top, children, down, mine, 'one')), name: 'first', headers };
  const second: Target = { ...(await gateway(top, children, down, others, 'two')), name: 'second', headers };
  const ours: Target = { ...first, name: 'jobpass gateway' };
  const direct: Target = { name: 'direct', url: down, pids: [], headers };

  console.log('small answers without a pass');
  // Compiled code is not there from the first request on.
  for (let turn = 0; turn < 2; turn += 1) for (const one of [first, second]) await wrk([one], '/small', 64);
  const results = await turns([direct, bare, asking, ours], (target, connections) => wrk([target], '/small', connections));
  table(results, direct, [
    [ours.name, bare.name],
    [ours.name, asking.name],
  ]);
  const two = await turns([bare, { ...ours, name: 'two gateways', pids: [...first.pids, ...second.pids] }], (target, connections) =>
    target === bare ? wrk([bare], '/small', connections) : wrk([first, second], '/small', connections),
  );
  const [oneNginx, twoOurs] = ['nginx proxy_pass', 'two gateways'].map((name) =>
    median((two.get(`${name} 64`) ?? []).map((one) => one.rate)),
  );
  console.log(
    `two gateways on two cores shared with client and upstream: ${figure(twoOurs)}/s, one nginx ${figure(oneNginx)}/s, ratio ${ratio(twoOurs, oneNginx)}`,
  );
  await underQuota(bare, [first, second]);

  console.log(`bodies of ${bigMiB} MiB, MB/s (and per second of CPU)`);
  const pairs = [direct, bare, ours];
  const moved = new Map<string, { rate: number; perCpuSecond: number }[]>();
  const upTo = { ...direct, url: sink.url };
  const upProxy = await nginx(top, children, 'up', mine, (port) => proxyServer(port, sink.port, ''));
  const upOurs = await gateway(top, children, sink.url, mine, 'up');
  const ups = [upTo, { ...bare, url: upProxy.url, pids: upProxy.pids() }, { ...ours, url: upOurs.url, pids: upOurs.pids }];
  for (let round = 0; round < rounds; round += 1) {
    for (const target of pairs) push(moved, `down ${target.name}`, await curl(target, ['--output', '/dev/null', `${target.url}/big`]));
    for (const target of ups)
      push(
        moved,
        `up ${target.name}`,
        await curl(target, ['--output', '/dev/null', '--upload-file', body, '--header', 'expect:', `${target.url}/up`]),
      );
  }
  for (const way of ['down', 'up']) {
    const of = (target: Target, what: 'rate' | 'perCpuSecond'): number =>
      median((moved.get(`${way} ${target.name}`) ?? []).map((one) => one[what]));
    const said = pairs.map((target) => `${target.name} ${of(target, 'rate').toFixed(0)} (${of(target, 'perCpuSecond').toFixed(0)})`);
    console.log(`${way.padEnd(5)} ${said.join(', ')}; ratio to nginx ${ratio(of(ours, 'rate'), of(bare, 'rate'))}`);
  }
  sink.close();
}

/**
 * Two gateways against one nginx, each with the same share of a core, so that client and upstream have what they need: what two cores of their own would carry.
 * Enough connections that none of them waits for work. That each has used up its share is printed beside.
 */
async function underQuota(bare: Target, pair: readonly [Target, Target]): Promise<void> {
  const sides: readonly (readonly Target[])[] = [[bare], pair];
  const quotas = sides.flat().map(({ name, pids }) => quotaFor(name.replaceAll(' ', '-'), pids, share));
  try {
    if (quotas.includes(undefined)) {
      console.log('two gateways, each with as much CPU as one nginx: not measured, as no control group can be bounded here');
      return;
    }
    // Off the core of client and upstream.
    for (const pid of pair.flatMap(({ pids }) => pids)) await output('taskset', ['--all-tasks', '--cpu-list', '--pid', mine, String(pid)]);
    const rates = new Map<readonly Target[], { readonly rate: number; readonly used: readonly number[] }[]>();
    for (let round = 0; round < rounds; round += 1)
      for (const side of round % 2 === 0 ? sides : sides.toReversed()) {
        const [before, began] = [side.map(({ pids }) => cpuSeconds(pids)), performance.now()];
        const { rate } = await wrk(side, '/small', 256);
        const spent = (performance.now() - began) / 1000;
        push(rates, side, { rate, used: side.map(({ pids }, index) => (cpuSeconds(pids) - (before[index] ?? 0)) / spent) });
      }
    const [nginxRate, ourRate] = sides.map((side) => median((rates.get(side) ?? []).map(({ rate }) => rate)));
    const used = sides.map((side) =>
      side.map((_, index) => median((rates.get(side) ?? []).map((one) => one.used[index] ?? 0)).toFixed(3)).join(' and '),
    );
    console.log(
      `two gateways with ${share} of a core each: ${figure(ourRate)}/s (used ${used[1]}), one nginx with as much ${figure(nginxRate)}/s (used ${used[0]}), ratio ${ratio(ourRate, nginxRate)}`,
    );
  } finally {
    for (const quota of quotas) quota?.close();
  }
}

/**
 * Requests with a pass, each judged, asked about and written to the audit trail; against an auth_request that asks the forge whose token it is.
 * As many as one pass may make at once.
 */
async function withPass(top: string, children: ChildProcess[]): Promise<void> {
  const root = `glpat-${randomBase62(20)}`;
  const forge = await jobpass(children, others, ['serve', '--data', join(top, 'forge'), '--listen', '127.0.0.1:0'], {
    JOBPASS_ROOT_TOKEN: root,
  });
  const made = await prepared(forge.url, root);
  const ours = await gateway(top, children, forge.url, mine, 'pass', root, ['--trust-runner', String(made.runner)]);
  const port = Number(new URL(forge.url).port);
  const auth = await nginx(top, children, 'forge-auth', mine, (listen) => proxyServer(listen, port, '/api/v4/user'));
  const direct: Target = { name: 'direct', url: forge.url, pids: [], headers: { 'private-token': made.token } };
  const asking: Target = { ...direct, name: 'nginx auth_request', url: auth.url, pids: auth.pids() };
  console.log('GET /api/v4/projects/:id of an embedded forge; with a pass through the gateway, with a personal token elsewhere');
  const results = new Map<string, Sample[]>();
  for (let round = 0; round <= rounds; round += 1) {
    const judged: Target = { ...ours, name: 'jobpass gateway', headers: { 'private-token': await made.take(ours.url) } };
    for (const target of [direct, asking, judged])
      for (const connections of [1, 16]) {
        const sample = await timed(target, `/api/v4/projects/${made.project}`, connections);
        // The first round warms up.
        if (round > 0) push(results, `${target.name} ${connections}`, sample);
      }
  }
  table(results, direct, [['jobpass gateway', 'nginx auth_request']], 16);
}

const requestsPerTurn = 450;

async function timed(target: Target, path: string, connections: number): Promise<Sample> {
  const pool = new Pool(target.url, { connections });
  const took: number[] = [];
  let left = requestsPerTurn;
  const [before, started] = [cpuSeconds(target.pids), performance.now()];
  await Promise.all(
    Array.from({ length: connections }, async () => {
      while (left > 0) {
        left -= 1;
        const at = performance.now();
        const { statusCode, body } = await pool.request({ method: 'GET', path, headers: target.headers });
        const text = await body.text();
        if (statusCode !== 200) throw new Error(`${target.name}: ${statusCode} ${text}`);
        took.push((performance.now() - at) * 1000);
      }
    }),
  );
  const spent = (performance.now() - started) / 1000;
  const cpu = cpuSeconds(target.pids) - before;
  await pool.close();
  const sorted = took.toSorted((a, b) => a - b);
  const at = (share: number): number => sorted[Math.floor(sorted.length * share)] ?? Number.NaN;
  return { rate: requestsPerTurn / spent, perCpuSecond: cpu === 0 ? Number.NaN : requestsPerTurn / cpu, p50: at(0.5), p99: at(0.99) };
}

async function turns(
  targets: readonly Target[],
  measure: (target: Target, connections: number) => Promise<Sample>,
): Promise<Map<string, Sample[]>> {
  const results = new Map<string, Sample[]>();
  for (let round = 0; round < rounds; round += 1)
    for (const target of round % 2 === 0 ? targets : targets.toReversed())
      for (const connections of [1, 64]) push(results, `${target.name} ${connections}`, await measure(target, connections));
  return results;
}

function push<K, T>(map: Map<K, T[]>, key: K, value: T): void {
  map.set(key, [...(map.get(key) ?? []), value]);
}

function table(results: Map<string, Sample[]>, direct: Target, compared: readonly (readonly [string, string])[], connections = 64): void {
  const of = (name: string, count: number, what: keyof Sample): number =>
    median((results.get(`${name} ${count}`) ?? []).map((sample) => sample[what]));
  for (const name of new Set([...results.keys()].map((key) => key.replace(/ \d+$/, '')))) {
    const added = (['p50', 'p99'] as const)
      .map((what) => `${what} +${(of(name, 1, what) - of(direct.name, 1, what)).toFixed(0)} µs`)
      .join(', ');
    const cpu = name === direct.name ? '' : `, ${figure(of(name, connections, 'perCpuSecond'))} per second of CPU; alone ${added}`;
    console.log(`  ${name.padEnd(20)} ${figure(of(name, connections, 'rate'))}/s of ${connections} connections${cpu}`);
  }
  for (const [one, other] of compared) {
    const [rate, core] = (['rate', 'perCpuSecond'] as const).map((what) => ratio(of(one, connections, what), of(other, connections, what)));
    console.log(`  ${one} to ${other}: ratio ${rate}, per core ${core}`);
  }
}

/** Both targets at the same time, where there are two. */
async function wrk(targets: readonly Target[], path: string, connections: number): Promise<Sample> {
  const pids = targets.flatMap((target) => target.pids);
  const before = cpuSeconds(pids);
  const each = Math.max(1, Math.floor(connections / targets.length));
  const outputs = await Promise.all(
    targets.map((target) => {
      const headers = Object.entries(target.headers).flatMap(([name, value]) => ['--header', `${name}: ${value}`]);
      const args = [
        '-c',
        others,
        'wrk',
        '-t1',
        `-c${each}`,
        `-d${seconds}s`,
        '--timeout',
        '20s',
        '--latency',
        ...headers,
        `${target.url}${path}`,
      ];
      return output('taskset', args);
    }),
  );
  const cpu = cpuSeconds(pids) - before;
  const found = (pattern: RegExp): number[] => outputs.map((text) => Number(pattern.exec(text)?.[1] ?? 'NaN'));
  if (outputs.some((text) => /Non-2xx|Socket errors/.test(text))) throw new Error(outputs.join('\n'));
  const requests = sum(found(/(\d+) requests in/));
  return {
    rate: sum(found(/Requests\/sec:\s+([\d.]+)/)),
    perCpuSecond: cpu === 0 ? Number.NaN : requests / cpu,
    p50: Math.max(...outputs.map((text) => microseconds(/\s50%\s+([\d.]+)(us|ms|s)/.exec(text)))),
    p99: Math.max(...outputs.map((text) => microseconds(/\s99%\s+([\d.]+)(us|ms|s)/.exec(text)))),
  };
}

function microseconds(match: RegExpExecArray | null): number {
  const [, value = 'NaN', unit = 'us'] = match ?? [];
  return Number(value) * (unit === 's' ? 1e6 : unit === 'ms' ? 1e3 : 1);
}

async function curl(target: Target, args: readonly string[]): Promise<{ rate: number; perCpuSecond: number }> {
  const before = cpuSeconds(target.pids);
  const text = await output('taskset', ['-c', others, 'curl', '--silent', '--write-out', '%{http_code} %{time_total}', ...args]);
  const [, code, took] = /(\d{3}) ([\d.]+)$/.exec(text) ?? [];
  if (code !== '200') throw new Error(`curl ${args.join(' ')}: ${text}`);
  const megabytes = (bigMiB * 1024 * 1024) / 1e6;
  const cpu = cpuSeconds(target.pids) - before;
  return { rate: megabytes / Number(took), perCpuSecond: cpu === 0 ? Number.NaN : megabytes / cpu };
}

/** Counts what comes and says that it is well. */
async function startSink(): Promise<{ readonly url: string; readonly port: number; close(): void }> {
  const server = createServer((request, response) => request.resume().on('end', () => response.end('ok')));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return {
    url: `http://127.0.0.1:${address.port}`,
    port: address.port,
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
}

/** A project with a developer and a runner; `take` makes a job and takes it through the gateway. */
async function prepared(url: string, root: string) {
  const call = async (base: string, method: string, path: string, token: string, body?: unknown): Promise<Record<string, unknown>> => {
    const answer = await fetch(`${base}${path}`, {
      method,
      headers: { 'private-token': token, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    return JSON.parse(text) as Record<string, unknown>;
  };
  const post = (path: string, body: unknown, token = root): Promise<Record<string, unknown>> => call(url, 'POST', path, token, body);
  const user = await post('/api/v4/users', { username: 'alice', name: 'alice', email: 'alice@example.com', force_random_password: true });
  const { token } = await post(`/api/v4/users/${String(user['id'])}/personal_access_tokens`, { name: 'bench', scopes: ['api'] });
  const group = await post('/api/v4/groups', { name: 'bench', path: 'bench', visibility: 'private' });
  const project = await post('/api/v4/projects', { name: 'app', path: 'app', namespace_id: group['id'], visibility: 'private' });
  const at = `/api/v4/projects/${String(project['id'])}`;
  await post(`${at}/members`, { user_id: user['id'], access_level: 40 });
  const content = 'job:\n  variables: {JOBPASS_EXPOSE: variable}\n  script: ["true"]\n';
  const file = { branch: 'main', content, commit_message: 'ci [skip ci]' };
  await post(`${at}/repository/files/${encodeURIComponent('.gitlab-ci.yml')}`, file, String(token));
  const runner = await post('/api/v4/user/runners', { runner_type: 'instance_type', run_untagged: true });
  await call(url, 'PUT', `/api/v4/runners/${String(runner['id'])}`, root, { trust: 'none' });
  return {
    token: String(token),
    project: Number(project['id']),
    runner: Number(runner['id']),
    async take(through: string): Promise<string> {
      await post(`${at}/pipeline`, { ref: 'main' }, String(token));
      const features = { variables: true, refspecs: true, masking: true, cancelable: true };
      const job = await call(through, 'POST', '/api/v4/jobs/request', '', { token: runner['token'], info: { features } });
      const extended = job['extended_job_token'];
      const given = typeof extended === 'object' && extended !== null && 'token' in extended ? extended.token : undefined;
      if (typeof given !== 'string') throw new Error(`no pass: ${JSON.stringify(extended)}`);
      return given;
    },
  };
}

function output(command: string, args: readonly string[]): Promise<string> {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', () => resolve(text));
  });
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, one) => total + one, 0);
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN;
}

function figure(value: number | undefined): string {
  return value === undefined || Number.isNaN(value) ? 'not measured' : value.toFixed(0);
}

function ratio(one: number | undefined, other: number | undefined): string {
  return one === undefined || other === undefined ? 'not measured' : (one / other).toFixed(2);
}
