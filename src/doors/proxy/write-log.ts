import { randomUUID } from 'node:crypto';
import type { Clock } from '../../base/clock.ts';
import type { EpochMillis, JobId, ProjectId } from '../../base/ids.ts';
import type { PassWrite, PassWrites } from '../../ports/gateway.ts';
import type { Transactor } from '../../ports/tx.ts';

/** A write that is on its way upstream. */
export interface OpenWrite {
  /** What it makes: shas, `pipeline:7`, `job:9`; durable when it resolves. */
  record(whats: readonly string[]): Promise<void>;
  /** @param known whether all that it made was recorded; otherwise what the forge makes about now counts as made by it */
  end(known: boolean): Promise<void>;
}

/** So long before and after a write whose answer nobody heard, what the forge made may be of it: clocks differ, and its queues have their time. */
const beforeMs = 60_000;
const afterMs = 3600_000;
const unheard = '?';

/**
 * What passes write upstream, so that a job which runs on it is known as a child (R5). A job can be handed out before the answer to the
 * write that made it has come back: whoever asks waits for the writes of that project that are under way. The row of a write is durable before the
 * forge hears of it, so that neither a crash nor a lost answer hides what it made.
 */
export class WriteLog {
  readonly #store: PassWrites;
  readonly #transactor: Transactor;
  readonly #clock: Clock;
  readonly #open = new Map<ProjectId, Set<Promise<void>>>();

  constructor(store: PassWrites, transactor: Transactor, clock: Clock) {
    this.#store = store;
    this.#transactor = transactor;
    this.#clock = clock;
  }

  async begin(project: ProjectId, by: JobId): Promise<OpenWrite> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const open = this.#open.get(project) ?? new Set();
    open.add(promise);
    this.#open.set(project, open);
    const leave = (): void => {
      open.delete(promise);
      if (open.size === 0) this.#open.delete(project);
      resolve();
    };
    const mark = `${unheard}${randomUUID()}`;
    const record = (whats: readonly string[]): Promise<void> =>
      this.#transactor.write(async (tx) => {
        for (const what of new Set(whats)) await this.#store.record(tx, project, what, by, this.#clock.now());
      });
    try {
      await record([mark]);
    } catch (error) {
      leave();
      throw error;
    }
    return {
      record,
      end: async (known) => {
        try {
          if (known) await this.#transactor.write((tx) => this.#store.forget(tx, project, mark));
        } finally {
          leave();
        }
      },
    };
  }

  /** The jobs whose passes wrote any of these, once the writes that were under way are known. */
  async writersOf(project: ProjectId, whats: readonly string[]): Promise<readonly PassWrite[]> {
    const open = this.#open.get(project);
    if (open !== undefined) await Promise.all(open);
    return this.#store.writersOf(null, project, whats);
  }

  /** A job whose pass wrote something about then of which nobody heard what it made. @param made null = nobody knows when */
  async unheardAbout(project: ProjectId, made: EpochMillis | null): Promise<JobId | undefined> {
    const open = await this.#store.startingWith(null, project, unheard);
    return open.find(({ at }) => made === null || (made >= at - beforeMs && made <= at + afterMs))?.by;
  }
}
