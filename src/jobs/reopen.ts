import type { UserId } from '../base/ids.ts';
import type { Grant } from '../pass/grant.ts';
import type { PlanJob } from '../pipeline/plan.ts';
import type { JobRecord, PipelineRecord } from '../ports/jobs.ts';
import type { Tx } from '../ports/tx.ts';
import { advance } from './advance.ts';
import type { JobsDeps } from './deps.ts';
import { hasEnded } from './state.ts';

/** Makes the job anew in place of the one that ended. */
export type Replace = (tx: Tx, job: JobRecord, userId: UserId, status: 'created' | 'pending') => Promise<JobRecord>;

/**
 * Jobs of a child pipeline run again: the bridge that waited for it runs again with it, and what was skipped behind the bridge gets another chance, up to the
 * top of the tree. A child runs on its parent's ref, so who may retry the one may the other, and lends the rights (A56). A bridge of another project stays as it ended: this grant says nothing about that project.
 * @param pipeline whose jobs run again
 * @see GitLab, `trigger:strategy`
 */
export async function reopenAbove(
  deps: JobsDeps,
  grant: Grant,
  pipeline: PipelineRecord['id'],
  actor: UserId,
  replace: Replace,
): Promise<void> {
  const { jobs, transactor } = deps;
  for (let below = await jobs.pipeline(null, pipeline); below !== undefined && below.source === 'parent_pipeline';) {
    const bridge = below.upstream === null ? undefined : await bridgeOver(deps, below);
    if (bridge === undefined || !waits(bridge) || !hasEnded(bridge.status)) return;
    const { id: downstreamId } = below;
    const open = await transactor.write(async (tx) => {
      await jobs.lockPipeline(tx, bridge.pipelineId);
      await grant.confirm(tx);
      const current = await jobs.job(tx, bridge.id);
      if (current === undefined || current.retriedById !== null || !hasEnded(current.status)) return false;
      const skipped = (await jobs.jobsOfPipeline(tx, bridge.pipelineId)).filter(
        (job) => job.retriedById === null && job.status === 'skipped',
      );
      const made = await replace(tx, current, actor, 'pending');
      await jobs.changeJob(tx, made.id, ['pending'], { status: 'running', startedAt: deps.clock.now(), downstreamId });
      for (const job of skipped) await replace(tx, job, actor, 'created');
      await advance(deps, tx, bridge.pipelineId);
      return true;
    });
    if (!open) return;
    below = await jobs.pipeline(null, bridge.pipelineId);
  }
}

/** The bridge that stands for the pipeline now: the one that triggered it, or what a retry made of that. */
async function bridgeOver({ jobs }: JobsDeps, { id, upstream }: PipelineRecord): Promise<JobRecord | undefined> {
  const first = upstream === null ? undefined : await jobs.job(null, upstream.jobId);
  if (first === undefined) return undefined;
  return (await jobs.jobsOfPipeline(null, first.pipelineId)).find(
    (job) => job.kind === 'bridge' && job.downstreamId === id && job.retriedById === null,
  );
}

function waits({ plan }: JobRecord): boolean {
  const { job }: { job: PlanJob } = JSON.parse(plan);
  return job.trigger?.strategy !== undefined;
}
