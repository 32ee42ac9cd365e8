import type { EnvironmentId, EpochMillis, ProjectId } from '../base/ids.ts';
import { tierOf } from '../pipeline/environment-tier.ts';
import type { PlanJob } from '../pipeline/plan.ts';
import type { Tx } from '../ports/tx.ts';
import type { JobsDeps } from './deps.ts';
import { environmentSlug } from './environment-slug.ts';

/** The environments that the jobs name; made where they are new. */
export async function environmentsFor(
  deps: Pick<JobsDeps, 'environments'>,
  tx: Tx,
  projectId: ProjectId,
  jobs: readonly PlanJob[],
  createdAt: EpochMillis,
): Promise<ReadonlyMap<string, EnvironmentId>> {
  const found = new Map<string, EnvironmentId>();
  for (const { environment } of jobs) {
    if (environment === undefined || (found.has(environment.name) && environment.tier === undefined)) continue;
    const { name, tier } = environment;
    const place = { projectId, name, slug: environmentSlug(name), tier: tier ?? tierOf(name), createdAt };
    found.set(name, await deps.environments.ensure(tx, place, tier !== undefined));
  }
  return found;
}
