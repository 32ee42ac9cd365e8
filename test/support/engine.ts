import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { cp, link, mkdir, mkdtemp, rm, watch } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** The container engine that tests use: `DOCKER_HOST`, or docker's own socket. @returns undefined where none answers */
export function engine(): { readonly socketPath: string } | undefined {
  const host = process.env['DOCKER_HOST'] ?? 'unix:///var/run/docker.sock';
  if (!host.startsWith('unix://')) return undefined;
  return spawnSync('docker', ['version'], { stdio: 'ignore' }).status === 0 ? { socketPath: host.slice('unix://'.length) } : undefined;
}

/** An engine for one test file, with an image of busybox that nobody has to pull. */
export interface TestEngine {
  readonly socketPath: string;
  readonly image: string;
  /** The engine's own command line. */
  cli(...args: string[]): string;
  close(): Promise<void>;
}

const image = 'jobpass-test/busybox:1';
const applets = [
  'sh',
  'cat',
  'env',
  'sleep',
  'touch',
  'true',
  'mkdir',
  'rm',
  'ls',
  'id',
  'ln',
  'mknod',
  'nc',
  'echo',
  'stat',
  'head',
  'ps',
];

export async function startDocker(): Promise<TestEngine> {
  const found = engine();
  if (found === undefined) throw new Error('no docker');
  const cli = (...args: string[]): string => execFileSync('docker', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  await importBusybox(cli);
  return { ...found, image, cli, close: () => Promise.resolve() };
}

export function podmanInstalled(): boolean {
  return spawnSync('podman', ['--version'], { stdio: 'ignore' }).status === 0;
}

/** podman's service on a socket of its own, with storage of its own. */
export async function startPodman(): Promise<TestEngine> {
  const dir = await mkdtemp(join(tmpdir(), 'jobpass-podman-'));
  const socketPath = join(dir, 'podman.sock');
  // `tmpdir` too: where all share one, the reset of any makes the others forget what runs.
  const own = ['--root', join(dir, 'root'), '--runroot', join(dir, 'run'), '--tmpdir', join(dir, 'tmp')];
  const cli = (...args: string[]): string =>
    execFileSync('podman', [...own, ...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  const seen = watch(dir);
  const service = spawn('podman', [...own, 'system', 'service', '--time=0', `unix://${socketPath}`], { stdio: 'ignore' });
  for await (const _ of seen) if (existsSync(socketPath)) break;
  await importBusybox(cli);
  return {
    socketPath,
    image,
    cli,
    async close() {
      service.kill('SIGTERM');
      await once(service, 'exit');
      try {
        cli('system', 'reset', '--force');
      } catch {
        // Its folders are removed in any case.
      }
      await rm(dir, { recursive: true, force: true });
    },
  };
}

/** Makes an image of this machine's own programs, with the libraries that they need. */
export async function importPrograms(cli: TestEngine['cli'], name: string, programs: readonly string[]): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'jobpass-programs-'));
  try {
    const sh = programs.map((program) => `p=$(command -v ${program}); echo "$p"; ldd "$p" | grep -o '/[^ ]*'`).join('; ');
    const files = execFileSync('/bin/sh', ['-c', sh], { encoding: 'utf8' }).split('\n');
    const paths = [...new Set(files)].filter((path) => path !== '').map((path) => path.slice(1));
    execFileSync('tar', ['-C', '/', '-chf', join(dir, 'image.tar'), ...paths]);
    cli('import', join(dir, 'image.tar'), name);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

/** Busybox under many names, one file: an image of copies is many times as large, for whoever carries it or looks through it. */
export async function layBusybox(folder: string, names: readonly string[]): Promise<void> {
  const busybox = join(folder, 'busybox');
  await cp('/bin/busybox', busybox);
  for (const name of names) await link(busybox, join(folder, name));
}

async function importBusybox(cli: TestEngine['cli']): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'jobpass-busybox-'));
  try {
    const root = join(dir, 'root');
    for (const folder of ['bin', 'tmp', 'etc']) await mkdir(join(root, folder), { recursive: true });
    await layBusybox(join(root, 'bin'), applets);
    execFileSync('tar', ['-C', root, '-cf', join(dir, 'image.tar'), '.']);
    cli('import', join(dir, 'image.tar'), image);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}
