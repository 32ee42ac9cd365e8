import type { Clock } from '../base/clock.ts';
import type { JobId } from '../base/ids.ts';

/** How long somebody who read a trace counts as watching it. */
const watchingMs = 60_000;
const watchedAtOnce = 10_000;

/** Jobs whose trace somebody reads right now: their runners are asked to send it more often. Told in this process only. */
export class Watched {
  readonly #clock: Clock;
  readonly #seenAt = new Map<JobId, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Somebody looked. */
  look(job: JobId): void {
    this.#seenAt.delete(job);
    this.#seenAt.set(job, this.#clock.monotonic());
    const [oldest] = this.#seenAt.keys();
    if (this.#seenAt.size > watchedAtOnce && oldest !== undefined) this.#seenAt.delete(oldest);
  }

  /** Seconds between two pieces of a trace. @see GitLab Runner API, `X-GitLab-Trace-Update-Interval` */
  intervalSeconds(job: JobId): number {
    const seenAt = this.#seenAt.get(job);
    return seenAt !== undefined && this.#clock.monotonic() - seenAt < watchingMs ? 3 : 60;
  }

  forget(job: JobId): void {
    this.#seenAt.delete(job);
  }
}
