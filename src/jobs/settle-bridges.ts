import { isJobpassError } from '../base/errors.ts';
import type { PlanJob } from '../pipeline/plan.ts';
import type { JobChange, JobRecord, PipelineRecord } from '../ports/jobs.ts';
import { advance } from './advance.ts';
import { dependenciesOf } from './dependencies.ts';
import { deployed } from './deployment.ts';
import type { JobsDeps } from './deps.ts';
import { dotenvVariables } from './dotenv.ts';
import { deployedUrl, noAddress } from './job-values.ts';
import { mayStillWatch } from './subscribe.ts';

const atOnce = 100;

/** A bridge with a `strategy` ends as its downstream pipeline did. */
export async function settleBridges(deps: JobsDeps): Promise<void> {
  const settled = await deps.flow.settledBridges(null, atOnce);
  for (const { bridge, downstream } of settled) {
    try {
      await end(deps, bridge, downstream);
    } catch (error) {
      if (isJobpassError(error, 'store_unavailable') || isJobpassError(error, 'audit_unavailable')) throw error;
      // A repository that cannot be read is one project's; the bridges of the others do not wait for it.
      deps.log.error('bridge.not_settled', { job: bridge.id }, error);
    }
  }
  if (settled.length > 0) deps.wakeup.changed();
}

async function end(deps: JobsDeps, bridge: JobRecord, downstream: PipelineRecord | null): Promise<void> {
  const { jobs, transactor, clock } = deps;
  const { job: plan }: { job: PlanJob } = JSON.parse(bridge.plan);
  const now = clock.now();
  const watched = plan.upstreamProject === undefined || downstream === null || (await mayStillWatch(deps, bridge, downstream));
  const change = { ...outcomeOf(plan, watched ? downstream : null), finishedAt: now };
  const url = change.status === 'success' ? await addressOf(deps, bridge, plan).catch(noAddress(deps, bridge)) : null;
  await transactor.write(async (tx) => {
    await jobs.lockPipeline(tx, bridge.pipelineId);
    if (!(await jobs.changeJob(tx, bridge.id, ['running'], change))) return;
    if (change.status === 'success') await deployed(deps, tx, bridge, url, now);
    await advance(deps, tx, bridge.pipelineId);
  });
}

/** Where people find what the downstream pipeline deployed; reads git where the bridge says so, and so stands before the transaction. */
async function addressOf(deps: JobsDeps, bridge: JobRecord, plan: PlanJob): Promise<string | null> {
  if (plan.environment?.url === undefined) return null;
  const reported = dotenvVariables(await dependenciesOf(deps, bridge, plan)).map(([key, value]) => ({ key, value }));
  return deployedUrl(deps, bridge, reported);
}

/** @see GitLab, CI/CD YAML syntax reference: `trigger:strategy` */
function outcomeOf({ trigger, upstreamProject }: PlanJob, other: PipelineRecord | null): JobChange {
  const status = other?.status;
  if (status === 'success' || status === 'canceled') return { status };
  if (status === 'skipped' && (trigger?.strategy === 'mirror' || upstreamProject !== undefined)) return { status };
  const whose = upstreamProject === undefined ? 'Its downstream pipeline' : 'The pipeline that it mirrors';
  const gone = upstreamProject === undefined ? 'was deleted' : 'is gone, or not everybody behind the job may see it any more';
  const failureText = other === null ? `${whose} ${gone}.` : `${whose} ${other.id} ended ${other.status}.`;
  return { status: 'failed', failureReason: 'unknown_failure', failureText };
}
