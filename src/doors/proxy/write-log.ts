import type { Clock } from '../../base/clock.ts';
import type { JobId, ProjectId } from '../../base/ids.ts';
import type { PassWrites } from '../../ports/gateway.ts';
import type { Transactor } from '../../ports/tx.ts';

/** A write that is on its way upstream. */
export interface OpenWrite {
  /** What it makes: shas, `pipeline:7`, `job:9`; durable when it resolves. */
  record(whats: readonly string[]): Promise<void>;
  end(): void;
}

/**
 * What passes write upstream, so that a job which runs on it is known as a child (R5). A job can be handed out before the answer to the
 * write that made it has come back: whoever asks waits for the writes of that project that are under way.
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

  begin(project: ProjectId, by: JobId): OpenWrite {
    const { promise, resolve } = Promise.withResolvers<void>();
    const open = this.#open.get(project) ?? new Set();
    open.add(promise);
    this.#open.set(project, open);
    return {
      record: async (whats) => {
        if (whats.length === 0) return;
        await this.#transactor.write(async (tx) => {
          for (const what of new Set(whats)) await this.#store.record(tx, project, what, by, this.#clock.now());
        });
      },
      end: () => {
        open.delete(promise);
        if (open.size === 0) this.#open.delete(project);
        resolve();
      },
    };
  }

  /** The job whose pass wrote any of these, once the writes that were under way are known. */
  async writerOf(project: ProjectId, whats: readonly string[]): Promise<JobId | undefined> {
    const open = this.#open.get(project);
    if (open !== undefined) await Promise.all(open);
    return this.#store.writerOf(null, project, whats);
  }
}
