import { type ChildProcess, spawn } from 'node:child_process';
import { pipeline } from 'node:stream';
import { Socket } from 'node:net';
import { JobpassError } from '../../base/errors.ts';
import type { BuildPlace } from '../executors/executor.ts';
import { invocation, runAs } from '../run-as.ts';
import { gitEnvironment } from './environment.ts';
import { jobRef, type Mirror } from './mirror.ts';

export interface CheckoutOrder {
  readonly place: BuildPlace;
  /** Folder of the work tree, the job's own. */
  readonly dir: string;
  /** What `origin` says: without any credential. */
  readonly url: URL;
  /** The mirror's refs that the checkout gets, as refspecs. */
  readonly refspecs: readonly string[];
  readonly depth: number;
  readonly signal: AbortSignal;
  readonly onOutput: (bytes: Buffer) => void;
}

/** Environment of a git that runs as the job's user: strict as well, and with nothing secret in it. */
export function jobGitEnvironment(place: BuildPlace, extra: readonly (readonly [string, string])[] = []): Record<string, string> {
  return gitEnvironment(`${place.tmpDir}/home`, [['protocol.fd.allow', 'always'], ...extra]);
}

/**
 * Makes a fresh repository in `dir` with the mirror's commit, as the job's OS user and without any credential. That user cannot
 * read the mirror: its objects come over a pipe from an upload-pack that runs as the runner. An old `.git` is never trusted (A53).
 */
export async function deliver(mirror: Mirror, order: CheckoutOrder): Promise<void> {
  const { place, dir, signal, onOutput } = order;
  const env = jobGitEnvironment(place);
  const git = async (...args: readonly string[]): Promise<void> => {
    await runAs(place, 'git', args, { cwd: dir, env, signal, onOutput });
  };
  await runAs(place, 'rm', ['-rf', '--', '.git'], { cwd: dir });
  await git('init', '--quiet', '--template=', '.');
  await git('config', 'remote.origin.url', order.url.href);
  await git('config', 'remote.origin.fetch', '+refs/heads/*:refs/remotes/origin/*');
  const depth = order.depth > 0 ? [`--depth=${order.depth}`] : [];
  const flags = ['--quiet', '--no-tags', '--no-write-fetch-head', '--no-recurse-submodules', '--force', '--update-shallow', ...depth];
  await pipeFetch(mirror, order, ['fetch', ...flags, 'fd::3,4', `+${jobRef}:${jobRef}`, ...order.refspecs], env);
  await git('checkout', '--quiet', '--force', '--detach', mirror.sha);
  await git('update-ref', '-d', jobRef);
}

/** Joins `git fetch fd::3,4` of the job's user with `git upload-pack` of the runner. */
async function pipeFetch(mirror: Mirror, order: CheckoutOrder, args: readonly string[], env: Record<string, string>): Promise<void> {
  order.signal.throwIfAborted();
  const server = spawn('git', ['upload-pack', '--strict', mirror.dir], {
    cwd: mirror.dir,
    env: gitEnvironment(mirror.home),
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  const call = invocation(order.place, order.dir, 'git', args);
  const client = spawn(call.program, call.args, { ...call.options, env, stdio: ['ignore', 'pipe', 'pipe', 'pipe', 'pipe'] });
  const kill = (): void => {
    server.kill('SIGKILL');
    client.kill('SIGKILL');
  };
  order.signal.addEventListener('abort', kill, { once: true });
  try {
    let words = '';
    client.stdout?.on('data', order.onOutput);
    client.stderr?.on('data', (bytes: Buffer) => {
      words = (words + bytes.toString('utf8')).slice(-2000);
    });
    pipeline(server.stdout, pipeOf(client, 3), () => undefined);
    pipeline(pipeOf(client, 4), server.stdin, () => undefined);
    const [code] = await Promise.all([ended(client), ended(server)]);
    order.signal.throwIfAborted();
    if (code !== 0) throw new JobpassError('upstream_failed', `git could not hand the sources over: ${words.trim()}`);
  } finally {
    order.signal.removeEventListener('abort', kill);
    kill();
  }
}

function pipeOf(child: ChildProcess, fd: 3 | 4): Socket {
  const pipe: unknown = child.stdio[fd];
  // Node makes extra pipes two-way sockets; without one the child has not started, and its error comes by itself.
  return pipe instanceof Socket ? pipe : new Socket();
}

function ended(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once('error', (error) => reject(new JobpassError('upstream_failed', 'git cannot be started', error)));
    child.once('close', (code) => resolve(code ?? 137));
  });
}
