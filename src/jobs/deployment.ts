import { type EpochMillis, millis } from '../base/ids.ts';
import { parseDuration } from '../pipeline/duration.ts';
import type { PlanJob } from '../pipeline/plan.ts';
import type { JobRecord } from '../ports/jobs.ts';
import type { Tx } from '../ports/tx.ts';
import type { JobsDeps } from './deps.ts';

/**
 * What a job that succeeded makes of its environment: something is deployed there, or nothing any more. In the transaction of the job's end.
 * @param url where people find it; null = where they did before
 * @see GitLab, CI/CD YAML syntax reference: `environment:action`
 */
export async function deployed(
  { environments }: Pick<JobsDeps, 'environments'>,
  tx: Tx,
  { environmentId, environmentAction, plan }: Pick<JobRecord, 'environmentId' | 'environmentAction' | 'plan'>,
  url: string | null,
  now: EpochMillis,
): Promise<void> {
  if (environmentId === null) return;
  const { job: planned }: { job: PlanJob } = JSON.parse(plan);
  const autoStopAt = stopTime(planned, now);
  switch (environmentAction) {
    case 'stop':
      return environments.change(tx, environmentId, { state: 'stopped', autoStopAt: null, updatedAt: now });
    case 'start': {
      const shown = url === null ? {} : { externalUrl: url };
      return environments.change(tx, environmentId, { state: 'available', updatedAt: now, ...shown, ...autoStopAt });
    }
    // What gets an environment ready, or uses it, makes it last (GitLab).
    case 'prepare':
    case 'access':
      return environments.change(tx, environmentId, { ...autoStopAt, updatedAt: now });
    default:
  }
}

/** When what the job deployed to is to be stopped; nothing = as before. */
function stopTime({ environment }: PlanJob, now: EpochMillis): { readonly autoStopAt?: EpochMillis | null } {
  if (environment?.autoStopIn === undefined) return {};
  const seconds = parseDuration(environment.autoStopIn);
  return { autoStopAt: seconds === undefined ? null : millis(now + seconds * 1000) };
}
