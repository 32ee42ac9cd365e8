import type { EnvironmentRecord } from '../ports/environments.ts';
import type { JobsDeps } from './deps.ts';
import { mayRunOn } from './ref-rights.ts';
import { playStop, stopJobsOf } from './stop-environment.ts';

const atOnce = 50;

/**
 * Stops environments whose time is over (`environment:auto_stop_in`): with the jobs that `on_stop` names, in the name of who deployed, as far as
 * that one may still run them (A7); else it only says that they are stopped, as GitLab does.
 */
export async function stopOverdue(deps: JobsDeps): Promise<void> {
  const overdue = await deps.environments.overdue(null, deps.clock.now(), atOnce);
  for (const one of overdue) await stop(deps, one);
  if (overdue.length > 0) deps.wakeup.changed();
}

async function stop(deps: JobsDeps, { id, projectId }: EnvironmentRecord): Promise<void> {
  const { environments, jobs, transactor, clock, log } = deps;
  const found = await stopJobsOf(deps, null, id);
  await transactor.write(async (tx) => {
    const [first] = found;
    if (first !== undefined) await jobs.lockPipeline(tx, first.job.pipelineId);
    const current = await environments.byId(tx, projectId, id);
    // Another node was faster, or it was deployed to again.
    if (current === undefined || current.autoStopAt === null || current.autoStopAt > clock.now()) return;
    const stops = await stopJobsOf(deps, tx, id);
    let started = 0;
    for (const one of stops) {
      const { ref, tag } = one.job;
      if (await mayRunOn(deps, tx, [one.deployedBy], projectId, { name: ref, tag }, true)) {
        await playStop(deps, tx, one, one.deployedBy);
        started += 1;
      } else log.warn('environment.not_stopped', { environment: id, job: one.job.id });
    }
    const state = started > 0 ? 'stopping' : stops.length > 0 ? current.state : 'stopped';
    await environments.change(tx, id, { state, autoStopAt: null, updatedAt: clock.now() });
  });
}
