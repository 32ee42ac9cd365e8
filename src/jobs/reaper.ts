import { type EpochMillis, millis } from '../base/ids.ts';
import type { JobRecord } from '../ports/jobs.ts';
import { advance } from './advance.ts';
import type { JobsDeps } from './deps.ts';
import { artifactKey, reportKey } from './keys.ts';
import { retryFailed } from './retry.ts';

/** A silent runner's job is given up after this; its pass was suspended long before (R2). */
const lostMs = 10 * 60_000;
const cancelingMs = 5 * 60_000;
/** What the runner needs beyond the job's timeout: `after_script`, uploads, the last report. */
const leewayMs = 10 * 60_000;
const everyMs = 15_000;
/** Archives and reports that one round removes. */
const removedAtOnce = 100;

type ReaperDeps = Pick<
  JobsDeps,
  'jobs' | 'commitStatuses' | 'resourceGroups' | 'transactor' | 'clock' | 'revoker' | 'log' | 'wakeup' | 'blobs'
>;

/** Ends jobs whose runner is lost, cancels that nobody finished, and jobs that go on past their timeout. */
export class Reaper {
  readonly #deps: ReaperDeps;
  readonly #since: EpochMillis;
  #timer: NodeJS.Timeout | undefined;
  #work: Promise<void> = Promise.resolve();

  constructor(deps: ReaperDeps) {
    this.#deps = deps;
    this.#since = deps.clock.now();
  }

  start(): void {
    this.#timer = setInterval(() => {
      this.#work = this.#work.then(() => this.sweep()).catch((error: unknown) => this.#deps.log.error('reaper.failed', {}, error));
    }, everyMs).unref();
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#work;
  }

  /** One round, by the injected clock. */
  async sweep(): Promise<void> {
    const { jobs, clock } = this.#deps;
    const now = clock.now();
    const times = [millis(now - lostMs), millis(now - cancelingMs), millis(now - leewayMs)] as const;
    for (const job of await jobs.staleJobs(null, ...times)) await this.#end(job, now);
    await this.#removeExpired(now);
  }

  /** What `expire_in` set an end to. The row first: it must not name what is gone. */
  async #removeExpired(now: EpochMillis): Promise<void> {
    const { jobs, transactor, blobs } = this.#deps;
    const { archives, reports } = await jobs.expired(null, now, removedAtOnce);
    for (const job of archives) {
      await transactor.write((tx) => jobs.forgetArchive(tx, job));
      await blobs.remove(artifactKey(job));
    }
    for (const { jobId, type } of reports) {
      await transactor.write((tx) => jobs.removeReport(tx, jobId, type));
      await blobs.remove(reportKey(jobId, type));
    }
  }

  async #end({ id, pipelineId }: JobRecord, now: EpochMillis): Promise<void> {
    const { jobs, transactor, revoker, log, wakeup } = this.#deps;
    const ended = await transactor.write(async (tx) => {
      await jobs.lockPipeline(tx, pipelineId);
      // Read again: the runner may have come back meanwhile.
      const job = await jobs.job(tx, id);
      const why = job === undefined ? undefined : this.#reason(job, now);
      if (job === undefined || why === undefined) return undefined;
      const changed = await jobs.changeJob(tx, id, [job.status], {
        status: job.status === 'canceling' ? 'canceled' : 'failed',
        finishedAt: now,
        failureReason: job.status === 'canceling' ? null : why,
      });
      if (!changed) return undefined;
      if (job.status === 'running') await retryFailed(this.#deps, tx, job, { reason: why, exitCode: null });
      await revoker.revokeForJob(tx, id, `the job was given up (${why})`);
      await advance(this.#deps, tx, pipelineId);
      return why;
    });
    if (ended === undefined) return;
    log.warn('job.reaped', { job: id, why: ended });
    revoker.jobEnded(id);
    wakeup.changed();
  }

  /** Why the job is to end, or undefined. While the server was down nobody could report: that time is not held against a runner. */
  #reason(job: JobRecord, now: EpochMillis): 'stuck_or_timeout_failure' | 'job_execution_timeout' | undefined {
    if (job.status !== 'running' && job.status !== 'canceling') return undefined;
    const heardAt = Math.max(job.contactAt ?? 0, this.#since);
    if (now - heardAt > lostMs) return 'stuck_or_timeout_failure';
    if (job.cancelingSince !== null && now - job.cancelingSince > cancelingMs) return 'stuck_or_timeout_failure';
    if (job.startedAt !== null && now - job.startedAt > job.timeoutSeconds * 1000 + leewayMs) return 'job_execution_timeout';
    return undefined;
  }
}
