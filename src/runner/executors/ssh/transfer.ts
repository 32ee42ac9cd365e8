import { spawn } from 'node:child_process';
import { JobpassError } from '../../../base/errors.ts';
import { limits } from '../../../base/limits.ts';
import { pour } from '../../pour.ts';
import { invocation, removeAs, runAs } from '../../run-as.ts';
import type { BuildPlace } from '../executor.ts';
import { quote } from '../shell/script.ts';
import { endOf, type SshConnection } from './connection.ts';

const env = { PATH: process.env['PATH'] ?? '/usr/bin:/bin', LC_ALL: 'C.UTF-8' };

/** tar's exit code where a file changed, or got another hard link, while it was read. */
const tarChanged = 1;

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
    const [there, packed] = [endOf(remote), codeOf(packer)];
    // Told below: a program that cannot be started, as where there are too many, must not end the runner before.
    for (const end of [there, packed]) end.catch(() => undefined);
    remote.stdout.resume();
    pour(packer.stdout, remote.stdin).catch(() => undefined);
    const { code, words } = await there;
    signal.throwIfAborted();
    if (code !== 0) throw ssh.trouble(code, words);
    if ((await packed) > tarChanged) throw new JobpassError('upstream_failed', 'The sources could not be packed for the host.');
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
    const poured = pour(remote.stdout, unpacker.stdin, limits.packBytes);
    poured.catch(() => remote.kill('SIGKILL'));
    let refused = false;
    unpacker.once('exit', (code) => {
      if (code !== 0) refused = remote.kill('SIGKILL');
    });
    const [{ code, words }, unpacked] = await Promise.all([there, here]);
    signal.throwIfAborted();
    await poured;
    if (code !== 0 && !refused) throw ssh.trouble(code, words);
    if (unpacked !== 0) throw new JobpassError('upstream_failed', 'What the host sent cannot be unpacked.');
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
    child.once('error', (error) => reject(new JobpassError('upstream_failed', 'tar cannot be started here.', error)));
    child.once('close', (code) => resolve(code ?? 137));
  });
}
