import type { Clock } from '../base/clock.ts';
import { limits } from '../base/limits.ts';
import type { AuditStore } from '../ports/audit.ts';
import type { Identity } from './grant.ts';
import type { Refusal } from './subject.ts';

/** Requests that may come at once, and each second after that. */
const burst = 1000;
const perSecond = 100;
/** Credentials whose counts are kept; a pass's rows are read again from the store. */
const remembered = 10_000;

interface Use {
  rows: number;
  tokens: number;
  at: number;
  /** The row that says that the quota is used up was written. */
  told: boolean;
}

export interface OverQuota {
  readonly refusal: Refusal;
  /** Whether this refusal may still leave a row. */
  readonly audited: boolean;
}

/**
 * Rate and audit-row quotas of each pass, and of each job's ordinary token, which the same script holds (R10): one job cannot fill the trail
 * or the server for the others (A54, A65). Dead passes count too: a leaked one may be tried for ever.
 */
export class Quota {
  readonly #audit: AuditStore;
  readonly #clock: Clock;
  readonly #uses = new Map<string, Use>();

  constructor(audit: AuditStore, clock: Clock) {
    this.#audit = audit;
    this.#clock = clock;
  }

  /** Counts one request. @returns a refusal when a quota is used up @throws store_unavailable */
  async take(identity: Identity): Promise<OverQuota | undefined> {
    const use = await this.#useOf(identity);
    if (use === undefined) return undefined;
    const now = this.#clock.monotonic();
    use.tokens = Math.min(burst, use.tokens + ((now - use.at) / 1000) * perSecond);
    use.at = now;
    if (use.rows >= limits.auditRowsPerPass) return usedUp(use);
    if (use.tokens < 1) {
      const message = `Too many requests with this token: at most ${perSecond} a second.`;
      return { audited: true, refusal: { code: 'rate_limited', rule: 'R10', message } };
    }
    use.tokens -= 1;
    use.rows += 1;
    return undefined;
  }

  /** Counts rows that one request writes beside its own. @returns a refusal when they are more than what is left */
  async charge(identity: Identity, rows: number): Promise<OverQuota | undefined> {
    const use = await this.#useOf(identity);
    if (use === undefined) return undefined;
    if (use.rows + rows > limits.auditRowsPerPass) return usedUp(use);
    use.rows += rows;
    return undefined;
  }

  async #useOf(identity: Identity): Promise<Use | undefined> {
    if (identity.kind !== 'pass' && identity.kind !== 'job') return undefined;
    const key = identity.kind === 'pass' ? `pass:${identity.passId}` : `job:${identity.jobId}`;
    const rows = this.#uses.has(key) || identity.kind === 'job' ? 0 : await this.#audit.countForPass(null, identity.passId);
    // Looked up again: another request of the same pass may have come first meanwhile.
    const use = this.#uses.get(key) ?? { rows, tokens: burst, at: this.#clock.monotonic(), told: rows > limits.auditRowsPerPass };
    this.#uses.delete(key);
    this.#uses.set(key, use);
    if (this.#uses.size > remembered) for (const oldest of this.#uses.keys()) if (this.#uses.delete(oldest)) break;
    return use;
  }
}

function usedUp(use: Use): OverQuota {
  const audited = !use.told;
  use.told = true;
  const message = `This token has used up its ${limits.auditRowsPerPass} audited requests.`;
  return { audited, refusal: { code: 'quota_exceeded', rule: 'R10', message } };
}
