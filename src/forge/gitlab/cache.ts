const entries = 10_000;

/** Answers that are kept for moments, each asked once at a time. What was not found is not kept: a new right counts at once. */
export class Cache<Value> {
  readonly #ttlMs: number;
  readonly #kept = new Map<string, { readonly at: number; readonly value: Promise<Value | undefined> }>();

  constructor(ttlMs: number) {
    this.#ttlMs = ttlMs;
  }

  /** Drops what is kept of these keys; what is being asked is not kept either. @param prefix empty = all */
  drop(prefix = ''): void {
    for (const key of this.#kept.keys()) if (key.startsWith(prefix)) this.#kept.delete(key);
  }

  async get(key: string, ask: () => Promise<Value | undefined>): Promise<Value | undefined> {
    const known = this.#kept.get(key);
    if (known !== undefined && performance.now() - known.at < this.#ttlMs) return known.value;
    const value = ask();
    // The time of the question, not of the answer: what changed while it was on its way may not be in it.
    const entry = { at: performance.now(), value };
    this.#kept.delete(key);
    this.#kept.set(key, entry);
    if (this.#kept.size > entries) for (const oldest of this.#kept.keys()) if (this.#kept.delete(oldest)) break;
    const forget = (): void => {
      if (this.#kept.get(key) === entry) this.#kept.delete(key);
    };
    try {
      const found = await value;
      if (found === undefined) forget();
      return found;
    } catch (error) {
      forget();
      throw error;
    }
  }
}
