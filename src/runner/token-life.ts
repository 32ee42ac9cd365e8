import type { Log } from '../base/log.ts';
import { waitFor } from './wait.ts';

export interface TokenLifeParts {
  /** Undefined = now. */
  readonly obtainedAt: Date | undefined;
  /** Undefined = the token never ends. */
  readonly expiresAt: Date | undefined;
  readonly log: Log;
  /** @returns when the new token ends */
  readonly renew: () => Promise<Date | undefined>;
}

/** Of its life, as gitlab-runner has it. */
const renewedAfter = 0.75;
const againMs = 60_000;
/** Timers cannot be longer than 24.8 days. */
const longestWaitMs = 86_400_000;

/** Renews a runner's token long before it ends. */
export class TokenLife {
  readonly #parts: TokenLifeParts;

  constructor(parts: TokenLifeParts) {
    this.#parts = parts;
  }

  /** Resolves when the signal is aborted. */
  async keep(signal: AbortSignal): Promise<void> {
    const { log, renew } = this.#parts;
    let { obtainedAt, expiresAt } = this.#parts;
    while (!signal.aborted && expiresAt !== undefined) {
      const waitMs = renewAt(obtainedAt ?? new Date(), expiresAt) - Date.now();
      if (waitMs > 0) {
        await waitFor(Math.min(waitMs, longestWaitMs), signal);
        continue;
      }
      try {
        expiresAt = await renew();
        obtainedAt = new Date();
        log.info('runner.token_renewed', { expires: expiresAt?.toISOString() ?? null });
      } catch (error) {
        log.error('runner.token_not_renewed', {}, error);
        await waitFor(againMs, signal);
      }
    }
  }
}

/** Milliseconds since the epoch at which a token is renewed. */
export function renewAt(obtainedAt: Date, expiresAt: Date): number {
  return obtainedAt.getTime() + Math.max(0, expiresAt.getTime() - obtainedAt.getTime()) * renewedAfter;
}
