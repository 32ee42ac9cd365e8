import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Log } from '../../../base/log.ts';
import type { GitRunner } from './processes.ts';

const delayMs = 5000;
/** Refs that stay files of their own: one is looked up without a git (`looseBranch`), and so few make no listing slow. */
const looseRefs = 64;

/** Packs a repository soon after a push: loose objects double the cost of a small fetch. One repository at a time. */
export class Maintenance {
  readonly #git: GitRunner;
  readonly #log: Log;
  readonly #timers = new Map<string, NodeJS.Timeout>();
  #work: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(git: GitRunner, log: Log) {
    this.#git = git;
    this.#log = log;
  }

  pushed(repository: string): void {
    if (this.#closed || this.#timers.has(repository)) return;
    const timer = setTimeout(() => {
      this.#timers.delete(repository);
      this.#work = this.#work.then(() => this.#pack(repository));
    }, delayMs).unref();
    this.#timers.set(repository, timer);
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
    await this.#work;
  }

  async #pack(repository: string): Promise<void> {
    if (this.#closed) return;
    try {
      await this.#git.run(repository, ['repack', '-d', '-l', '-q', '--geometric=2']);
      const files = await readdir(join(repository, 'refs'), { recursive: true });
      if (files.length > looseRefs) await this.#git.run(repository, ['pack-refs', '--all']);
    } catch (error) {
      // A repository that was removed meanwhile, or a full disk: the next push tries again.
      this.#log.warn('git.maintenance_failed', { message: error instanceof Error ? error.message : '' });
    }
  }
}
