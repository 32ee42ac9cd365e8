import { millis, type PipelineId } from '../base/ids.ts';
import type { Tx } from '../ports/tx.ts';
import type { JobsDeps } from './deps.ts';
import { hasEnded, nextMoves, pipelineStatus } from './state.ts';

/**
 * Moves what waits in a pipeline as far as it goes, and settles the pipeline's own status. In the transaction of the change that caused it;
 * the pipeline's row is locked, so its jobs move one change at a time.
 */
export async function advance(deps: Pick<JobsDeps, 'jobs' | 'clock'>, tx: Tx, id: PipelineId): Promise<void> {
  const { jobs, clock } = deps;
  const pipeline = await jobs.lockPipeline(tx, id);
  if (pipeline === undefined) return;
  for (;;) {
    const live = (await jobs.jobsOfPipeline(tx, id)).filter((job) => job.retriedById === null);
    const due = nextMoves(live);
    if (due.size === 0) {
      const status = pipelineStatus(live);
      const now = clock.now();
      const started = live.flatMap((job) => job.startedAt ?? []);
      const over =
        ['success', 'failed', 'canceled', 'skipped'].includes(status) &&
        live.every((job) => hasEnded(job.status) || job.status === 'manual');
      await jobs.changePipeline(tx, id, {
        status,
        updatedAt: now,
        startedAt: started.length === 0 ? null : millis(Math.min(...started)),
        finishedAt: over ? (pipeline.finishedAt ?? now) : null,
      });
      return;
    }
    for (const [job, to] of due) {
      await jobs.changeJob(
        tx,
        job.id,
        ['created'],
        to === 'pending' ? { status: to, queuedAt: clock.now() } : { status: to, ...(to === 'skipped' ? { finishedAt: clock.now() } : {}) },
      );
    }
  }
}
