import { spawn } from 'node:child_process';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { JobpassError } from '../../../base/errors.ts';
import { limits } from '../../../base/limits.ts';
import { invocation, removeAs, runAs } from '../../run-as.ts';
import type { BuildPlace } from '../executor.ts';
import { quote } from '../shell/script.ts';
import { endOf, type SshConnection } from './connection.ts';

const env = { PATH: process.env['PATH'] ?? '/usr/bin:/bin', LC_ALL: 'C.UTF-8' };

/** One folder here and there. */
export interface Ends {
  readonly here: string;
  readonly there: string;
}

/** All of some folders, or what has changed in them since a marker was made: what the job did to the rest stays. */
const packAll = 'exec tar -cf - -- "$@"';
const packNew = 'marker=$1; shift; find "$@" -cnewer "$marker" ! -type d -print0 | exec tar --null --no-recursion -T - -cf -';

/**
 * Sends folders of the job's. The job's user packs them, so that no link of the job's is followed as somebody else.
 * @param folders below both ends
 */
export async function sendFolders(
  ssh: SshConnection,
  place: BuildPlace,
  ends: Ends,
  folders: readonly string[],
  since: string | undefined,
  signal: AbortSignal,
): Promise<void> {
  signal.throwIfAborted();
  const script = since === undefined ? ['-c', packAll, 'sh'] : ['-c', packNew, 'sh', since];
  const call = invocation(place, ends.here, '/bin/sh', [...script, ...folders.map((folder) => `./${folder}`)]);
  const packer = spawn(call.program, call.args, { ...call.options, env, stdio: ['ignore', 'pipe', 'ignore'] });
  const remote = ssh.start(`cd -- ${quote(ends.there)} && exec tar -xf -`);
  await joined(signal, [packer, remote], async () => {
    const ended = endOf(remote);
    // Told below: a program that cannot be started, as where there are too many, must not end the runner before.
    ended.catch(() => undefined);
    packer.once('error', () => undefined);
    remote.stdout.resume();
    await pipeline(packer.stdout, remote.stdin).catch(() => undefined);
    const { code, words } = await ended;
    signal.throwIfAborted();
    if (code !== 0) throw ssh.trouble(code, words);
  });
}

/** Brings a folder back in the place of the one here. The job's user unpacks it: what the host sends is the job's word (A39). */
export async function bringFolder(ssh: SshConnection, place: BuildPlace, ends: Ends, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  await removeAs(place, ends.here);
  await runAs(place, 'mkdir', ['-p', '-m', '700', '--', ends.here], { cwd: place.slotDir });
  const remote = ssh.start(`cd -- ${quote(ends.there)} && exec tar -cf - .`);
  const call = invocation(place, ends.here, 'tar', ['--no-same-owner', '-xf', '-']);
  const unpacker = spawn(call.program, call.args, { ...call.options, env, stdio: ['pipe', 'ignore', 'ignore'] });
  await joined(signal, [remote, unpacker], async () => {
    const [there, here] = [endOf(remote), codeOf(unpacker)];
    for (const end of [there, here]) end.catch(() => undefined);
    let failure: unknown;
    await pipeline(remote.stdout, limited(), unpacker.stdin).catch((error: unknown) => {
      failure = error;
      remote.kill('SIGKILL');
    });
    const [{ code, words }, unpacked] = await Promise.all([there, here]);
    signal.throwIfAborted();
    if (failure instanceof JobpassError) throw failure;
    if (code !== 0) throw ssh.trouble(code, words);
    if (unpacked !== 0) throw new JobpassError('upstream_failed', 'What the host sent cannot be unpacked.');
  });
}

function limited(): Transform {
  let size = 0;
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      size += chunk.length;
      if (size > limits.packBytes) done(new JobpassError('too_large', `The job left more than ${limits.packBytes} bytes.`));
      else done(null, chunk);
    },
  });
}

async function joined(
  signal: AbortSignal,
  children: readonly { kill(signal: NodeJS.Signals): boolean }[],
  work: () => Promise<void>,
): Promise<void> {
  const kill = (): void => children.forEach((child) => child.kill('SIGKILL'));
  signal.addEventListener('abort', kill, { once: true });
  try {
    await work();
  } finally {
    signal.removeEventListener('abort', kill);
    kill();
  }
}

function codeOf(child: ReturnType<typeof spawn>): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve(code ?? 137));
  });
}
