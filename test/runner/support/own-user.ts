import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmod, cp, mkdir, mkdtemp, readFile, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Secret } from '../../../src/base/secret.ts';
import { registerRunner, type RegisterOptions } from '../../../src/runner/register.ts';
import { FakeForge } from './fake-forge.ts';

/** Nobody's on this machine. */
export const strangerUid = 54_321;
const root = join(dirname(fileURLToPath(import.meta.url)), '../../..');

/** Whether that user may have a runner here: it has to reach Node.js itself. */
export const strangerMayRun =
  process.getuid?.() === 0 && spawnSync(process.execPath, ['--version'], { uid: strangerUid, gid: strangerUid, cwd: '/' }).status === 0;

/** A runner in a process of its own, of a user that is not root. */
export interface OwnUserScene {
  readonly forge: FakeForge;
  readonly dir: string;
  readonly buildsDir: string;
  readonly configPath: string;
  start(): Promise<ChildProcess>;
  end(signal: NodeJS.Signals): Promise<void>;
  close(): Promise<void>;
}

/** @param gid of the group whose socket it may use @param change of config.toml before it is the runner's */
export async function ownUserScene(
  register: Pick<RegisterOptions, 'executor' | 'docker'>,
  gid: number,
  change: (config: string) => string = (config) => config,
): Promise<OwnUserScene> {
  const dir = await mkdtemp(join(tmpdir(), 'jobpass-own-user-'));
  await chmod(dir, 0o711);
  const forge = await new FakeForge(dir).start();
  const home = join(dir, 'runner');
  await mkdir(home);
  const configPath = join(home, 'config.toml');
  const buildsDir = join(home, 'builds');
  await registerRunner({ url: forge.url, token: new Secret('glrt-good'), configPath, name: 'own', buildsDir, ...register });
  await writeFile(configPath, change(await readFile(configPath, 'utf8')));
  // The tree itself may lie where that user cannot go.
  const program = join(dir, 'jobpass');
  for (const part of ['src', 'bin', 'package.json']) await cp(join(root, part), join(program, part), { recursive: true });
  await symlink(await realpath(join(root, 'node_modules')), join(program, 'node_modules'));
  execFileSync('chown', ['-R', `${strangerUid}:${gid}`, home]);
  let runner: ChildProcess | undefined;
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    const child = runner;
    runner = undefined;
    if (child === undefined || child.exitCode !== null) return;
    const over = once(child, 'close');
    child.kill(signal);
    await over;
  };
  return {
    forge,
    dir,
    buildsDir,
    configPath,
    end,
    async start() {
      const child = spawn(process.execPath, [join(program, 'bin', 'jobpass.js'), 'runner', 'run', '--config', configPath], {
        uid: strangerUid,
        gid,
        cwd: '/',
        env: { PATH: process.env['PATH'] },
        stdio: ['ignore', 'ignore', 'pipe'],
      });
      runner = child;
      let said = '';
      child.stderr.on('data', (bytes: Buffer) => (said += bytes.toString()));
      await Promise.race([
        once(forge.events, 'polled'),
        once(child, 'close').then(() => {
          throw new Error(said);
        }),
      ]);
      return child;
    },
    async close() {
      await end('SIGKILL');
      await forge.close();
      await rm(dir, { recursive: true, force: true });
    },
  };
}
