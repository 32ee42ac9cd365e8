import { millis } from '../base/ids.ts';
import { advance } from './advance.ts';
import type { JobsDeps } from './deps.ts';

/** A silent runner's job is given up after this; its pass was suspended long before (R2). */
const lostMs = 10 * 60_000;
const cancelingMs = 5 * 60_000;
const everyMs = 15_000;

/** Ends jobs whose runner is lost, and cancels that nobody finished. */
export class Reaper {
  readonly #deps: JobsDeps;
  #timer: NodeJS.Timeout | undefined;
  #work: Promise<void> = Promise.resolve();

  constructor(deps: JobsDeps) {
    this.#deps = deps;
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
    const { jobs, transactor, clock, revoker, log } = this.#deps;
    const now = clock.now();
    for (const job of await jobs.staleJobs(null, millis(now - lostMs), millis(now - cancelingMs))) {
      const canceling = job.status === 'canceling';
      const done = await transactor.write(async (tx) => {
        const changed = await jobs.changeJob(tx, job.id, [job.status], {
          status: canceling ? 'canceled' : 'failed',
          finishedAt: now,
          failureReason: canceling ? null : 'stuck_or_timeout_failure',
        });
        if (!changed) return false;
        await revoker.revokeForJob(tx, job.id, 'its runner is lost');
        await advance(this.#deps, tx, job.pipelineId);
        return true;
      });
      if (!done) continue;
      log.warn('job.reaped', { job: job.id, from: job.status });
      revoker.jobEnded(job.id);
      this.#deps.wakeup.changed();
    }
  }
}
