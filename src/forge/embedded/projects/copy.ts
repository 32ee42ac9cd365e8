import { JobpassError } from '../../../base/errors.ts';
import { limits } from '../../../base/limits.ts';
import type { GitRunner } from '../git/processes.ts';

/** @throws too_large for a repository that is larger than the largest push */
export async function checkSize(git: GitRunner, repository: string): Promise<void> {
  const { output } = await git.run(repository, ['count-objects', '-v']);
  const kibibytes = [...output.toString('utf8').matchAll(/^(?:size|size-pack): (\d+)$/gm)].reduce((sum, [, size]) => sum + Number(size), 0);
  if (kibibytes * 1024 > limits.packBytes)
    throw new JobpassError('too_large', `The repository is larger than ${limits.packBytes} bytes: it is too large for a copy.`);
}

/** Branches and tags with what they hold, checked like a push. Nothing was pushed, so git's hooks, which decide pushes, are not asked. */
export async function copyRefs(git: GitRunner, from: string, to: string): Promise<void> {
  const refs = ['+refs/heads/*:refs/heads/*', '+refs/tags/*:refs/tags/*'];
  await git.run(to, ['-c', 'core.hooksPath=/dev/null', 'fetch', '--quiet', '--no-tags', '--no-write-fetch-head', from, ...refs]);
}
