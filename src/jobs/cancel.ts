import { lifeLimits } from '../pass/life.ts';
import type { JobId } from '../base/ids.ts';
import type { JobRecord } from '../ports/jobs.ts';
import type { Tx } from '../ports/tx.ts';
import type { JobsDeps } from './deps.ts';
import { hasEnded } from './state.ts';

type CancelDeps = Pick<JobsDeps, 'jobs' | 'runners' | 'revoker' | 'clock'>;

/**
 * Running → canceling, so that `after_script` runs, where a runner is there to do it; everything else ends at once.
 * @param force ends it at once in any case
 */
export async function cancelOne(deps: CancelDeps, tx: Tx, job: JobRecord, force: boolean): Promise<void> {
  const { jobs, clock } = deps;
  const now = clock.now();
  const heard = job.contactAt !== null && now - job.contactAt <= lifeLimits.silenceMs;
  if (job.status === 'canceling' && !force) return;
  if (job.status === 'running' && !force && heard && (await endsGracefully(deps, tx, job))) {
    await jobs.changeJob(tx, job.id, ['running'], { status: 'canceling', cancelingSince: now });
    return;
  }
  await jobs.changeJob(tx, job.id, [job.status], { status: 'canceled', finishedAt: now, failureReason: null });
  // A forced cancel kills the passes in the same commit (R2).
  await deps.revoker.revokeForJob(tx, job.id, 'the job was canceled');
}

/** @returns those that were not over yet: after the commit long polls and live streams hear of them */
export async function cancelAll(deps: CancelDeps, tx: Tx, jobs: readonly JobRecord[], force: boolean): Promise<readonly JobId[]> {
  const alive = jobs.filter(({ status }) => !hasEnded(status));
  for (const job of alive) await cancelOne(deps, tx, job, force);
  return alive.map(({ id }) => id);
}

/** After the commit: long polls hear of it, and what the passes of an ended job have in flight is cut. */
export async function canceled(deps: Pick<JobsDeps, 'jobs' | 'wakeup' | 'revoker'>, ids: readonly JobId[]): Promise<void> {
  if (ids.length === 0) return;
  deps.wakeup.changed();
  for (const id of ids) {
    const job = await deps.jobs.job(null, id);
    if (job === undefined || hasEnded(job.status)) deps.revoker.jobEnded(id);
  }
}

/** Whether the machine that runs it said that it goes on to `after_script` (`cancel_gracefully`); one that left hears nothing more. */
async function endsGracefully(deps: CancelDeps, tx: Tx, { managerId }: JobRecord): Promise<boolean> {
  if (managerId === null) return true;
  return (await deps.runners.manager(tx, managerId))?.features.includes('cancel_gracefully') ?? false;
}
