import type { Log } from '../base/log.ts';
import type { JobAnswer, RunnerClient } from './client.ts';
import { replaceToken, type RunnerConfig, type RunnerEntry } from './config.ts';
import type { Executor } from './executors/executor.ts';
import type { Judgement } from './gate/judge.ts';
import type { Signer } from './identity.ts';
import { runnerInfo } from './info.ts';
import { runJob } from './job/run-job.ts';
import type { StartOptions } from './loop.ts';
import type { Permits, Slots } from './slots.ts';
import { TokenLife } from './token-life.ts';
import { waitFor } from './wait.ts';

const maxBackoffMs = 60_000;
const soonMs = 1000;

export interface PollerParts {
  readonly options: StartOptions;
  readonly config: RunnerConfig;
  readonly entry: RunnerEntry;
  readonly executor: Executor;
  readonly client: RunnerClient;
  readonly signer: Signer | undefined;
  readonly verdict: Judgement;
  readonly permits: Permits;
  /** Build folders of this entry. */
  readonly slots: Slots;
  /** The token was renewed, and the file says so. */
  readonly onRenewed: () => Promise<void>;
  readonly draining: AbortSignal;
  readonly stopping: AbortSignal;
}

/** Polls for one entry, and runs its jobs. @see GitLab Runner's `request_concurrency`, `unhealthy_requests_limit` */
export class Poller {
  readonly #parts: PollerParts;
  readonly #slots: Slots;
  readonly #jobs = new Set<Promise<void>>();
  readonly #log: Log;
  readonly #life: TokenLife;
  #lastUpdate: string | undefined;
  #failures = 0;
  #refusals = 0;

  constructor(parts: PollerParts) {
    this.#parts = parts;
    const { entry, config } = parts;
    this.#slots = parts.slots;
    this.#log = parts.options.log.with({ runner: entry.name });
    this.#life = new TokenLife({
      obtainedAt: entry.tokenObtainedAt,
      expiresAt: entry.tokenExpiresAt,
      log: this.#log,
      renew: async () => {
        const renewed = await parts.client.resetToken();
        await replaceToken(config.path, renewed.replaced, renewed);
        await parts.onRenewed();
        return renewed.expiresAt;
      },
    });
  }

  async run(): Promise<void> {
    const { draining, client, entry } = this.#parts;
    await Promise.all([this.#life.keep(draining), ...Array.from({ length: entry.requestConcurrency }, () => this.#ask())]);
    await Promise.all(this.#jobs);
    await client.close();
  }

  /** Asks for jobs, one question after the other. */
  async #ask(): Promise<void> {
    const { draining, permits } = this.#parts;
    while (!draining.aborted) {
      if (!(await this.#slots.take(draining))) break;
      if (!(await permits.take(draining))) {
        this.#slots.give();
        break;
      }
      const waitMs = await this.#poll();
      if (waitMs > 0) await waitFor(waitMs, draining);
    }
  }

  /** One question. @returns how long to wait before the next */
  async #poll(): Promise<number> {
    const { permits, draining, client, config, entry } = this.#parts;
    let taken = false;
    try {
      // A long poll holds a permit, so it is for when every entry can have one.
      const patient = permits.free + 1 >= config.entries.length;
      const info = runnerInfo(entry.executor, this.#parts.verdict, this.#parts.signer?.publicKey, this.#unsafe);
      const sent = patient ? this.#lastUpdate : undefined;
      const asked = performance.now();
      const answer = await client.requestJob(info, sent, draining);
      this.#failures = 0;
      // The server held the question, or its queue has moved: no need to wait long before the next.
      const held = patient && (performance.now() - asked > soonMs || (answer.lastUpdate !== undefined && answer.lastUpdate !== sent));
      if (answer.lastUpdate !== undefined) this.#lastUpdate = answer.lastUpdate;
      if (answer.status === 201) {
        taken = true;
        this.#start(answer.body);
        return 0;
      }
      return Math.max(this.#afterAnswer(answer, held), answer.waitMs ?? 0);
    } catch (error) {
      if (draining.aborted) return 0;
      this.#failures += 1;
      this.#log.warn('runner.server_lost', { failures: this.#failures, reason: error instanceof Error ? error.message : String(error) });
      return Math.min(this.#retryMs * 2 ** Math.min(this.#failures - 1, 10), maxBackoffMs);
    } finally {
      if (!taken) {
        permits.give();
        this.#slots.give();
      }
    }
  }

  #afterAnswer({ status, said = '' }: JobAnswer, held: boolean): number {
    const intervalMs = this.#parts.config.checkIntervalSeconds * 1000;
    if (status === 403) {
      this.#refusals += 1;
      this.#log.error('runner.refused', { status, said });
      const { requests, quietMs } = this.#parts.entry.unhealthy;
      if (this.#refusals < requests) return intervalMs;
      this.#log.error('runner.quiet', {
        seconds: quietMs / 1000,
        message:
          'the server does not take this runner, which asks again after that time, or once config.toml changes; `jobpass runner verify` says more',
      });
      return quietMs;
    }
    this.#refusals = 0;
    if (status === 204) return held ? Math.min(intervalMs, soonMs) : intervalMs;
    this.#log.warn('runner.unexpected_answer', { status, said });
    return intervalMs;
  }

  get #retryMs(): number {
    return this.#parts.options.retryMs ?? 1000;
  }

  get #unsafe(): boolean {
    return this.#parts.options.unsafe === true || this.#parts.entry.unsafe;
  }

  #start(body: unknown): void {
    const { permits, entry, executor, client, verdict, stopping, options } = this.#parts;
    let slot: number | undefined;
    const deps = {
      entry,
      executor,
      client,
      judgement: verdict,
      unsafe: this.#unsafe,
      slotFor: (key: string): number => (slot ??= this.#slots.claim(key)),
      log: this.#log,
      traceIntervalMs: options.traceIntervalMs ?? 3000,
      heartbeatMs: options.heartbeatMs ?? 10_000,
      retryMs: this.#retryMs,
    };
    const running: Promise<void> = runJob(deps, body, stopping)
      .catch((error: unknown) => this.#log.error('job.lost', {}, error))
      .finally(() => {
        this.#jobs.delete(running);
        this.#slots.give(slot);
        permits.give();
      });
    this.#jobs.add(running);
  }
}
