/** Tells long polls that the queue has changed; thousands may wait at little cost. */
export class Wakeup {
  #version = 1;
  readonly #waiting = new Set<() => void>();
  readonly #prefix: string;

  /** @param prefix differs for each start, so that no version of an earlier process is taken for ours */
  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  get version(): string {
    return `${this.#prefix}-${this.#version}`;
  }

  /** A job may have become runnable. */
  changed(): void {
    this.#version += 1;
    for (const wake of this.#waiting) wake();
  }

  /** @returns true once the version differs from `seen`; false at the time limit or abort */
  async wait(seen: string, timeoutMs: number, signal: AbortSignal): Promise<boolean> {
    if (seen !== this.version) return true;
    if (signal.aborted) return false;
    return new Promise((resolve) => {
      const done = (changed: boolean): void => {
        clearTimeout(timer);
        this.#waiting.delete(wake);
        signal.removeEventListener('abort', abort);
        resolve(changed);
      };
      const wake = (): void => done(true);
      const abort = (): void => done(false);
      const timer = setTimeout(() => done(false), timeoutMs).unref();
      this.#waiting.add(wake);
      signal.addEventListener('abort', abort, { once: true });
    });
  }
}
