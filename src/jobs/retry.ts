import type { PlanJob } from '../pipeline/plan.ts';
import type { JobRecord } from '../ports/jobs.ts';
import type { Tx } from '../ports/tx.ts';
import { newJobOf } from './actions.ts';
import type { JobsDeps } from './deps.ts';
import { readyStatus } from './state.ts';

/**
 * Puts a new job in place of one that has just failed, where its `retry:` says so; in the transaction of the failure, before the pipeline
 * moves on. Who started it stays who started it.
 * @returns whether there is a new one
 */
export async function retryFailed(
  { jobs, clock }: Pick<JobsDeps, 'jobs' | 'clock'>,
  tx: Tx,
  job: JobRecord,
  failure: { readonly reason: NonNullable<JobRecord['failureReason']>; readonly exitCode: number | null },
): Promise<boolean> {
  const { job: planned }: { job: PlanJob } = JSON.parse(job.plan);
  if (!wanted(planned, failure)) return false;
  const before = (await jobs.jobsOfPipeline(tx, job.pipelineId)).filter((other) => other.name === job.name && other.retriedById !== null);
  if (before.length >= (planned.retry?.max ?? 0)) return false;
  const [made] = await jobs.insertJobs(tx, [{ ...newJobOf(job), userId: job.userId, status: readyStatus(job), createdAt: clock.now() }]);
  return made !== undefined && jobs.changeJob(tx, job.id, ['failed'], { retriedById: made.id });
}

function wanted(
  { retry }: PlanJob,
  { reason, exitCode }: { readonly reason: NonNullable<JobRecord['failureReason']>; readonly exitCode: number | null },
): boolean {
  if (retry === undefined) return false;
  if (retry.when.includes('always') || retry.when.includes(reason)) return true;
  return exitCode !== null && (retry.exitCodes?.includes(exitCode) ?? false);
}
