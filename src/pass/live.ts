import type { JobId, PassId } from '../base/ids.ts';

/** A grant that a pass holds open: a stream in flight, or a request being served. */
interface OpenGrant {
  readonly jobId: JobId;
  readonly passId: PassId;
  readonly abort: AbortController;
}

/**
 * Grants of passes that are in use right now, so that the end of a job cuts them at once (R2). In-process ends are told here; deaths on
 * another node and a silent runner are found by `sweep`, which asks about every job with an open grant.
 */
export class LiveGrants {
  readonly #open = new Set<OpenGrant>();
  readonly #stillAlive: (grant: { readonly jobId: JobId; readonly passId: PassId }) => Promise<boolean>;
  readonly #sweepEveryMs: number;
  #timer: NodeJS.Timeout | undefined;

  /** @param stillAlive rejects or answers false for a dead pass; no answer means no */
  constructor(stillAlive: (grant: { readonly jobId: JobId; readonly passId: PassId }) => Promise<boolean>, sweepEveryMs = 500) {
    this.#stillAlive = stillAlive;
    this.#sweepEveryMs = sweepEveryMs;
  }

  /** Registers a use of the pass. @returns the signal that its end aborts, and how to leave */
  enter(jobId: JobId, passId: PassId): { readonly signal: AbortSignal; leave(): void } {
    const entry: OpenGrant = { jobId, passId, abort: new AbortController() };
    this.#open.add(entry);
    this.#timer ??= setInterval(() => void this.sweep(), this.#sweepEveryMs).unref();
    return {
      signal: entry.abort.signal,
      leave: () => {
        this.#open.delete(entry);
        if (this.#open.size === 0) this.close();
      },
    };
  }

  /** The job ended: everything of its passes is cut. */
  jobEnded(jobId: JobId): void {
    this.#cut((grant) => grant.jobId === jobId);
  }

  passRevoked(passId: PassId): void {
    this.#cut((grant) => grant.passId === passId);
  }

  /** Asks about each pass with an open grant once, and cuts the dead. */
  async sweep(): Promise<void> {
    const byPass = new Map<PassId, OpenGrant>();
    for (const grant of this.#open) byPass.set(grant.passId, grant);
    for (const grant of byPass.values()) {
      const alive = await this.#stillAlive(grant).catch(() => false);
      if (!alive) this.passRevoked(grant.passId);
    }
  }

  /** How many uses are open. */
  get size(): number {
    return this.#open.size;
  }

  close(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #cut(dead: (grant: OpenGrant) => boolean): void {
    for (const grant of this.#open) if (dead(grant)) grant.abort.abort(new Error('the pass behind this request is dead'));
  }
}
