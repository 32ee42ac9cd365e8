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

/** The ids for `spawn`. */
export function idsOf(user: RunAs | undefined): { uid?: number; gid?: number } {
  return user?.uid === undefined || user.gid === undefined ? {} : { uid: user.uid, gid: user.gid };
}

/** Runs a program without a shell. @throws upstream_failed with its last words */
export async function runAs(user: RunAs | undefined, program: string, args: readonly string[], options: RunOptions): Promise<RunEnd> {
  options.signal?.throwIfAborted();
  const child = spawn(program, args, {
    cwd: options.cwd,
    env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin', LC_ALL: 'C.UTF-8', ...options.env },
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: true,
    ...idsOf(user),
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
