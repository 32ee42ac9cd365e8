import { type EpochMillis, millis, type PipelineId } from '../base/ids.ts';
import type { PlanJob } from '../pipeline/plan.ts';
import type { JobChange, JobRecord, JobStatus } from '../ports/jobs.ts';
import type { Tx } from '../ports/tx.ts';
import type { JobsDeps } from './deps.ts';
import { type Counted, hasEnded, nextMoves, pipelineStatus } from './state.ts';

type AdvanceDeps = Pick<JobsDeps, 'jobs' | 'commitStatuses' | 'clock' | 'resourceGroups'>;

/**
 * Moves what waits in a pipeline as far as it goes, and settles the pipeline's own status. In the transaction of the change that caused it;
 * the pipeline's row is locked, so its jobs move one change at a time.
 */
export async function advance(deps: AdvanceDeps, tx: Tx, id: PipelineId): Promise<void> {
  const { jobs, commitStatuses, clock, resourceGroups } = deps;
  const pipeline = await jobs.lockPipeline(tx, id);
  // One that failed on its file has no jobs, and stays as it is.
  if (pipeline === undefined || pipeline.yamlErrors !== null) return;
  for (let first = true; ; first = false) {
    const all = await jobs.jobsOfPipeline(tx, id);
    // With the end of a job, in one commit: else a crash would leave the group taken for ever.
    if (first && all.some((job) => job.resourceGroup !== null && hasEnded(job.status))) await resourceGroups.release(tx, id);
    const live = all.filter((job) => job.retriedById === null);
    const due = nextMoves(live);
    if (due.size === 0) {
      const said = (await commitStatuses.ofPipeline(tx, id)).map(({ state, startedAt }) => ({
        status: state,
        startedAt,
        allowFailure: false,
      }));
      const counted: readonly Counted[] = [...live, ...said];
      const status = pipelineStatus(counted);
      const now = clock.now();
      const started = counted.flatMap(({ startedAt }) => startedAt ?? []);
      const over =
        ['success', 'failed', 'canceled', 'skipped'].includes(status) &&
        counted.every((one) => hasEnded(one.status) || one.status === 'manual');
      await jobs.changePipeline(tx, id, {
        status,
        updatedAt: now,
        startedAt: started.length === 0 ? null : millis(Math.min(...started)),
        finishedAt: over ? (pipeline.finishedAt ?? now) : null,
      });
      return;
    }
    for (const [job, to] of due) await jobs.changeJob(tx, job.id, ['created'], changeFor(job, to, clock.now()));
  }
}

function changeFor(job: JobRecord, status: JobStatus, now: EpochMillis): JobChange {
  switch (status) {
    case 'pending':
      return { status, queuedAt: now };
    case 'skipped':
      return { status, finishedAt: now };
    case 'scheduled': {
      const { job: planned }: { job: PlanJob } = JSON.parse(job.plan);
      return { status, scheduledAt: millis(now + (planned.startInSeconds ?? 0) * 1000) };
    }
    default:
      return { status };
  }
}
