import type { RepositoryForge } from '../../repository.ts';
import { comparisons } from './compare.ts';
import { contentReads, type ReadDeps } from './content.ts';
import { commitWrites, refWrites } from './edits.ts';
import { pathReads } from './paths.ts';
import { refLists, refReads } from './refs.ts';
import type { WriteDeps } from './writes.ts';

export interface RepositoryDeps extends ReadDeps, WriteDeps {}

/** Reads and writes of a repository over the API, by git's plumbing. */
export function makeRepositoryForge(deps: RepositoryDeps): RepositoryForge {
  const refs = refReads(deps);
  return {
    ...contentReads(deps),
    ...pathReads(deps),
    ...comparisons(deps),
    ...refLists(deps, refs),
    ...refWrites(deps, refs),
    ...commitWrites(deps),
  };
}
