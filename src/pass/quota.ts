import type { Clock } from '../base/clock.ts';
import { limits } from '../base/limits.ts';
import type { PassId } from '../base/ids.ts';
import type { AuditStore } from '../ports/audit.ts';
import type { Refusal } from './subject.ts';

/** Requests a pass may make at once, and each second after that. */
const burst = 1000;
const perSecond = 100;
/** Passes whose counts are kept; the rest is read again from the store. */
const remembered = 10_000;

interface Use {
  rows: number;
  tokens: number;
  at: number;
}

/** Rate and audit-row quotas of each pass (R10): one job cannot fill the trail or the server for the others (A54, A65). */
export class PassQuota {
  readonly #audit: AuditStore;
  readonly #clock: Clock;
  readonly #uses = new Map<PassId, Use>();

  constructor(audit: AuditStore, clock: Clock) {
    this.#audit = audit;
    this.#clock = clock;
  }

  /** Counts one question of the pass. @returns a refusal when a quota is used up */
  async take(pass: PassId): Promise<Refusal | undefined> {
    const now = this.#clock.monotonic();
    const use = this.#uses.get(pass) ?? { rows: await this.#audit.countForPass(null, pass), tokens: burst, at: now };
    this.#uses.delete(pass);
    this.#uses.set(pass, use);
    if (this.#uses.size > remembered) for (const oldest of this.#uses.keys()) if (this.#uses.delete(oldest)) break;
    use.tokens = Math.min(burst, use.tokens + ((now - use.at) / 1000) * perSecond);
    use.at = now;
    if (use.rows >= limits.auditRowsPerPass)
      return { code: 'quota_exceeded', rule: 'R10', message: `This pass has used up its ${limits.auditRowsPerPass} audited requests.` };
    if (use.tokens < 1)
      return { code: 'rate_limited', rule: 'R10', message: `Too many requests with this pass: at most ${perSecond} a second.` };
    use.tokens -= 1;
    use.rows += 1;
    return undefined;
  }
}
