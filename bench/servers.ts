import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const launcher = fileURLToPath(new URL('../bin/jobpass.js', import.meta.url));
const clockTicks = 100;

/** @param ask path of the subrequest that decides; '' = none does */
export function proxyServer(port: number, upstreamPort: number, ask: string): readonly string[] {
  const kept = 'proxy_http_version 1.1; proxy_set_header Connection "";';
  const auth = `location = /asked { internal; proxy_pass http://up${ask}; proxy_pass_request_body off; proxy_set_header Content-Length ""; ${kept} }`;
  return [
    `upstream up { server 127.0.0.1:${upstreamPort}; keepalive 512; keepalive_requests 1000000; }`,
    `server { listen 127.0.0.1:${port}; client_max_body_size 0; proxy_buffering off; proxy_request_buffering off;`,
    `location / { ${ask === '' ? '' : 'auth_request /asked;'} proxy_pass http://up; proxy_set_header Host $host;`,
    `proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto $scheme; ${kept} } ${ask === '' ? '' : auth} }`,
  ];
}

/** One nginx with one worker, on the given cores. */
export async function nginx(
  top: string,
  children: ChildProcess[],
  name: string,
  core: string,
  servers: (port: number) => readonly string[],
) {
  const port = await freePort();
  const dir = join(top, name);
  const conf = `${dir}.conf`;
  const temp = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((kind) => `${kind}_temp_path ${dir}-${kind};`).join(' ');
  await writeFile(
    conf,
    `daemon off; worker_processes 1; pid ${dir}.pid; error_log ${dir}.log; ${process.getuid?.() === 0 ? 'user root;' : ''}
events { worker_connections 1024; }
http { access_log /dev/null combined; sendfile on; keepalive_requests 1000000; ${temp}
${servers(port).join('\n')} }`,
  );
  const child = spawn('taskset', ['-c', core, '/usr/sbin/nginx', '-c', conf, '-p', top], { stdio: 'ignore', detached: true });
  children.push(child);
  await reachable(port);
  return { port, url: `http://127.0.0.1:${port}`, pids: () => [child.pid ?? 0, ...childrenOf(child.pid ?? 0)] };
}

/** `jobpass gateway` in front of `upstream`, on the given cores. @param name of its folder */
export async function gateway(
  top: string,
  children: ChildProcess[],
  upstream: string,
  core: string,
  name: string,
  adminToken = 'glpat-none',
  more: readonly string[] = [],
): Promise<{ readonly url: string; readonly pids: readonly number[] }> {
  const file = join(top, `${name}-admin`);
  await writeFile(file, adminToken, { mode: 0o600 });
  const data = join(top, `${name}-gateway`);
  const args = ['gateway', '--upstream', upstream, '--admin-token-file', file, '--data', data, '--listen', '127.0.0.1:0', ...more];
  return jobpass(children, core, args, {});
}

/** A jobpass server that listens, on the given cores. */
export async function jobpass(children: ChildProcess[], core: string, args: readonly string[], env: Readonly<Record<string, string>>) {
  const child = spawn('taskset', ['-c', core, process.execPath, launcher, ...args], {
    env: { ...process.env, ...env },
    // The log is written, as nginx writes its own; nobody reads it.
    stdio: ['ignore', 'pipe', 'ignore'],
    detached: true,
  });
  children.push(child);
  const url = await new Promise<string>((resolve, reject) => {
    let seen = '';
    child.stdout.on('data', (chunk: Buffer) => {
      seen += chunk.toString();
      const match = /listening on (http:\/\/[^\s,]+)/.exec(seen);
      if (match !== null) resolve(match[1] ?? '');
    });
    child.once('exit', () => reject(new Error(`${args[0]} ended: ${seen}`)));
  });
  return { url, pids: [child.pid ?? 0] };
}

function childrenOf(pid: number): readonly number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number);
}

/** User and system time. @see proc_pid_stat(5) */
export function cpuSeconds(pids: readonly number[]): number {
  const ticks = pids.map((pid) => {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
    return Number(fields[11]) + Number(fields[12]);
  });
  return ticks.reduce((total, one) => total + one, 0) / clockTicks;
}

function freePort(): Promise<number> {
  const server = createServer();
  return new Promise((resolve, reject) => {
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => (address === null || typeof address === 'string' ? reject(new Error('no port')) : resolve(address.port)));
    });
  });
}

async function reachable(port: number): Promise<void> {
  for (let tries = 0; tries < 200; tries += 1) {
    const answered = await fetch(`http://127.0.0.1:${port}/nothing`).then(
      () => true,
      () => false,
    );
    if (answered) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error(`nothing listens on port ${port}`);
}
