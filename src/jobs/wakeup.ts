import type { RunnerId } from '../base/ids.ts';

/** A runner that found nothing and waits. */
export interface Waiter<Asked> {
  readonly runnerId: RunnerId;
  /** What it would take. */
  readonly asked: Asked;
}

/** Gives each job that waits to one of the runners that wait. @returns those to wake */
export type Match<Asked> = (waiters: Iterable<Waiter<Asked>>) => Promise<readonly Waiter<Asked>[]>;

/** Jobs that another process made are found by this, as long as somebody waits. */
const lookEveryMs = 5000;

/**
 * Where long polls wait: thousands at little cost. A change wakes only the runners that there is a job for, so that one job does not send
 * a crowd to the store.
 */
export class Wakeup<Asked = unknown> {
  #version = 1;
  readonly #waiting = new Map<Waiter<Asked>, (told: 'wake' | 'none') => void>();
  readonly #prefix: string;
  #match: Match<Asked> | undefined;
  #onChange: () => void = () => undefined;
  #onError: (error: unknown) => void = () => undefined;
  #looking = false;
  #again = false;
  #closed = false;
  #timer: NodeJS.Timeout | undefined;

  /** @param prefix differs for each start, so that no version of an earlier process is taken for ours */
  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  get version(): string {
    return `${this.#prefix}-${this.#version}`;
  }

  /** How many wait. */
  get size(): number {
    return this.#waiting.size;
  }

  /** Who is woken by a change; until it is told, everybody is. */
  matchBy(match: Match<Asked>, onError: (error: unknown) => void): void {
    this.#match = match;
    this.#onError = onError;
  }

  /** Told of each change, too. */
  onChange(listener: () => void): void {
    this.#onChange = listener;
  }

  /** A job may have become runnable. */
  changed(): void {
    this.#version += 1;
    this.#onChange();
    this.#look();
  }

  /** The runner itself has changed: its own polls look again. */
  release(runner: RunnerId): void {
    this.#version += 1;
    for (const waiter of this.#waiting.keys()) if (waiter.runnerId === runner) this.#tell(waiter, 'wake');
  }

  /** @param seen the version before the runner looked: where that is another one by now, it looks again at once */
  wait(waiter: Waiter<Asked>, seen: string, timeoutMs: number): { readonly told: Promise<'wake' | 'none'>; leave(): void } {
    const leave = (): void => this.#tell(waiter, 'none');
    if (this.#closed) return { told: Promise.resolve('none'), leave };
    if (seen !== this.version) return { told: Promise.resolve('wake'), leave };
    const told = new Promise<'wake' | 'none'>((resolve) => {
      // Node.js keeps timers of one length in one list: thousands cost no more than their memory.
      const timer = setTimeout(leave, timeoutMs).unref();
      this.#waiting.set(waiter, (word) => {
        clearTimeout(timer);
        resolve(word);
      });
    });
    this.#timer ??= setInterval(() => this.#look(), lookEveryMs).unref();
    return { told, leave };
  }

  /** Everybody goes home. */
  close(): void {
    this.#closed = true;
    for (const waiter of this.#waiting.keys()) this.#tell(waiter, 'none');
  }

  #tell(waiter: Waiter<Asked>, word: 'wake' | 'none'): void {
    const tell = this.#waiting.get(waiter);
    if (tell === undefined) return;
    this.#waiting.delete(waiter);
    if (this.#waiting.size === 0) {
      clearInterval(this.#timer);
      this.#timer = undefined;
    }
    tell(word);
  }

  /** One look at a time; a change meanwhile is one more look. */
  #look(): void {
    if (this.#waiting.size === 0) return;
    if (this.#match === undefined) {
      for (const waiter of this.#waiting.keys()) this.#tell(waiter, 'wake');
      return;
    }
    this.#again = true;
    if (this.#looking) return;
    this.#looking = true;
    void this.#lookUntilQuiet(this.#match).finally(() => {
      this.#looking = false;
      // A change between the last look and here must not be lost.
      if (this.#again) this.#look();
    });
  }

  async #lookUntilQuiet(match: Match<Asked>): Promise<void> {
    while (this.#again) {
      this.#again = false;
      try {
        for (const waiter of await match(this.#waiting.keys())) this.#tell(waiter, 'wake');
      } catch (error) {
        // The next look, a few seconds on, finds what this one missed.
        this.#onError(error);
      }
    }
  }
}
