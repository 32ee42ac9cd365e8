import { type ChildProcess, spawn } from 'node:child_process';
import { JobpassError } from '../../base/errors.ts';
import type { BuildPlace } from '../executors/executor.ts';
import { pour } from '../pour.ts';
import { invocation } from '../run-as.ts';

export interface HandOverOrder {
  readonly place: BuildPlace;
  /** Where the program of the job's user runs. */
  readonly dir: string;
  /** What the runner's `tar -cf -` is to pack. */
  readonly tar: readonly string[];
  /** Its standard input. */
  readonly names?: string;
  /** Gets the archive as its standard input. */
  readonly program: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** A file that the program may write to, as number 3. */
  readonly writes?: number;
  readonly signal: AbortSignal;
  readonly onOutput: (bytes: Buffer) => void;
}

const mostWords = 4096;

/**
 * Gives files that only the runner can read to a program of the job's user, which alone writes below the job's folder: a link on the way there leads it nowhere
 * that the job could not go.
 * @returns what it said, up to 4 kB
 * @throws upstream_failed
 */
export async function handOver(order: HandOverOrder): Promise<string> {
  const { signal } = order;
  signal.throwIfAborted();
  const packer = spawn('tar', ['-cf', '-', ...order.tar], {
    cwd: '/',
    env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin', LC_ALL: 'C.UTF-8' },
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  const call = invocation(order.place, order.dir, order.program, order.args);
  const client = spawn(call.program, call.args, {
    ...call.options,
    env: { ...order.env },
    stdio: ['pipe', 'pipe', 'pipe', order.writes ?? 'ignore'],
    detached: true,
  });
  const kill = (): void => {
    packer.kill('SIGKILL');
    try {
      if (client.pid !== undefined) process.kill(-client.pid, 'SIGKILL');
    } catch {
      // It ended in the meantime.
    }
  };
  signal.addEventListener('abort', kill, { once: true });
  try {
    let [said, words] = ['', ''];
    client.stdout?.on('data', (bytes: Buffer) => {
      said = (said + bytes.toString('utf8')).slice(0, mostWords);
    });
    client.stderr?.on('data', (bytes: Buffer) => {
      words = (words + bytes.toString('utf8')).slice(-mostWords);
      order.onOutput(bytes);
    });
    packer.stdin.on('error', () => undefined);
    packer.stdin.end(order.names ?? '');
    if (client.stdin !== null) pour(packer.stdout, client.stdin).catch(() => undefined);
    const [packed, code] = await Promise.all([ended(packer), ended(client)]);
    signal.throwIfAborted();
    if (packed !== 0 || code !== 0) throw new JobpassError('upstream_failed', `The sources could not be handed over: ${words.trim()}`);
    return said;
  } finally {
    signal.removeEventListener('abort', kill);
    kill();
  }
}

function ended(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once('error', (error) => reject(new JobpassError('upstream_failed', 'The sources cannot be handed over.', error)));
    child.once('close', (code) => resolve(code ?? 137));
  });
}
