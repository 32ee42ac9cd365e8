import type { CiCache, CiJob } from './ci-file.ts';
import type { CiError, PlanCache } from './plan.ts';
import type { Expander } from './variables.ts';

/** What a job does with a cache. */
export const cachePolicies: readonly PlanCache['policy'][] = ['pull-push', 'pull', 'push'];

/**
 * The caches of a job with the variables of their policies put in.
 * @returns a mistake where one comes to no policy: nobody knows whether the job would write
 * @see GitLab, CI/CD YAML syntax reference: `cache:policy`
 */
export function cachesOf(
  caches: readonly CiCache[],
  { name, place }: CiJob,
  variables: Expander,
): readonly PlanCache[] | { readonly error: CiError } {
  const found: PlanCache[] = [];
  for (const cache of caches) {
    const policy = cachePolicies.find((one) => one === variables.text(cache.policy));
    if (policy === undefined)
      return { error: { ...place, message: `job \`${name}\`: cache: \`policy\` must come to one of ${cachePolicies.join(', ')}` } };
    found.push({ ...cache, policy });
  }
  return found;
}
