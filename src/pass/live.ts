import { errorCodes, JobpassError } from '../base/errors.ts';
import type { JobId, PassId } from '../base/ids.ts';
import type { Revoked } from '../ports/revocations.ts';

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
  readonly #answerWithinMs: number;
  #sweeping = false;
  #timer: NodeJS.Timeout | undefined;

  /**
   * @param stillAlive answers false for a dead pass; rejects where it cannot tell, which means no
   * @param answerWithinMs no answer by then means no
   */
  constructor(
    stillAlive: (grant: { readonly jobId: JobId; readonly passId: PassId }) => Promise<boolean>,
    sweepEveryMs = 500,
    answerWithinMs = 1000,
  ) {
    this.#stillAlive = stillAlive;
    this.#sweepEveryMs = sweepEveryMs;
    this.#answerWithinMs = answerWithinMs;
  }

  /** Registers a use of the pass. @returns the signal that its end aborts, with pass_dead or job_unanswered for its reason, and how to leave */
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

  /** Another process ended them (DESIGN §6). */
  told(revoked: Revoked): void {
    if (revoked.kind === 'job') this.jobEnded(revoked.jobId);
    else for (const pass of revoked.passIds) this.passRevoked(pass);
  }

  /** Asks about each pass with an open grant once, and cuts the dead. */
  async sweep(): Promise<void> {
    if (this.#sweeping) return;
    this.#sweeping = true;
    const byPass = new Map<PassId, OpenGrant>();
    for (const grant of this.#open) byPass.set(grant.passId, grant);
    let timer: NodeJS.Timeout | undefined;
    // One turn of the loop more: where this process itself was held up, the answer may be waiting already.
    const late = new Promise<undefined>((resolve) => {
      timer = setTimeout(() => setImmediate(() => resolve(undefined)), this.#answerWithinMs).unref();
    });
    const ask = async (grant: OpenGrant): Promise<void> => {
      const alive = await Promise.race([this.#stillAlive(grant).catch(() => undefined), late]);
      if (alive !== true) this.#cut(({ passId }) => passId === grant.passId, alive === undefined ? 'job_unanswered' : 'pass_dead');
    };
    await Promise.all([...byPass.values()].map(ask));
    clearTimeout(timer);
    this.#sweeping = false;
  }

  /** How many uses are open. */
  get size(): number {
    return this.#open.size;
  }

  close(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #cut(dead: (grant: OpenGrant) => boolean, why: 'pass_dead' | 'job_unanswered' = 'pass_dead'): void {
    for (const grant of this.#open) if (dead(grant)) grant.abort.abort(new JobpassError(why, errorCodes[why].meaning));
  }
}
