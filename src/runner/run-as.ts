import { spawn } from 'node:child_process';
import { JobpassError } from '../base/errors.ts';

/** An OS user; undefined ids = the runner's own. */
export interface RunAs {
  readonly uid: number | undefined;
  readonly gid: number | undefined;
}

export interface RunOptions {
  readonly cwd: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: Buffer | string;
  readonly signal?: AbortSignal | undefined;
  /** Receives standard error, and standard output where it is not `collect`ed. */
  readonly onOutput?: ((bytes: Buffer) => void) | undefined;
  /** Keep standard output, up to this many bytes; more is an error. */
  readonly collectBytes?: number;
  /** An exit code other than 0 is an answer, not an error. */
  readonly anyExit?: boolean;
}

export interface RunEnd {
  readonly code: number;
  readonly stdout: string;
}

const wordsBytes = 4096;

/** What to hand to `spawn`. */
export interface Invocation {
  readonly program: string;
  readonly args: readonly string[];
  readonly options: { readonly cwd: string; readonly uid?: number; readonly gid?: number };
}

/**
 * A program in a folder, as a user. Another user's process changes to the folder itself: Node would do so before it drops root, and so follow
 * a job's link to where the job may not go.
 */
export function invocation(user: RunAs | undefined, cwd: string, program: string, args: readonly string[]): Invocation {
  if (user?.uid === undefined || user.gid === undefined) return { program, args, options: { cwd } };
  const enter = ['-c', 'cd -- "$1" && shift && exec "$@"', 'sh', cwd, program, ...args];
  return { program: '/bin/sh', args: enter, options: { cwd: '/', uid: user.uid, gid: user.gid } };
}

/** Removes a folder of the job's as the job's user, read-only parts and all: as root, a link on the way could lead to anybody's. */
export async function removeAs(user: RunAs | undefined, path: string): Promise<void> {
  const text = 'test -e "$1" || exit 0; chmod -R u+rwx -- "$1" 2>/dev/null; exec rm -rf -- "$1"';
  await runAs(user, '/bin/sh', ['-c', text, 'sh', path], { cwd: '/' });
}

/** Runs a program without a shell. @throws upstream_failed with its last words */
export async function runAs(user: RunAs | undefined, program: string, args: readonly string[], options: RunOptions): Promise<RunEnd> {
  options.signal?.throwIfAborted();
  const call = invocation(user, options.cwd, program, args);
  const child = spawn(call.program, call.args, {
    ...call.options,
    env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin', LC_ALL: 'C.UTF-8', ...options.env },
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: true,
  });
  const kept: Buffer[] = [];
  let size = 0;
  let words = '';
  const kill = (): void => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    } catch {
      // It ended in the meantime.
    }
  };
  child.stdout.on('data', (bytes: Buffer) => {
    if (options.collectBytes === undefined) return options.onOutput?.(bytes);
    size += bytes.length;
    if (size <= options.collectBytes) kept.push(bytes);
    else kill();
  });
  child.stderr.on('data', (bytes: Buffer) => {
    words = (words + bytes.toString('utf8')).slice(-wordsBytes);
    options.onOutput?.(bytes);
  });
  child.stdin.on('error', () => undefined);
  child.stdin.end(options.input ?? '');
  options.signal?.addEventListener('abort', kill, { once: true });
  try {
    const code = await new Promise<number>((resolve, reject) => {
      child.once('error', (error) => reject(new JobpassError('upstream_failed', `${program} cannot be started`, error)));
      child.once('close', (status) => resolve(status ?? 137));
    });
    options.signal?.throwIfAborted();
    if (options.collectBytes !== undefined && size > options.collectBytes)
      throw new JobpassError('too_large', `${program} said more than ${options.collectBytes} bytes`);
    if (code !== 0 && options.anyExit !== true)
      throw new JobpassError('upstream_failed', `${program} ${args[0] ?? ''} ended with ${code}: ${words.trim()}`);
    return { code, stdout: Buffer.concat(kept).toString('utf8') };
  } finally {
    options.signal?.removeEventListener('abort', kill);
  }
}
