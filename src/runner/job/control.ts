/** Why a job is stopped before its end. */
export type StopReason = 'canceled' | 'canceling' | 'timeout' | 'interrupted';

/**
 * The two ways to stop a job: `script` ends sources and script, after which after_script and uploads may still run; `all` ends everything.
 */
export class JobControl {
  readonly #script = new AbortController();
  readonly #all = new AbortController();
  #reason: StopReason | undefined;

  /** Aborted by every stop. */
  readonly script: AbortSignal = AbortSignal.any([this.#script.signal, this.#all.signal]);
  readonly all: AbortSignal = this.#all.signal;

  /** The first reason, but for a cancel that became a forced one. */
  get reason(): StopReason | undefined {
    return this.#reason;
  }

  stopScript(reason: 'canceling' | 'timeout'): void {
    this.#reason ??= reason;
    this.#script.abort(new Error(reason));
  }

  stopAll(reason: 'canceled' | 'interrupted'): void {
    if (this.#reason !== 'canceled') this.#reason = reason;
    this.#all.abort(new Error(reason));
  }
}
