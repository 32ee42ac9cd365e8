import type { JobRecord, JobStatus, PipelineStatus } from '../ports/jobs.ts';

/** Legal moves of a job; everything else is a bug or an attack. A bridge makes the same ones, with the server as its runner. */
export const moves: Readonly<Record<JobStatus, readonly JobStatus[]>> = {
  created: ['waiting_for_resource', 'pending', 'manual', 'scheduled', 'skipped', 'canceled'],
  scheduled: ['waiting_for_resource', 'pending', 'canceled'],
  waiting_for_resource: ['pending', 'canceled'],
  pending: ['running', 'canceled', 'failed'],
  // Between running and manual: a bridge whose downstream pipeline waits for somebody to play a job, or goes on.
  manual: ['waiting_for_resource', 'pending', 'running', 'canceled', 'skipped'],
  // Skipped: a bridge whose downstream pipeline was.
  running: ['success', 'failed', 'canceling', 'canceled', 'pending', 'manual', 'skipped'],
  canceling: ['canceled'],
  success: [],
  failed: [],
  canceled: [],
  skipped: [],
};

/** States from which a job may go to `to`. */
export function fromStates(to: JobStatus): readonly JobStatus[] {
  return (Object.keys(moves) as JobStatus[]).filter((from) => moves[from].includes(to));
}

export function hasEnded(status: JobStatus): boolean {
  return moves[status].length === 0;
}

/** Where a job goes that has nothing to wait for but its turn. */
export function readyStatus(job: Pick<JobRecord, 'resourceGroup'>): 'pending' | 'waiting_for_resource' {
  return job.resourceGroup === null ? 'pending' : 'waiting_for_resource';
}

type Outcome = 'waiting' | 'good' | 'bad' | 'skipped';

/** How an earlier job counts for those behind it. */
function outcomeOf(job: JobRecord): Outcome {
  if (job.status === 'success') return 'good';
  if (job.status === 'failed') return job.allowFailure ? 'good' : 'bad';
  if (job.status === 'canceled') return job.allowFailure ? 'good' : 'bad';
  if (job.status === 'skipped') return 'skipped';
  // A manual job that may fail holds nobody up.
  if (job.status === 'manual') return job.allowFailure ? 'good' : 'waiting';
  return 'waiting';
}

type Move = 'waiting_for_resource' | 'pending' | 'manual' | 'scheduled' | 'skipped';

/**
 * What becomes of the jobs that wait, now: stage order, or `needs`. Pure.
 * @param jobs of one pipeline, without replaced ones
 */
export function nextMoves(jobs: readonly JobRecord[]): ReadonlyMap<JobRecord, Move> {
  const result = new Map<JobRecord, Move>();
  for (const job of jobs) {
    if (job.status !== 'created') continue;
    const before =
      job.needs === null
        ? jobs.filter((other) => other.stageIndex < job.stageIndex)
        : job.needs.flatMap((need) => jobs.find((other) => other.name === need.job) ?? []);
    const outcomes = before.map(outcomeOf);
    if (outcomes.includes('waiting')) continue;
    const failed = outcomes.includes('bad');
    const skipped =
      job.needs === null ? outcomes.length > 0 && outcomes.every((outcome) => outcome === 'skipped') : outcomes.includes('skipped');
    const ready = readyStatus(job);
    if (job.when === 'always') result.set(job, ready);
    else if (job.when === 'on_failure') result.set(job, failed ? ready : 'skipped');
    else if (failed || skipped) result.set(job, 'skipped');
    else result.set(job, job.when === 'manual' ? 'manual' : job.when === 'delayed' ? 'scheduled' : ready);
  }
  return result;
}

/** What counts for a pipeline's status: its jobs, and what other services said. */
export type Counted = Pick<JobRecord, 'status' | 'allowFailure' | 'startedAt'>;

/** A pipeline's status from what counts, without what was replaced. */
export function pipelineStatus(jobs: readonly Counted[]): PipelineStatus {
  const has = (status: JobStatus, counts: (job: Counted) => boolean = () => true): boolean =>
    jobs.some((job) => job.status === status && counts(job));
  if (jobs.length === 0) return 'skipped';
  if (has('canceling')) return 'canceling';
  if (has('running')) return 'running';
  if (has('pending')) return jobs.some((job) => job.startedAt !== null) ? 'running' : 'pending';
  const blocking = has('manual', (job) => !job.allowFailure);
  if (has('waiting_for_resource')) return jobs.some((job) => job.startedAt !== null) ? 'running' : 'waiting_for_resource';
  if (has('scheduled')) return blocking ? 'manual' : 'scheduled';
  if (has('created') && !blocking) return jobs.some((job) => job.startedAt !== null) ? 'running' : 'created';
  if (has('failed', (job) => !job.allowFailure)) return 'failed';
  if (has('canceled', (job) => !job.allowFailure)) return 'canceled';
  if (blocking) return 'manual';
  return jobs.every((job) => job.status === 'skipped') ? 'skipped' : 'success';
}
