/** How many jobs may run at once, over all entries. */
export class Permits {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  get free(): number {
    return this.#free;
  }

  /** @returns false when the signal came first */
  async take(signal: AbortSignal): Promise<boolean> {
    while (this.#free === 0) {
      if (signal.aborted) return false;
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          signal.removeEventListener('abort', wake);
          resolve();
        };
        this.#waiting.push(wake);
        signal.addEventListener('abort', wake, { once: true });
      });
    }
    if (signal.aborted) return false;
    this.#free -= 1;
    return true;
  }

  give(): void {
    this.#free += 1;
    for (const wake of this.#waiting.splice(0)) wake();
  }
}

/** Numbers of the build folders of one entry; the lowest free one is used, so that folders are used again. */
export class Slots {
  readonly #taken = new Set<number>();
  readonly #permits: Permits;

  constructor(count: number) {
    this.#permits = new Permits(count);
  }

  /** @returns undefined when the signal came first */
  async take(signal: AbortSignal): Promise<number | undefined> {
    if (!(await this.#permits.take(signal))) return undefined;
    let slot = 0;
    while (this.#taken.has(slot)) slot += 1;
    this.#taken.add(slot);
    return slot;
  }

  give(slot: number): void {
    this.#taken.delete(slot);
    this.#permits.give();
  }
}
