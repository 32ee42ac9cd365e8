import { execFileSync, spawn } from 'node:child_process';
import { createPublicKey, verify } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import { crc32, createGunzip } from 'node:zlib';
import { jsonLog, type Log } from '../../../src/base/log.ts';
import { contentDigest, parseSignatureHeader, parseSignatureInput, signatureBase } from '../../../src/wire/request-signature.ts';

/** What a job's reports left at the server. */
export interface JobReport {
  readonly states: string[];
  trace: Buffer;
  final: Record<string, unknown> | undefined;
  artifacts: Buffer | undefined;
  artifactsQuery: string;
  /** Answered as Job-Status from now on. */
  status: string;
}

const patienceMs = 50_000;

/** A server as the runner sees one: the Runner API and git over HTTP, with everything it heard written down. */
export class FakeForge {
  readonly events = new EventEmitter();
  readonly reports = new Map<number, JobReport>();
  readonly revoked: string[] = [];
  /** Every git request: path, and the password it came with. */
  readonly gitSeen: { path: string; password: string | undefined }[] = [];
  readonly requests: { path: string; signed: boolean; body: Record<string, unknown> }[] = [];
  /** Passwords that may read repositories. */
  readonly readers = new Set<string>();
  readonly downloads = new Map<number, Buffer>();
  /** Answers the next final updates with these statuses before it takes one. */
  readonly finalAnswers: number[] = [];
  /** Called before a request is answered; true = it has answered itself. */
  intercept: (request: IncomingMessage, response: ServerResponse) => boolean = () => false;
  url = '';
  readonly #root: string;
  /** When a job said something new; that it still runs is nothing new. */
  #polls = 0;
  /** What runners say, for whoever waits in vain. */
  readonly log: Log = jsonLog((line) => void this.#lines.push(line));
  readonly #lines: string[] = [];
  #movedAt = 0;
  readonly #queue: unknown[] = [];
  readonly #server = createServer((request, response) => {
    this.#answer(request, response).catch(() => response.destroy());
  });

  constructor(root: string) {
    this.#root = root;
  }

  async start(host = '127.0.0.1'): Promise<this> {
    this.#server.listen(0, host);
    await once(this.#server, 'listening');
    this.url = `http://${host}:${(this.#server.address() as AddressInfo).port}`;
    return this;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  /** Makes a repository with one commit. @param links submodules: path → [url, sha] @returns the commit */
  repository(path: string, files: Record<string, string>, links: Record<string, readonly [string, string]> = {}): string {
    const bare = join(this.#root, 'git', `${path}.git`);
    const work = join(this.#root, 'work', path);
    mkdirSync(bare, { recursive: true });
    mkdirSync(work, { recursive: true });
    const git = (cwd: string, ...args: string[]): string => execFileSync('git', args, { cwd, env: quiet, encoding: 'utf8' }).trim();
    git(bare, 'init', '-q', '--bare', '-b', 'main');
    git(bare, 'config', 'uploadpack.allowAnySHA1InWant', 'true');
    git(work, 'init', '-q', '-b', 'main');
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(dirname(join(work, name)), { recursive: true });
      writeFileSync(join(work, name), text);
    }
    const modules = Object.entries(links).map(([at, [url]]) => `[submodule "${at}"]\n\tpath = ${at}\n\turl = ${url}\n`);
    if (modules.length > 0) writeFileSync(join(work, '.gitmodules'), modules.join(''));
    git(work, 'add', '-A');
    for (const [at, [, sha]] of Object.entries(links)) git(work, 'update-index', '--add', '--cacheinfo', `160000,${sha},${at}`);
    git(work, 'commit', '-q', '-m', `state of ${path}`);
    git(work, 'push', '-q', bare, 'HEAD:refs/heads/main');
    return git(work, 'rev-parse', 'HEAD');
  }

  give(payload: { readonly id: number }): void {
    this.#queue.push(payload);
    this.events.emit('queued');
  }

  /** Resolves with the report once the job's final state was taken. @throws with what was heard of it instead */
  async ended(id: number): Promise<JobReport> {
    await this.when(() => this.reports.get(id)?.final !== undefined);
    return this.report(id);
  }

  /** Resolves once nobody asks for jobs: else who was stopped a moment ago takes one along. */
  async quiet(): Promise<void> {
    while (this.#polls > 0) await once(this.events, 'left');
  }

  /** Resolves once `test` holds after some report. @throws with what jobs have said, before a test runs out of time and says nothing */
  async when(test: () => boolean): Promise<void> {
    this.#movedAt = performance.now();
    const look = (): void => {
      const silentMs = performance.now() - this.#movedAt;
      if (silentMs < patienceMs) timer = setTimeout(look, patienceMs - silentMs);
      else this.events.emit('error', new Error(`nothing new has come in ${patienceMs / 1000} s; ${this.#heard()}`));
    };
    let timer = setTimeout(look, patienceMs);
    try {
      while (!test()) await once(this.events, 'report');
    } finally {
      clearTimeout(timer);
    }
  }

  #heard(): string {
    const open = [...this.reports].filter(([, { final }]) => final === undefined);
    const said = open.map(([id, { states, trace }]) => `job ${id} said ${states.join(' ')}:\n${trace.toString().slice(-4000)}`);
    return [`${this.#queue.length} jobs are not asked for, these have not ended:`, ...said, ...this.#lines.slice(-20)].join('\n');
  }

  report(id: number): JobReport {
    const known = this.reports.get(id);
    if (known !== undefined) return known;
    const fresh: JobReport = {
      states: [],
      trace: Buffer.alloc(0),
      final: undefined,
      artifacts: undefined,
      artifactsQuery: '',
      status: 'running',
    };
    this.reports.set(id, fresh);
    return fresh;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (this.intercept(request, response)) return;
    const url = new URL(request.url ?? '', this.url);
    if (/\.git\//.test(url.pathname)) return this.#git(url, request, response);
    const raw = await body(request);
    const job = /^\/api\/v4\/jobs\/(\d+)(\/trace|\/artifacts)?$/.exec(url.pathname);
    if (job !== null) return this.#job(Number(job[1]), job[2] ?? '', url, request, response, raw);
    if (url.pathname === '/-/jobpass/oauth/revoke') {
      this.revoked.push(new URLSearchParams(raw.toString()).get('token') ?? '');
      return json(response, 200, {});
    }
    const parsed = raw.length === 0 ? {} : (JSON.parse(raw.toString()) as Record<string, unknown>);
    this.requests.push({ path: url.pathname, signed: signed(request, url.pathname, raw), body: parsed });
    if (url.pathname === '/api/v4/runners/verify')
      return json(response, String(parsed['token']).startsWith('glrt-good') ? 200 : 403, { id: 7, token: parsed['token'] });
    if (url.pathname === '/api/v4/runners') return void response.writeHead(204).end();
    if (url.pathname === '/api/v4/jobs/request') return this.#next(response, parsed);
    json(response, 404, {});
  }

  async #next(response: ServerResponse, asked: Record<string, unknown>): Promise<void> {
    this.#polls += 1;
    response.once('close', () => {
      this.#polls -= 1;
      this.events.emit('left');
    });
    this.events.emit('polled');
    response.setHeader('x-gitlab-last-update', 'v1');
    if (this.#queue.length === 0 && asked['last_update'] !== undefined)
      await Promise.race([once(this.events, 'queued'), once(response, 'close')]);
    // Of a runner that has just been stopped or has read its file anew, the end is read in the next turns: it would take the job along.
    for (let turn = 0; turn < 3; turn += 1) await setImmediate();
    if (response.destroyed) return;
    const payload = this.#queue.shift();
    if (payload === undefined) return void response.writeHead(204).end();
    json(response, 201, payload);
    this.#lines.push(`handed out: ${JSON.stringify(payload).slice(0, 20)}`);
    response.once('close', () => this.#lines.push(`answered ${response.writableFinished ? 'whole' : 'in part'}`));
  }

  #job(id: number, part: string, url: URL, request: IncomingMessage, response: ServerResponse, raw: Buffer): void {
    const report = this.report(id);
    response.setHeader('job-status', report.status);
    response.setHeader('x-gitlab-trace-update-interval', '0.01');
    if (part !== '') this.#movedAt = performance.now();
    if (part === '/trace') {
      const [start = 0] = String(request.headers['content-range']).split('-').map(Number);
      if (start !== report.trace.length) {
        response.setHeader('range', `0-${report.trace.length}`);
        json(response, 416, {});
      } else {
        report.trace = Buffer.concat([report.trace, raw]);
        json(response, 202, {});
      }
    } else if (part === '/artifacts' && request.method === 'POST') {
      report.artifacts = raw;
      report.artifactsQuery = url.search;
      json(response, 201, {});
    } else if (part === '/artifacts') {
      const found = this.downloads.get(id);
      if (found === undefined) json(response, 404, {});
      else response.writeHead(200, { 'content-type': 'application/octet-stream' }).end(found);
    } else this.#update(report, JSON.parse(raw.toString()) as Record<string, unknown>, response);
    this.events.emit('report');
  }

  #update(report: JobReport, update: Record<string, unknown>, response: ServerResponse): void {
    const state = String(update['state']);
    report.states.push(state);
    if (state === 'running') return json(response, 200, {});
    const next = this.finalAnswers.shift();
    if (next === 412) report.trace = Buffer.alloc(0);
    if (next !== undefined) return json(response, next, {});
    const sum = `crc32:${crc32(report.trace).toString(16).padStart(8, '0')}`;
    if (update['checksum'] !== undefined && update['checksum'] !== sum) return json(response, 400, { message: 'the checksum is wrong' });
    report.final = update;
    json(response, 200, {});
  }

  #git(url: URL, request: IncomingMessage, response: ServerResponse): void {
    const given = /^Basic (.+)$/.exec(request.headers.authorization ?? '')?.[1];
    const password = given === undefined ? undefined : Buffer.from(given, 'base64').toString().split(':')[1];
    this.gitSeen.push({ path: url.pathname, password });
    if (password === undefined || !this.readers.has(password)) {
      response.writeHead(401, { 'www-authenticate': 'Basic realm="forge"' }).end();
      return;
    }
    const advertise = url.pathname.endsWith('/info/refs');
    const repository = join(this.#root, 'git', url.pathname.replace(/\.git\/.*$/, '.git'));
    const args = ['upload-pack', '--stateless-rpc', ...(advertise ? ['--advertise-refs'] : []), repository];
    const child = spawn('git', args, { env: { ...quiet, GIT_PROTOCOL: String(request.headers['git-protocol'] ?? '') } });
    response.setHeader('content-type', `application/x-git-upload-pack-${advertise ? 'advertisement' : 'result'}`);
    if (advertise) response.write('001e# service=git-upload-pack\n0000');
    pipeline(child.stdout, response, () => undefined);
    const input = request.headers['content-encoding'] === 'gzip' ? request.pipe(createGunzip()) : request;
    pipeline(input, child.stdin, () => undefined);
  }
}

const quiet = {
  PATH: process.env['PATH'] ?? '',
  HOME: '/nonexistent',
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_AUTHOR_NAME: 'Ada',
  GIT_AUTHOR_EMAIL: 'ada@example.org',
  GIT_COMMITTER_NAME: 'Ada',
  GIT_COMMITTER_EMAIL: 'ada@example.org',
};

function signed(request: IncomingMessage, path: string, raw: Buffer): boolean {
  const parameters = parseSignatureInput(String(request.headers['signature-input']));
  const signature = parseSignatureHeader(String(request.headers['signature']));
  const digest = contentDigest(raw);
  if (parameters === undefined || signature === undefined || request.headers['content-digest'] !== digest) return false;
  const base = signatureBase(
    { method: request.method ?? '', path, authority: request.headers.host ?? '', contentDigest: digest },
    parameters,
  );
  const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: parameters.keyid }, format: 'jwk' });
  return verify(null, Buffer.from(base), key, signature);
}

async function body(request: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return Buffer.concat(parts);
}

function json(response: ServerResponse, status: number, value: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));
}
