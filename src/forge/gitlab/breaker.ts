import { JobpassError } from '../../base/errors.ts';

const failuresToOpen = 5;
const openMs = 2000;

/** Stops asking a forge that does not answer, so that requests are refused at once instead of waiting in line; one at a time tries again. */
export class Breaker {
  #failures = 0;
  #openUntil = 0;
  #trying = false;

  get state(): 'closed' | 'open' | 'half_open' {
    if (this.#failures < failuresToOpen) return 'closed';
    return performance.now() < this.#openUntil ? 'open' : 'half_open';
  }

  /** @param counts whether its failure says something of the forge @throws upstream_failed while open, or what the work throws */
  async run<Result>(work: () => Promise<Result>, counts = true): Promise<Result> {
    const { state } = this;
    if (state === 'open' || (state === 'half_open' && this.#trying))
      throw new JobpassError('upstream_failed', { message: 'The forge does not answer.', retryAfterSeconds: openMs / 1000 });
    this.#trying = state === 'half_open';
    try {
      const result = await work();
      if (counts) this.#failures = 0;
      return result;
    } catch (error) {
      if (counts) {
        this.#failures += 1;
        this.#openUntil = performance.now() + openMs;
      }
      throw error;
    } finally {
      this.#trying = false;
    }
  }
}
