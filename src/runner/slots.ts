import { assert } from '../base/assert.ts';

/** How many jobs may run at once, over all entries. */
export class Permits {
  #count: number;
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(count: number) {
    this.#count = count;
    this.#free = count;
  }

  /** Another number from now on; those over it that are taken stay taken until they are given back. */
  resize(count: number): void {
    this.#free += count - this.#count;
    this.#count = count;
    this.#wake();
  }

  get free(): number {
    return this.#free;
  }

  /** @returns false when the signal came first */
  async take(signal: AbortSignal): Promise<boolean> {
    while (this.#free <= 0) {
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
    this.#wake();
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }
}

interface Slot {
  /** Whose files may lie there (R15); undefined = nobody's yet. */
  key: string | undefined;
  taken: boolean;
}

/**
 * Numbers of the build folders of one entry. A slot that is claimed under another key is emptied, so a job gets the free one that its like used last,
 * else one that nobody has used, else the one that was not used for longest.
 */
export class Slots {
  readonly #permits: Permits;
  /** By number. */
  readonly #slots: Slot[] = [];
  /** Numbers, the one that was used last at the end. */
  readonly #order: number[] = [];

  constructor(count: number) {
    this.#permits = new Permits(count);
    this.#grow(count);
  }

  /** Another number of jobs from now on. */
  resize(count: number): void {
    this.#grow(count);
    this.#permits.resize(count);
  }

  #grow(count: number): void {
    const more = Array.from({ length: Math.max(0, count - this.#slots.length) }, (_, index) => this.#slots.length + index);
    this.#order.unshift(...more);
    this.#slots.push(...more.map(() => ({ key: undefined, taken: false })));
  }

  /** Room for one more job. @returns false when the signal came first */
  take(signal: AbortSignal): Promise<boolean> {
    return this.#permits.take(signal);
  }

  /** Gives back what `take` took. @param number where a slot was claimed */
  give(number?: number): void {
    const slot = number === undefined ? undefined : this.#slots[number];
    if (slot !== undefined) slot.taken = false;
    this.#permits.give();
  }

  /** After `take`. @param key of the job's inputs */
  claim(key: string): number {
    const free = this.#order.filter((number) => this.#slots[number]?.taken === false);
    const number =
      free.findLast((one) => this.#slots[one]?.key === key) ?? free.find((one) => this.#slots[one]?.key === undefined) ?? free[0];
    const slot = number === undefined ? undefined : this.#slots[number];
    assert(number !== undefined && slot !== undefined, 'a slot is free for whoever took one');
    slot.key = key;
    slot.taken = true;
    this.#order.splice(this.#order.indexOf(number), 1);
    this.#order.push(number);
    return number;
  }
}
