import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { digestOf, randomBase62 } from '../src/base/secret.ts';

/**
 * Small clones a second, one after the other and 8 in parallel: jobpass (authorised and audited each time) against Debian's
 * nginx + fcgiwrap + git-http-backend without any check, on the same repository, turn by turn.
 */
const clonesPerRound = 80;
const rounds = 3;
const launcher = fileURLToPath(new URL('../bin/jobpass.js', import.meta.url));
const backend = '/usr/lib/git-core/git-http-backend';

export async function run(): Promise<void> {
  const missing = ['/usr/sbin/nginx', '/usr/sbin/fcgiwrap', backend].filter((path) => !existsSync(path));
  if (missing.length > 0) {
    console.log(`not run: install nginx-light, fcgiwrap and git (missing: ${missing.join(', ')})`);
    return;
  }
  const top = await mkdtemp(join(tmpdir(), 'jobpass-bench-'));
  await chmod(top, 0o755);
  const children: ChildProcess[] = [];
  try {
    const ours = await startOurs(top, children);
    const peer = await startPeer(top, children);
    await pushSample(top, ours);
    const results = new Map<string, number[]>();
    for (let round = 0; round < rounds; round += 1) {
      for (const parallel of [1, 8]) {
        for (const [name, target] of [
          ['jobpass', ours],
          ['nginx', peer],
        ] as const) {
          const rate = await cloneMany(join(top, 'clones'), target, parallel);
          const key = `${name} ${parallel}`;
          results.set(key, [...(results.get(key) ?? []), rate]);
        }
      }
    }
    for (const parallel of [1, 8]) {
      const us = median(results.get(`jobpass ${parallel}`) ?? []);
      const them = median(results.get(`nginx ${parallel}`) ?? []);
      console.log(
        `${parallel} at a time: jobpass ${us.toFixed(1)} clones/s, nginx + git-http-backend ${them.toFixed(1)} clones/s, ratio ${(us / them).toFixed(2)}`,
      );
    }
  } finally {
    for (const child of children) {
      if (child.exitCode !== null || child.pid === undefined) continue;
      const gone = new Promise((resolve) => child.once('exit', resolve));
      // The whole group: fcgiwrap's workers do not end with it.
      process.kill(-child.pid, 'SIGTERM');
      await gone;
    }
    await rm(top, { recursive: true, force: true });
  }
}

interface Target {
  readonly url: string;
  readonly env: NodeJS.ProcessEnv;
}

async function startOurs(top: string, children: ChildProcess[]): Promise<Target> {
  const token = `glpat-${randomBase62(20)}`;
  const child = spawn(process.execPath, [launcher, 'serve', '--data', join(top, 'data'), '--listen', '127.0.0.1:0'], {
    env: { ...process.env, JOBPASS_ROOT_TOKEN: token },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  children.push(child);
  const base = await new Promise<string>((resolve, reject) => {
    let seen = '';
    const look = (chunk: Buffer): void => {
      seen += chunk.toString();
      const match = /listening on (http:\S+)/.exec(seen);
      if (match === null) return;
      resolve(match[1] ?? '');
      // The log goes on for as long as the server: read it, and do nothing with it.
      for (const stream of [child.stdout, child.stderr]) stream?.off('data', look).resume();
    };
    child.stdout?.on('data', look);
    child.stderr?.on('data', look);
    child.once('exit', () => reject(new Error(`the server ended: ${seen}`)));
  });
  const post = async (path: string, body: unknown): Promise<{ id: number }> => {
    const answer = await fetch(`${base}${path}`, {
      method: 'POST',
      headers: { 'private-token': token, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    return (await answer.json()) as { id: number };
  };
  const group = await post('/api/v4/groups', { name: 'bench', path: 'bench', visibility: 'private' });
  await post('/api/v4/projects', { name: 'small', path: 'small', namespace_id: group.id, visibility: 'private' });
  return { url: `${base}/bench/small.git`, env: { BENCH_TOKEN: token } };
}

async function startPeer(top: string, children: ChildProcess[]): Promise<Target> {
  const repos = join(top, 'peer');
  await mkdir(repos);
  git(['init', '--quiet', '--bare', join(repos, 'small.git')]);
  const socket = join(top, 'fcgi.sock');
  const port = await freePort();
  const fcgi = spawn('/usr/sbin/fcgiwrap', ['-c', '4', '-s', `unix:${socket}`], { stdio: 'ignore', detached: true });
  children.push(fcgi);
  const conf = join(top, 'nginx.conf');
  await writeFile(
    conf,
    `daemon off; worker_processes 1; pid ${top}/nginx.pid; error_log ${top}/error.log; ${process.getuid?.() === 0 ? 'user root;' : ''}
events { worker_connections 256; }
http { access_log off; client_max_body_size 0; client_body_temp_path ${top}/b; fastcgi_temp_path ${top}/f; proxy_temp_path ${top}/p; uwsgi_temp_path ${top}/u; scgi_temp_path ${top}/s;
server { listen 127.0.0.1:${port}; location / { fastcgi_pass unix:${socket}; fastcgi_param SCRIPT_FILENAME ${backend}; fastcgi_param GIT_HTTP_EXPORT_ALL 1;
fastcgi_param GIT_PROJECT_ROOT ${repos}; fastcgi_param PATH_INFO $uri; fastcgi_param QUERY_STRING $query_string; fastcgi_param REQUEST_METHOD $request_method;
fastcgi_param CONTENT_TYPE $content_type; fastcgi_param CONTENT_LENGTH $content_length; fastcgi_param GIT_PROTOCOL $http_git_protocol; fastcgi_param REMOTE_ADDR $remote_addr; } } }`,
  );
  children.push(spawn('/usr/sbin/nginx', ['-c', conf, '-p', top], { stdio: 'ignore', detached: true }));
  for (let tries = 0; tries < 200 && !(await reachable(port)); tries += 1) await new Promise((resolve) => setTimeout(resolve, 25));
  return { url: `http://127.0.0.1:${port}/small.git`, env: {} };
}

/** The same commits in both: five small ones. */
async function pushSample(top: string, ours: Target): Promise<void> {
  const work = join(top, 'work');
  git(['init', '--quiet', '-b', 'main', work]);
  for (let index = 0; index < 5; index += 1) {
    await writeFile(join(work, `file-${index}.txt`), `${digestOf(String(index))}\n`.repeat(20));
    git(['-C', work, 'add', '--all']);
    git(['-C', work, '-c', 'user.name=bench', '-c', 'user.email=bench@example.com', 'commit', '--quiet', '-m', `commit ${index}`]);
  }
  git(['-C', work, 'push', '--quiet', join(top, 'peer', 'small.git'), 'main']);
  git(['-C', work, ...helper, 'push', '--quiet', ours.url, 'main'], ours.env);
}

const helper = [
  '-c',
  'credential.helper=',
  '-c',
  'credential.helper=!f() { test "$1" = get && printf "username=bench\\npassword=%s\\n" "$BENCH_TOKEN"; }; f',
];

function git(args: readonly string[], env: NodeJS.ProcessEnv = {}): void {
  const run = spawnSync('git', args, {
    env: {
      PATH: process.env['PATH'],
      HOME: tmpdir(),
      GIT_CONFIG_NOSYSTEM: '1',
      GIT_CONFIG_GLOBAL: '/dev/null',
      GIT_TERMINAL_PROMPT: '0',
      ...env,
    },
    encoding: 'utf8',
  });
  if (run.status !== 0) throw new Error(`git ${args.join(' ')}: ${run.stderr}`);
}

async function cloneMany(folder: string, target: Target, parallel: number): Promise<number> {
  await mkdir(folder, { recursive: true });
  const env = {
    PATH: process.env['PATH'],
    HOME: tmpdir(),
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_TERMINAL_PROMPT: '0',
    ...target.env,
  };
  let next = 0;
  const started = performance.now();
  const worker = async (): Promise<void> => {
    while (next < clonesPerRound) {
      const into = join(folder, String(next));
      next += 1;
      const child = spawn('git', [...helper, 'clone', '--quiet', target.url, into], { env, stdio: 'ignore' });
      const code = await new Promise((resolve) => child.once('exit', resolve));
      if (code !== 0) throw new Error(`clone of ${target.url} failed`);
    }
  };
  await Promise.all(Array.from({ length: parallel }, worker));
  const seconds = (performance.now() - started) / 1000;
  await rm(folder, { recursive: true, force: true });
  return clonesPerRound / seconds;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

async function reachable(port: number): Promise<boolean> {
  try {
    await fetch(`http://127.0.0.1:${port}/`);
    return true;
  } catch {
    return false;
  }
}

function median(values: readonly number[]): number {
  return values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)] ?? 0;
}
