import { hash } from 'node:crypto';
import type { Oid, ProjectId } from '../base/ids.ts';
import type { Grant } from '../pass/grant.ts';
import type { PlanCache } from '../pipeline/plan.ts';
import type { JobCache } from '../wire/runner.ts';
import type { JobsDeps } from './deps.ts';

/** A cache with its key as the runner gets it, but for who shares it. */
export type KeyedCache = Omit<PlanCache, 'key'> & { readonly key: string };

/**
 * Keys that stand for files: of their contents, or of the last commits that changed them; `default` where none of the files is there.
 * @see GitLab, CI/CD YAML syntax reference: `cache:key:files`, `cache:key:files_commits`
 */
export async function keyedCaches(
  { repository }: Pick<JobsDeps['forge'], 'repository'>,
  grant: Grant,
  project: ProjectId,
  sha: Oid,
  caches: readonly PlanCache[],
): Promise<readonly KeyedCache[]> {
  const keyOf = async (key: PlanCache['key']): Promise<string> => {
    if (typeof key === 'string') return key;
    const versions = await Promise.all(key.files.map((path) => repository.fileVersion(grant, project, sha, path)));
    const ids = versions.flatMap((version) => (version === undefined ? [] : [key.by === 'files' ? version.blobId : version.lastCommitId]));
    const digest = ids.length === 0 ? 'default' : hash('sha1', [...new Set(ids)].toSorted().join('-'), 'hex');
    return key.prefix === '' ? digest : `${key.prefix}-${digest}`;
  };
  return Promise.all(caches.map(async (cache) => ({ ...cache, key: await keyOf(cache.key) })));
}

/** As the runner gets them. @param inputs what jobs that share a cache have in common (R15) */
export function sentCaches(caches: readonly KeyedCache[], inputs: string): readonly JobCache[] {
  return caches.map(({ key, untracked, policy, paths, when, fallbackKeys }) => ({
    key: `${key}-${inputs}`,
    untracked,
    policy,
    paths,
    when,
    fallback_keys: fallbackKeys.map((fallback) => `${fallback}-${inputs}`),
  }));
}
