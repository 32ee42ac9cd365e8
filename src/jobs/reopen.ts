import type { UserId } from '../base/ids.ts';
import { type Grant, verifyGrant } from '../pass/grant.ts';
import type { PlanJob } from '../pipeline/plan.ts';
import type { JobRecord, PipelineRecord } from '../ports/jobs.ts';
import type { Tx } from '../ports/tx.ts';
import { advance } from './advance.ts';
import type { JobsDeps } from './deps.ts';
import type { AskAbove } from './jobs.ts';
import { mayRunOn } from './ref-rights.ts';
import { hasEnded } from './state.ts';

/** Makes the job anew in place of the one that ended. */
export type Replace = (tx: Tx, job: JobRecord, userId: UserId, status: 'created' | 'pending') => Promise<JobRecord>;

/**
 * Jobs of a downstream pipeline run again: the bridge that waited for it runs again with it, and what was skipped behind the bridge gets another chance, up
 * to the top of the tree. Who retries lends the rights (A56), and so must be able to run jobs there as well; else the bridge stays as it ended (A6).
 * @param pipeline whose jobs run again
 * @param above asks for pipeline:update on another project
 * @see GitLab, `trigger:strategy`
 */
export async function reopenAbove(
  deps: JobsDeps,
  grant: Grant,
  pipeline: PipelineRecord['id'],
  actor: UserId,
  replace: Replace,
  above: AskAbove,
): Promise<void> {
  const { jobs, transactor } = deps;
  for (let below = await jobs.pipeline(null, pipeline); below !== undefined;) {
    const bridge = below.upstream === null ? undefined : await bridgeOver(deps, below);
    if (bridge === undefined || !waits(bridge) || !hasEnded(bridge.status)) return;
    const { id: downstreamId } = below;
    const here = bridge.projectId === below.projectId ? grant : await above(bridge.projectId);
    if (here === undefined) return;
    if (here !== grant) verifyGrant(here, 'pipeline:update', { kind: 'project', id: bridge.projectId });
    const open = await transactor.write(async (tx) => {
      await jobs.lockPipeline(tx, bridge.pipelineId);
      await here.confirm(tx);
      if (!(await mayRunOn(deps, tx, [actor], bridge.projectId, { name: bridge.ref, tag: bridge.tag }, true))) return false;
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
