import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { BuildPlace } from '../executors/executor.ts';
import { jobGitEnvironment } from '../git/checkout.ts';
import { privateDir } from '../places.ts';
import { runAs } from '../run-as.ts';
import type { JobContext } from './context.ts';

/** `$1` a repository of our own, `$2` the work tree. Where the job left no plain index, git knows no file. */
const othersScript = `set -e
rm -rf -- "$1"
git init --quiet --bare --template= -- "$1"
if test ! -L "$2/.git" && test ! -L "$2/.git/index" && test -f "$2/.git/index"; then export GIT_INDEX_FILE="$2/.git/index"; fi
export GIT_DIR="$1" GIT_WORK_TREE="$2"
exec git ls-files --others -z
`;

/**
 * Files of the work tree that git does not know, ignored ones too; asked as the job's user. Of the job's repository only the list of files is read: its
 * settings could make git run programs of the job's, outside of its container (A53).
 */
export async function untrackedFiles(context: JobContext): Promise<readonly string[]> {
  const { place } = context.workspace;
  const { stdout } = await runAs(place, '/bin/sh', ['-c', othersScript, 'sh', `${place.tmpDir}/others.git`, place.buildDir], {
    cwd: place.buildDir,
    env: jobGitEnvironment(place),
    signal: context.control.all,
    collectBytes: 16 * 1024 * 1024,
  });
  return stdout.split('\0').filter((path) => path !== '');
}

/** A fresh folder of the runner's for this job; the caller removes it. */
export async function stagingDir(context: JobContext, name: string): Promise<string> {
  const folder = join(await privateDir(context.entry.buildsDir, 'staging'), `${context.job.id}-${context.cookie}-${name}`);
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { mode: 0o700 });
  return folder;
}

/**
 * Paths of `artifacts:` and `cache:` as the job wrote them, relative to its project: an absolute one counts where it lies in there.
 * Whatever points elsewhere is left out, and said (A39).
 */
export function withinBuild(paths: readonly string[], place: BuildPlace, say: (text: string) => void): readonly string[] {
  return paths.flatMap((path) => {
    const relative = path === place.seen.buildDir ? '.' : path.replace(`${place.seen.buildDir}/`, '');
    if (!relative.startsWith('/') && !relative.split('/').includes('..')) return [relative];
    say(`WARNING: ${path.replaceAll(/[\u0000-\u001f\u007f]/g, '?').slice(0, 200)} is outside of the project; it is left out`);
    return [];
  });
}
