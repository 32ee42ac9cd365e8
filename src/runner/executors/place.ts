import { chown, mkdir, readFile, realpath, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { hash } from 'node:crypto';
import { isJobpassError, JobpassError } from '../../base/errors.ts';
import { privateDir, shortToken } from '../places.ts';
import { removeAs, runAs } from '../run-as.ts';
import type { BuildPlace, PrepareOptions } from './executor.ts';
import { osUserOf } from './shell/os-user.ts';
import { killUid } from './shell/processes.ts';

/** Where a job's script sees the slot, if that is not where it is. */
export interface Elsewhere {
  readonly seenAt: string;
  readonly disposable: boolean;
}

/**
 * gitlab-runner's layout. The slot belongs to one project, trust tier and set of principals at a time: for any other it is emptied first (R15, A64).
 * @param elsewhere then the slot is emptied each time: what root of a container left there must not meet the next job's git (A53).
 */
export async function makePlace(options: PrepareOptions, elsewhere?: Elsewhere): Promise<BuildPlace> {
  const { entry, trustKey } = options;
  const slotDir = await slotDirOf(options);
  const seenSlot = elsewhere?.seenAt ?? slotDir;
  const projectPath = pathInSlot(options, seenSlot);
  const buildDir = join(slotDir, projectPath);
  const user = await osUserOf(entry.user, slotDir);
  if (user.uid !== undefined) await reachable(dirname(slotDir));
  // A job of this slot that was cut off with its runner may have left processes.
  if (user.exclusive && user.uid !== undefined && user.gid !== undefined) await killUid(user.uid, user.gid);
  await claimSlot(entry.buildsDir, slotDir, `${trustKey}:${user.uid ?? 'self'}`);
  if (elsewhere !== undefined) await emptySlot(slotDir);
  const place: BuildPlace = {
    slotDir,
    buildDir,
    tmpDir: `${buildDir}.tmp`,
    uid: user.uid,
    gid: user.gid,
    exclusiveUid: user.exclusive,
    disposable: elsewhere?.disposable ?? false,
    seen: { slotDir: seenSlot, buildDir: join(seenSlot, projectPath), tmpDir: `${join(seenSlot, projectPath)}.tmp` },
  };
  if (!(await makeFolders(place))) {
    // The last job left something in the way: then nothing of it is kept.
    await emptySlot(slotDir);
    if (!(await makeFolders(place))) throw new JobpassError('upstream_failed', 'The build folder cannot be made.');
  }
  return place;
}

/** The folder above it is made where it is missing. @returns its real path: what lies in a job's folder is told by it */
export async function slotDirOf({ entry, slot }: Pick<PrepareOptions, 'entry' | 'slot'>): Promise<string> {
  const named = join(entry.buildsDir, shortToken(entry.token));
  await mkdir(named, { recursive: true, mode: 0o711 });
  return join(await realpath(named), String(slot));
}

/** Read-only parts keep root from nothing, but a runner that is not root from all. As root, a link of the job's on the way could lead to anybody's. */
async function emptySlot(slotDir: string): Promise<void> {
  if (process.getuid?.() === 0) await runAs(undefined, 'rm', ['-rf', '--', slotDir], { cwd: '/' });
  else await removeAs(undefined, slotDir);
}

/** The project's folder below the slot: its path, or what GIT_CLONE_PATH says, which has to lie in CI_BUILDS_DIR (A39). */
function pathInSlot({ entry, projectPath, clonePath }: PrepareOptions, seenSlot: string): string {
  const asked = clonePath(seenSlot);
  if (asked !== undefined && !entry.customBuildDir)
    throw new JobpassError('invalid_input', 'GIT_CLONE_PATH: the configuration of this runner does not allow it (custom_build_dir).');
  if (asked !== undefined && !asked.startsWith(`${seenSlot}/`))
    throw new JobpassError('invalid_input', 'GIT_CLONE_PATH has to lie in $CI_BUILDS_DIR.');
  const path = asked === undefined ? projectPath : asked.slice(seenSlot.length + 1).replace(/\/+$/, '');
  if (path.length > 1024 || !/^[\w.-]+(?:\/[\w.-]+)*$/.test(path) || /(?:^|\/)(?:\.\.?|\.git)(?:\/|$)/i.test(path))
    throw new JobpassError(
      'invalid_input',
      `The path of the project's folder is malformed${asked === undefined ? '' : ' (GIT_CLONE_PATH)'}.`,
    );
  return path;
}

/** `$1` is emptied, read-only parts and all, `$2` kept: one program for a small job's sake. */
const foldersScript = `if test -e "$1"; then chmod -R u+rwx -- "$1" 2>/dev/null || :; rm -rf -- "$1" || exit 1; fi
exec mkdir -p -m 700 -- "$2" "$1" "$1/home" "$1/tmp"`;

/** Everything below the slot is the job's, symbolic links and all: nothing there is done as root. @returns false where the folder is not what it says */
async function makeFolders(place: BuildPlace): Promise<boolean> {
  const { slotDir, buildDir, tmpDir } = place;
  await mkdir(slotDir, { recursive: true, mode: 0o700 });
  if (place.uid !== undefined && place.gid !== undefined) await chown(slotDir, place.uid, place.gid);
  try {
    await runAs(place, '/bin/sh', ['-c', foldersScript, 'sh', tmpDir, buildDir], { cwd: slotDir });
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
  if (before !== key) await emptySlot(slotDir);
  await writeFile(note, key, { mode: 0o600 });
}

/** Before the first job: what each of them would fail with is no start. @throws invalid_input */
export async function checkPlace({ user, buildsDir }: PrepareOptions['entry']): Promise<void> {
  if ((await osUserOf(user, buildsDir)).uid === undefined) return;
  let made = buildsDir;
  while (!(await stat(made).catch(() => undefined))?.isDirectory()) made = dirname(made);
  await reachable(await realpath(made));
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
