import { present } from '../../../base/assert.ts';
import { JobpassError } from '../../../base/errors.ts';
import { type Oid, parseOid } from '../../../base/ids.ts';
import type { GitRunner } from '../git/processes.ts';
import { type Scratch, withScratch, type WriteDeps } from '../repository/writes.ts';

/** @returns the tree that a merge of the two comes to, new objects in the scratch folder; undefined where they conflict */
export async function mergedTree(git: GitRunner, { repository, env }: Scratch, target: Oid, head: Oid): Promise<Oid | undefined> {
  const { code, output } = await git.run(repository, ['merge-tree', '--write-tree', '--no-messages', target, head], {
    env,
    codes: [0, 1],
    maxBytes: 32 * 1024 * 1024,
  });
  return code === 0 ? parseOid(output.toString('utf8').split('\n')[0] ?? '') : undefined;
}

export async function canMerge(deps: WriteDeps, repository: string, target: Oid, head: Oid): Promise<boolean> {
  return withScratch(deps, repository, async (scratch) => (await mergedTree(deps.git, scratch, target, head)) !== undefined);
}

export interface MergeOrder {
  readonly target: Oid;
  readonly head: Oid;
  readonly message: string;
  /** One new commit on the target, without the head as a parent. */
  readonly squash: boolean;
  readonly author: { readonly name: string; readonly email: string };
}

/** @returns the commit of the merge, still only in the scratch folder. @throws unprocessable where there are conflicts */
export async function buildMerge(git: GitRunner, scratch: Scratch, { target, head, message, squash, author }: MergeOrder): Promise<Oid> {
  const tree = await mergedTree(git, scratch, target, head);
  if (tree === undefined) throw new JobpassError('unprocessable', 'Branch cannot be merged: there are conflicts');
  const { name, email } = author;
  const people = { GIT_AUTHOR_NAME: name, GIT_AUTHOR_EMAIL: email, GIT_COMMITTER_NAME: name, GIT_COMMITTER_EMAIL: email };
  const args = ['commit-tree', tree, '-p', target, ...(squash ? [] : ['-p', head]), '-F', '-'];
  const { output } = await git.run(scratch.repository, args, { env: { ...scratch.env, ...people }, stdin: message });
  return present(parseOid(output.toString('utf8').trim()), 'the commit of the merge');
}
