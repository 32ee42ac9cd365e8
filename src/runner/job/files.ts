import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { BuildPlace } from '../executors/executor.ts';
import { jobGitEnvironment } from '../git/checkout.ts';
import { privateDir } from '../places.ts';
import { runAs } from '../run-as.ts';
import type { JobContext } from './context.ts';

/** Files of the work tree that git does not know, ignored ones too; asked as the job's user. */
export async function untrackedFiles(context: JobContext): Promise<readonly string[]> {
  const { place } = context.workspace;
  const { stdout } = await runAs(place, 'git', ['ls-files', '--others', '-z'], {
    cwd: place.buildDir,
    env: jobGitEnvironment(place),
    collectBytes: 16 * 1024 * 1024,
  });
  return stdout.split('\0').filter((path) => path !== '');
}

/** A fresh folder of the runner's for this job; the caller removes it. */
export async function stagingDir(context: JobContext, name: string): Promise<string> {
  const folder = join(await privateDir(context.entry.buildsDir, 'staging'), `${context.job.id}-${context.slot}-${name}`);
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
