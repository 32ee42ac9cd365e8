/**
 * A few at a time for each key, the rest in line: what one credential asks for at once is asked of the forge by and by, and whoever else asks waits behind none of it
 * (A65).
 */
export class Lanes {
  readonly #width: number;
  readonly #lanes = new Map<string, { busy: number; readonly waiting: (() => void)[] }>();

  constructor(width: number) {
    this.#width = width;
  }

  async run<Result>(key: string, work: () => Promise<Result>): Promise<Result> {
    const lane = this.#lanes.get(key) ?? { busy: 0, waiting: [] };
    this.#lanes.set(key, lane);
    if (lane.busy >= this.#width) await new Promise<void>((resolve) => lane.waiting.push(resolve));
    else lane.busy += 1;
    try {
      return await work();
    } finally {
      // Its place goes to the next in line.
      const next = lane.waiting.shift();
      if (next === undefined) lane.busy -= 1;
      else next();
      if (lane.busy === 0) this.#lanes.delete(key);
    }
  }
}
