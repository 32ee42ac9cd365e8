import type { EnvironmentId, UserId } from '../base/ids.ts';
import type { PlanJob } from '../pipeline/plan.ts';
import type { JobRecord } from '../ports/jobs.ts';
import type { MaybeTx, Tx } from '../ports/tx.ts';
import { newJobOf } from './actions.ts';
import { advance } from './advance.ts';
import type { JobsDeps } from './deps.ts';
import { hasEnded, readyStatus } from './state.ts';

/** A job that ends what was deployed, and who deployed it. */
export interface StopJob {
  readonly job: JobRecord;
  readonly deployedBy: UserId;
}

/**
 * What `environment:on_stop` names, of the pipeline that deployed to the environment last: jobs that wait to be played, or ran before.
 * @see GitLab, "Stop an environment"
 */
export async function stopJobsOf({ jobs, environments }: JobsDeps, tx: MaybeTx, id: EnvironmentId): Promise<readonly StopJob[]> {
  const last = await environments.lastDeployment(tx, id);
  if (last === undefined) return [];
  const all = (await jobs.jobsOfPipeline(tx, last.pipelineId)).filter(({ retriedById }) => retriedById === null);
  const found = new Map<JobRecord['id'], StopJob>();
  for (const { environmentId, environmentAction, plan, userId } of all) {
    if (environmentId !== id || environmentAction !== 'start') continue;
    const { job: planned }: { job: PlanJob } = JSON.parse(plan);
    const stop = all.find(({ name, environmentAction: action }) => name === planned.environment?.onStop && action === 'stop');
    // A bridge may be manual because its pipeline is: that one is under way.
    if (stop !== undefined && ((stop.status === 'manual' && stop.downstreamId === null) || hasEnded(stop.status)))
      found.set(stop.id, { job: stop, deployedBy: userId });
  }
  return [...found.values()];
}

/** Starts it in the name of somebody, whose rights it then has. With the pipeline's lock held. */
export async function playStop(deps: JobsDeps, tx: Tx, { job }: StopJob, by: UserId): Promise<void> {
  const { jobs, clock } = deps;
  const status = readyStatus(job);
  const queued = status === 'pending' ? { queuedAt: clock.now() } : {};
  if (job.status === 'manual') await jobs.changeJob(tx, job.id, ['manual'], { status, userId: by, ...queued });
  else {
    const [again] = await jobs.insertJobs(tx, [{ ...newJobOf(job), userId: by, status, createdAt: clock.now() }]);
    if (again !== undefined) await jobs.changeJob(tx, job.id, [job.status], { retriedById: again.id });
  }
  await advance(deps, tx, job.pipelineId);
}
