/** Work on one thing at a time, for each name; those who wait go in order. */
export class Turns {
  readonly #last = new Map<string, Promise<unknown>>();

  /** True where `take` would wait. */
  busy(name: string): boolean {
    return this.#last.has(name);
  }

  /** Runs `work` when everybody before has ended. @throws the reason of a signal that comes first; then `work` does not run */
  async take<Result>(name: string, signal: AbortSignal, work: () => Promise<Result>): Promise<Result> {
    const before = this.#last.get(name) ?? Promise.resolve();
    const { promise: mine, resolve: end } = Promise.withResolvers<void>();
    const all = before.then(() => mine);
    this.#last.set(name, all);
    try {
      await Promise.race([before, aborted(signal)]);
      signal.throwIfAborted();
      return await work();
    } finally {
      end();
      void all.then(() => this.#last.get(name) === all && this.#last.delete(name));
    }
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
