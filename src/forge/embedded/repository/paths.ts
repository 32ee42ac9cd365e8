import { isJobpassError, JobpassError } from '../../../base/errors.ts';
import { type Oid, parseOid } from '../../../base/ids.ts';
import type { RepositoryForge } from '../../repository.ts';
import type { GitRunner } from '../git/processes.ts';
import type { ReadDeps } from './content.ts';
import { requireAny } from './grants.ts';
import { parseEntries } from './reads.ts';

/** A listing that is longer than this has more than any limit's worth of paths. */
const maxBytes = 32 * 1024 * 1024;

/** Which files a commit has, and which differ between two: what rules of a pipeline look at. */
export function pathReads({ git, repositories }: ReadDeps): Pick<RepositoryForge, 'paths' | 'changedPaths'> {
  return {
    async paths(grant, project, sha, limit) {
      requireAny(grant, project, ['repository:read']);
      const listed = await list(git, await repositories.existing(project), ['ls-tree', '-r', '-z', '--full-tree', sha]);
      if (listed === 'absent') throw new JobpassError('not_found', { what: 'Tree' });
      if (listed === null) return null;
      const paths = parseEntries(listed).flatMap(({ type, path }) => (type === 'blob' ? [path] : []));
      return paths.length > limit ? null : paths;
    },
    async changedPaths(grant, project, { from, to, sinceFork }, limit) {
      requireAny(grant, project, ['repository:read']);
      const repository = await repositories.existing(project);
      const base = sinceFork ? await mergeBase(git, repository, from, to) : from;
      if (base === undefined) return 'unrelated';
      const listed = await list(git, repository, ['diff-tree', '-r', '-z', '--name-only', '--no-renames', base, to]);
      if (listed === 'absent') return 'unrelated';
      if (listed === null) return null;
      const paths = listed
        .toString('utf8')
        .split('\0')
        .filter((path) => path !== '');
      return paths.length > limit ? null : paths;
    },
  };
}

async function list(git: GitRunner, repository: string, args: readonly string[]): Promise<Buffer | 'absent' | null> {
  try {
    const { code, output } = await git.known(repository, args, { codes: [0, 128], maxBytes });
    return code === 0 ? output : 'absent';
  } catch (error) {
    if (isJobpassError(error, 'too_large')) return null;
    throw error;
  }
}

async function mergeBase(git: GitRunner, repository: string, one: Oid, other: Oid): Promise<Oid | undefined> {
  // 1: they have none in common; 128: one of them is not there.
  const { output } = await git.known(repository, ['merge-base', one, other], { codes: [0, 1, 128] });
  return parseOid(output.toString('utf8').trim());
}
