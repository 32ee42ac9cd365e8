import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type AddressInfo } from 'node:net';
import { pipeline, type Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import type { DecideRefs } from '../../src/base/refs.ts';
import type { GitForge, GitService, PushOutcome } from '../../src/forge/forge.ts';
import type { Grant } from '../../src/pass/grant.ts';
import { allowAll, grantFor, project } from './embedded-git.ts';

/** The least that git needs of an HTTP server. What it grants and decides can be changed between requests. */
export interface GitHttp {
  readonly url: string;
  grant: () => Grant;
  decide: DecideRefs;
  /** Of each push that came through. */
  readonly outcomes: PushOutcome[];
  close(): Promise<void>;
}

export async function serveGit(git: GitForge): Promise<GitHttp> {
  const server = createServer((request, response) => {
    answer(request, response).catch(() => response.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const door: GitHttp = {
    url: `http://127.0.0.1:${port}/project.git`,
    grant: () => grantFor(),
    decide: allowAll,
    outcomes: [],
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
  return door;

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '', 'http://127.0.0.1');
    const protocol = request.headers['git-protocol'];
    const version = typeof protocol === 'string' ? protocol : undefined;
    if (url.pathname.endsWith('/info/refs')) {
      const service = url.searchParams.get('service') as GitService;
      const output = await git.advertise(door.grant(), project, service, version);
      response.setHeader('content-type', `application/x-${service}-advertisement`);
      return send(output, response);
    }
    const body = request.headers['content-encoding'] === 'gzip' ? pipeline(request, createGunzip(), () => undefined) : request;
    const service = url.pathname.split('/').at(-1) ?? '';
    response.setHeader('content-type', `application/x-${service}-result`);
    if (service === 'git-upload-pack') return send(await git.uploadPack(door.grant(), project, version, body), response);
    const { output, done } = await git.receivePack(door.grant(), project, version, body, door.decide);
    // The client hears the end when the push is settled, so that a test may look at the log then.
    output.pipe(response, { end: false });
    output.once('error', () => response.destroy());
    door.outcomes.push(await done);
    response.end();
  }
}

function send(output: Readable, response: ServerResponse): void {
  pipeline(output, response, () => undefined);
}

/** Runs the git client. @returns its exit code and everything that it said */
export async function client(cwd: string, ...args: readonly string[]): Promise<{ readonly code: number; readonly text: string }> {
  const child = spawn('git', args, { cwd, env: clientEnvironment, stdio: ['ignore', 'pipe', 'pipe'] });
  const parts: Buffer[] = [];
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => parts.push(chunk));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code: code ?? 128, text: Buffer.concat(parts).toString('utf8').trim() };
}

/** As `client`, for what must work. @returns what it said */
export async function ok(cwd: string, ...args: readonly string[]): Promise<string> {
  const { code, text } = await client(cwd, ...args);
  if (code !== 0) throw new Error(`git ${args.join(' ')} ended with ${code}: ${text}`);
  return text;
}

const clientEnvironment = {
  PATH: process.env['PATH'],
  LC_ALL: 'C.UTF-8',
  HOME: '/nonexistent',
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_TERMINAL_PROMPT: '0',
  GIT_AUTHOR_NAME: 'Ada',
  GIT_AUTHOR_EMAIL: 'ada@example.org',
  GIT_COMMITTER_NAME: 'Ada',
  GIT_COMMITTER_EMAIL: 'ada@example.org',
};
