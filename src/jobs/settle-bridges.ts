import type { PlanJob, PlanTrigger } from '../pipeline/plan.ts';
import type { JobChange, JobRecord, PipelineRecord } from '../ports/jobs.ts';
import { advance } from './advance.ts';
import type { JobsDeps } from './deps.ts';

const atOnce = 100;

/** A bridge with a `strategy` ends as its downstream pipeline did. */
export async function settleBridges(deps: JobsDeps): Promise<void> {
  const settled = await deps.flow.settledBridges(null, atOnce);
  for (const { bridge, downstream } of settled) await end(deps, bridge, downstream);
  if (settled.length > 0) deps.wakeup.changed();
}

async function end(deps: JobsDeps, bridge: JobRecord, downstream: PipelineRecord | null): Promise<void> {
  const { jobs, transactor, clock } = deps;
  const { job: plan }: { job: PlanJob } = JSON.parse(bridge.plan);
  const change = { ...outcomeOf(plan.trigger?.strategy, downstream), finishedAt: clock.now() };
  await transactor.write(async (tx) => {
    await jobs.lockPipeline(tx, bridge.pipelineId);
    if (await jobs.changeJob(tx, bridge.id, ['running'], change)) await advance(deps, tx, bridge.pipelineId);
  });
}

/** @see GitLab, CI/CD YAML syntax reference: `trigger:strategy` */
function outcomeOf(strategy: PlanTrigger['strategy'], downstream: PipelineRecord | null): JobChange {
  const status = downstream?.status;
  if (status === 'success' || status === 'canceled') return { status };
  if (status === 'skipped' && strategy === 'mirror') return { status };
  const failureText =
    downstream === null ? 'Its downstream pipeline was deleted.' : `Its downstream pipeline ${downstream.id} ended ${downstream.status}.`;
  return { status: 'failed', failureReason: 'unknown_failure', failureText };
}
