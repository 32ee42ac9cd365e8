import type { ResourceGroup } from '../ports/jobs.ts';
import { advance } from './advance.ts';
import type { JobsDeps } from './deps.ts';

const atOnce = 100;

/**
 * Gives each free resource group to a job that waits for it. What a job holds is freed by `advance`, with the job's end; here one group and one
 * pipeline are locked at a time, in that job's own transaction, so that nobody waits in a circle.
 */
export async function assignResources(deps: JobsDeps): Promise<void> {
  let given = 0;
  for (const group of await deps.resourceGroups.free(null, atOnce)) if (await assign(deps, group)) given += 1;
  if (given > 0) deps.wakeup.changed();
}

async function assign(deps: JobsDeps, group: ResourceGroup): Promise<boolean> {
  const { jobs, resourceGroups, transactor, clock } = deps;
  const [next] = await resourceGroups.upcoming(null, group, 1);
  // By age the next one may not be ready: then the others wait for it as well (GitLab: oldest_first, newest_first).
  if (next === undefined || next.status !== 'waiting_for_resource') return false;
  return transactor.write(async (tx) => {
    await jobs.lockPipeline(tx, next.pipelineId);
    const job = await jobs.job(tx, next.id);
    if (job?.status !== 'waiting_for_resource' || !(await resourceGroups.take(tx, group.id, job.id))) return false;
    await jobs.changeJob(tx, job.id, ['waiting_for_resource'], { status: 'pending', queuedAt: clock.now() });
    await advance(deps, tx, job.pipelineId);
    return true;
  });
}
