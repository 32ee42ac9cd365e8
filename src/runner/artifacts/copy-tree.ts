import { spawn } from 'node:child_process';
import { JobpassError } from '../../base/errors.ts';
import type { BuildPlace } from '../executors/executor.ts';
import { pour } from '../pour.ts';
import { invocation } from '../run-as.ts';

/**
 * Copies a folder of the runner's into the build folder. The job's own user writes it, from a pipe: what links
 * the job may have laid there lead no further than its user does.
 */
export async function copyTree(from: string, place: BuildPlace, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const env = { PATH: process.env['PATH'] ?? '/usr/bin:/bin', LC_ALL: 'C.UTF-8' };
  const packer = spawn('tar', ['-C', from, '-cf', '-', '.'], { env, stdio: ['ignore', 'pipe', 'ignore'], cwd: '/' });
  const call = invocation(place, place.buildDir, 'tar', ['-xf', '-']);
  const unpacker = spawn(call.program, call.args, { ...call.options, env, stdio: ['pipe', 'ignore', 'ignore'] });
  const kill = (): void => {
    packer.kill('SIGKILL');
    unpacker.kill('SIGKILL');
  };
  signal.addEventListener('abort', kill, { once: true });
  pour(packer.stdout, unpacker.stdin).catch(() => undefined);
  try {
    const codes = await Promise.all(
      [packer, unpacker].map(
        (child) =>
          new Promise<number | null>((resolve, reject) => {
            child.once('error', reject);
            child.once('close', resolve);
          }),
      ),
    );
    signal.throwIfAborted();
    if (codes.some((code) => code !== 0))
      throw new JobpassError('upstream_failed', 'The artifacts could not be copied to the build folder.');
  } finally {
    signal.removeEventListener('abort', kill);
    kill();
  }
}
