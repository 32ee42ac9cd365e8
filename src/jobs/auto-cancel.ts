import type { PlanJob } from '../pipeline/plan.ts';
import type { JobRecord, PipelineRecord } from '../ports/jobs.ts';
import { advance } from './advance.ts';
import { cancelAll, canceled } from './cancel.ts';
import type { JobsDeps } from './deps.ts';

/**
 * Ends what a newer commit on the same ref makes redundant, one pipeline a transaction: the newer one exists by then, and a crash in between
 * costs no more than jobs that nobody needs.
 * @see GitLab, "Auto-cancel redundant pipelines", `workflow:auto_cancel:on_new_commit`, `interruptible`
 */
export async function cancelRedundant(deps: JobsDeps, newest: PipelineRecord): Promise<void> {
  if (newest.upstream !== null || newest.source === 'schedule' || newest.yamlErrors !== null) return;
  for (const older of await deps.flow.redundant(null, newest)) await interrupt(deps, older);
}

async function interrupt(deps: JobsDeps, { id, autoCancel }: PipelineRecord): Promise<void> {
  const ended = await deps.transactor.write(async (tx) => {
    await deps.jobs.lockPipeline(tx, id);
    const all = await deps.jobs.jobsOfPipeline(tx, id);
    const targets = interrupted(autoCancel.onNewCommit, all);
    const ids = await cancelAll(deps, tx, targets, false);
    // What other services said is no job that could be interrupted alone: it goes with the whole pipeline.
    const whole = autoCancel.onNewCommit === 'conservative' && targets.length === all.filter((job) => job.retriedById === null).length;
    const said = whole ? await deps.commitStatuses.cancelOpen(tx, id, deps.clock.now()) : 0;
    if (ids.length + said > 0) await advance(deps, tx, id);
    return ids;
  });
  if (ended.length > 0) deps.log.info('pipeline.redundant', { pipeline: id, jobs: ended.length });
  await canceled(deps, ended);
  for (const child of await childrenOf(deps, id)) await interrupt(deps, child);
}

/** The jobs to end. Pure. @param jobs of the pipeline, replaced ones too: what they did before counts */
export function interrupted(mode: PipelineRecord['autoCancel']['onNewCommit'], jobs: readonly JobRecord[]): readonly JobRecord[] {
  const live = jobs.filter((job) => job.retriedById === null);
  switch (mode) {
    case 'none':
      return [];
    case 'interruptible':
      return live.filter(mayBeInterrupted);
    case 'conservative':
      return jobs.some((job) => job.startedAt !== null && !mayBeInterrupted(job)) ? [] : live;
  }
}

function mayBeInterrupted({ plan }: JobRecord): boolean {
  const { job }: { job: PlanJob } = JSON.parse(plan);
  return job.interruptible === true;
}

/** Child pipelines: those of the same project that its jobs triggered. */
export async function childrenOf(deps: Pick<JobsDeps, 'flow'>, id: PipelineRecord['id']): Promise<readonly PipelineRecord[]> {
  return (await deps.flow.downstreamOf(null, id)).filter(({ source }) => source === 'parent_pipeline');
}
