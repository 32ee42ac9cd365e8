import type { Clock } from '../base/clock.ts';
import { JobpassError } from '../base/errors.ts';
import type { AuditId } from '../base/ids.ts';
import type { AuditOutcome, AuditStore, NewAuditRow } from '../ports/audit.ts';

/** A row before its time and count are known. */
export type AuditEntry = Omit<NewAuditRow, 'at' | 'count'>;

const refusalWindowMs = 1000;
/** Different refusals that may wait at once; more are written at once, so that nothing is lost and memory stays bounded. */
const waitingRefusals = 10_000;

/**
 * The append-only trail (R10). An allow is durable before it is answered. Refusals that are the same in everything but the request wait
 * up to a second and become one counted row, so that a flood of them cannot fill the store (A65).
 */
export class AuditTrail {
  readonly #store: AuditStore;
  readonly #clock: Clock;
  readonly #refusals = new Map<string, { row: NewAuditRow; count: number }>();
  readonly #onError: (error: unknown) => void;
  #timer: NodeJS.Timeout | undefined;

  constructor(store: AuditStore, clock: Clock, onError: (error: unknown) => void) {
    this.#store = store;
    this.#clock = clock;
    this.#onError = onError;
  }

  /** @throws audit_unavailable: then nothing may be granted (A54) */
  async allow(entry: AuditEntry): Promise<AuditId> {
    try {
      return await this.#store.append({ ...entry, at: this.#clock.now(), count: 1 });
    } catch (error) {
      throw new JobpassError('audit_unavailable', {}, error);
    }
  }

  /** What befell a pass without having been asked for; durable when it resolves. @throws audit_unavailable */
  async note(entry: AuditEntry): Promise<void> {
    await this.allow(entry);
  }

  /** Counts a refusal; it is written within a second. */
  refuse(entry: AuditEntry): void {
    const key = JSON.stringify([
      entry.subject,
      entry.passId,
      entry.jobId,
      entry.principals,
      entry.accesses,
      entry.door,
      entry.endpoint,
      entry.rule,
      entry.reason,
    ]);
    const waiting = this.#refusals.get(key);
    if (waiting !== undefined) {
      waiting.count += 1;
      return;
    }
    this.#refusals.set(key, { row: { ...entry, at: this.#clock.now(), count: 1 }, count: 1 });
    if (this.#refusals.size >= waitingRefusals) void this.flush();
    this.#timer ??= setTimeout(() => void this.flush(), refusalWindowMs).unref();
  }

  async settle(id: AuditId, outcome: AuditOutcome, detail: string | null): Promise<void> {
    await this.#store.settle(id, outcome, detail, this.#clock.now());
  }

  /** Writes the refusals that wait. */
  async flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const rows = [...this.#refusals.values()].map(({ row, count }) => ({ ...row, count }));
    this.#refusals.clear();
    const written = await Promise.allSettled(rows.map((row) => this.#store.append(row)));
    for (const result of written) if (result.status === 'rejected') this.#onError(result.reason);
  }
}
