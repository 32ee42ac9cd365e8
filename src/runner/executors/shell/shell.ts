import { spawn } from 'node:child_process';
import { access, chown, constants, mkdir, readFile, realpath, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { hash } from 'node:crypto';
import { isJobpassError, JobpassError } from '../../../base/errors.ts';
import { privateDir, shortToken } from '../../places.ts';
import { invocation, removeAs, runAs } from '../../run-as.ts';
import type { BuildPlace, Executor, PrepareOptions, ScriptEnd, ScriptRun, Workspace } from '../executor.ts';
import { osUserOf } from './os-user.ts';
import { endGroup, killMarked, killUid, signalGroup } from './processes.ts';
import { shellScript } from './script.ts';

/** How long a script may take to clean up after SIGTERM. */
const graceMs = 5000;

/** Runs scripts in a shell of this machine: as another OS user where the runner is root (R8), else with no boundary at all. */
export const shellExecutor: Executor = {
  name: 'shell',
  features: { images: false, separateUser: process.getuid?.() === 0 },
  async prepare(options) {
    const place = await makePlace(options);
    const shell = await chooseShell(options.entry.shell);
    const endProcesses = async (): Promise<void> => {
      if (place.uid !== undefined && place.gid !== undefined && place.exclusiveUid) await killUid(place.uid, place.gid);
      else await killMarked(options.cookie);
    };
    const workspace: Workspace = {
      place,
      endProcesses,
      run: (run) => runScript(place, shell, run),
      async cleanup() {
        await endProcesses();
        await removeAs(place, place.tmpDir);
      },
    };
    return workspace;
  },
};

/** gitlab-runner's layout. The slot belongs to one project, trust tier and user at a time: for any other it is emptied first (R15, A64). */
async function makePlace(options: PrepareOptions): Promise<BuildPlace> {
  const { entry, slot, projectPath, trustKey } = options;
  if (!/^[\w.-]+(?:\/[\w.-]+)*$/.test(projectPath) || /(?:^|\/)\.\.?(?:\/|$)/.test(projectPath))
    throw new JobpassError('invalid_input', 'The path of the project is malformed.');
  const named = join(entry.buildsDir, shortToken(entry.token));
  await mkdir(named, { recursive: true, mode: 0o711 });
  // The real path: what lies in a job's folder is told by it.
  const tokenDir = await realpath(named);
  const slotDir = join(tokenDir, String(slot));
  const buildDir = join(slotDir, projectPath);
  const user = await osUserOf(entry.user, slotDir);
  if (user.uid !== undefined) await reachable(tokenDir);
  // A job of this slot that was cut off with its runner may have left processes.
  if (user.exclusive && user.uid !== undefined && user.gid !== undefined) await killUid(user.uid, user.gid);
  await claimSlot(entry.buildsDir, slotDir, `${trustKey}:${user.uid ?? 'self'}`);
  const place: BuildPlace = {
    slotDir,
    buildDir,
    tmpDir: `${buildDir}.tmp`,
    uid: user.uid,
    gid: user.gid,
    exclusiveUid: user.exclusive,
  };
  if (!(await makeFolders(place))) {
    // The last job left something in the way: then nothing of it is kept.
    await runAs(undefined, 'rm', ['-rf', '--', slotDir], { cwd: '/' });
    if (!(await makeFolders(place))) throw new JobpassError('upstream_failed', 'The build folder cannot be made.');
  }
  return place;
}

/** Everything below the slot is the job's, symbolic links and all: nothing there is done as root. @returns false where the folder is not what it says */
async function makeFolders(place: BuildPlace): Promise<boolean> {
  const { slotDir, buildDir, tmpDir } = place;
  await mkdir(slotDir, { recursive: true, mode: 0o700 });
  if (place.uid !== undefined && place.gid !== undefined) await chown(slotDir, place.uid, place.gid);
  try {
    await removeAs(place, tmpDir);
    await runAs(place, 'mkdir', ['-p', '-m', '700', '--', buildDir, tmpDir, join(tmpDir, 'home'), join(tmpDir, 'tmp')], { cwd: slotDir });
    return (await realpath(buildDir)) === buildDir && (await realpath(tmpDir)) === tmpDir;
  } catch (error) {
    if (isJobpassError(error, 'upstream_failed')) return false;
    throw error;
  }
}

async function claimSlot(buildsDir: string, slotDir: string, key: string): Promise<void> {
  const notes = await privateDir(buildsDir, 'slots');
  const note = join(notes, hash('sha256', slotDir, 'hex').slice(0, 32));
  const before = await readFile(note, 'utf8').catch(() => '');
  if (before !== key) await runAs(undefined, 'rm', ['-rf', '--', slotDir], { cwd: '/' });
  await writeFile(note, key, { mode: 0o600 });
}

/** A job's user needs to pass through every folder above its own. */
async function reachable(dir: string): Promise<void> {
  for (let folder = dir; folder !== dirname(folder); folder = dirname(folder)) {
    if (((await stat(folder)).mode & 0o001) === 0)
      throw new JobpassError(
        'invalid_input',
        `builds_dir: the user of the job cannot pass through ${folder} (chmod o+x, or choose another builds_dir).`,
      );
  }
}

async function chooseShell(wanted: string | undefined): Promise<{ readonly kind: 'bash' | 'sh'; readonly path: string }> {
  for (const path of wanted === 'sh' ? [] : ['/bin/bash', '/usr/bin/bash', '/usr/local/bin/bash']) {
    const found = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (found) return { kind: 'bash', path };
  }
  return { kind: 'sh', path: '/bin/sh' };
}

async function runScript(
  place: BuildPlace,
  shell: { readonly kind: 'bash' | 'sh'; readonly path: string },
  run: ScriptRun,
): Promise<ScriptEnd> {
  run.signal.throwIfAborted();
  const call = invocation(place, place.buildDir, shell.path, shell.kind === 'bash' ? ['--noprofile', '--norc'] : []);
  const child = spawn(call.program, call.args, { ...call.options, env: { ...run.env }, stdio: ['pipe', 'pipe', 'pipe'], detached: true });
  child.stdout.on('data', run.onOutput);
  child.stderr.on('data', run.onOutput);
  child.stdin.on('error', () => undefined);
  child.stdin.end(shellScript(run.script, shell.kind));
  const group = child.pid;
  const pipesClosed = closed(child);
  let ending: Promise<void> | undefined;
  const kill = (): void => {
    if (group !== undefined) ending ??= endGroup(group, graceMs);
  };
  const force = (): void => {
    if (group !== undefined) signalGroup(group, 'SIGKILL');
  };
  run.signal.addEventListener('abort', kill, { once: true });
  run.force.addEventListener('abort', force, { once: true });
  try {
    const exitCode = await new Promise<number>((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (code, signal) => resolve(code ?? 128 + (signal === 'SIGKILL' ? 9 : 15)));
    });
    if (ending === undefined && group !== undefined) ending = endGroup(group, 0);
    await ending;
    // A process that left the group may hold the pipes open; what the group wrote is already in them.
    await Promise.race([pipesClosed, new Promise((resolve) => setTimeout(resolve, 500))]);
    return { exitCode };
  } finally {
    run.signal.removeEventListener('abort', kill);
    run.force.removeEventListener('abort', force);
    child.stdout.destroy();
    child.stderr.destroy();
  }
}

function closed(child: ReturnType<typeof spawn>): Promise<void> {
  return new Promise((resolve) => {
    child.once('close', () => resolve());
  });
}
