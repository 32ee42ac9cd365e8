import type { PlanJob } from '../pipeline/plan.ts';
import type { JobRecord } from '../ports/jobs.ts';
import type { JobsDeps } from './deps.ts';
import { hasEnded } from './state.ts';

/**
 * Jobs whose artifacts this one fetches: those that have ended by now, so that whoever stands behind them is known when its passes are
 * made (R3), and nothing can be slipped in later.
 */
export async function dependenciesOf(deps: Pick<JobsDeps, 'jobs' | 'clock'>, job: JobRecord, plan: PlanJob): Promise<readonly JobRecord[]> {
  const now = deps.clock.now();
  const others = (await deps.jobs.jobsOfPipeline(null, job.pipelineId)).filter(
    (other) =>
      other.retriedById === null &&
      (other.artifactsFile !== null || other.dotenv !== null) &&
      hasEnded(other.status) &&
      (other.artifactsExpireAt === null || now < other.artifactsExpireAt),
  );
  if (plan.dependencies !== undefined) return others.filter((other) => plan.dependencies?.includes(other.name) === true);
  if (plan.needs !== undefined)
    return others.filter((other) => plan.needs?.some((need) => need.job === other.name && need.artifacts) === true);
  return others.filter((other) => other.stageIndex < job.stageIndex);
}
