import { isJobpassError } from '../base/errors.ts';
import type { JobsDeps } from './deps.ts';

const everyMs = 2000;

/** One kind of thing that the server itself moves. Does what is due now, found in the store; a second run finds nothing to do again. */
export type Step = (deps: JobsDeps) => Promise<void>;

/**
 * The server's own hand in pipelines: delayed jobs, resource groups, bridges. Everything that is due is found in rows, so that neither a crash
 * nor another node loses or repeats it. Looks after each change of this process, and every two seconds for what time or others bring.
 */
export class Onward {
  readonly #deps: JobsDeps;
  readonly #steps: readonly Step[];
  #timer: NodeJS.Timeout | undefined;
  #work: Promise<void> = Promise.resolve();
  #again = false;
  #looking = false;

  constructor(deps: JobsDeps, steps: readonly Step[]) {
    this.#deps = deps;
    this.#steps = steps;
  }

  start(): void {
    this.#timer = setInterval(() => this.look(), everyMs).unref();
    this.look();
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#timer = undefined;
    await this.#work;
  }

  /** Something may be due. Nothing before the start and after the stop. */
  look(): void {
    if (this.#timer === undefined) return;
    this.#again = true;
    if (this.#looking) return;
    this.#looking = true;
    this.#work = this.#untilQuiet();
  }

  async #untilQuiet(): Promise<void> {
    while (this.#again && this.#timer !== undefined) {
      this.#again = false;
      await this.round();
    }
    this.#looking = false;
  }

  /** Everything once. */
  async round(): Promise<void> {
    for (const step of this.#steps) {
      try {
        await step(this.#deps);
      } catch (error) {
        // The next look finds it again.
        this.#deps.log.error('onward.failed', { step: step.name }, error);
        if (isJobpassError(error, 'store_unavailable')) return;
      }
    }
  }
}
