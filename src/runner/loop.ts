import type { Log } from '../base/log.ts';
import { JobpassError } from '../base/errors.ts';
import { cleanLeftovers } from './cleanup.ts';
import { RunnerClient } from './client.ts';
import { readConfig, type RunnerConfig, type RunnerEntry } from './config.ts';
import type { Executor } from './executors/executor.ts';
import { executorNamed } from './executors/index.ts';
import { removeUnusedMirrors } from './git/mirror.ts';
import { type Judgement, judge } from './gate/judge.ts';
import { loadKey, type Signer } from './identity.ts';
import { runnerInfo } from './info.ts';
import { runJob } from './job/run-job.ts';
import { Permits, Slots } from './slots.ts';
import { systemId } from './system-id.ts';
import { waitFor } from './wait.ts';

export interface StartOptions {
  readonly configPath: string;
  readonly log: Log;
  /** Overrides the gate's verdict for every entry. */
  readonly unsafe?: boolean | undefined;
  /** Aborting it drains. */
  readonly signal?: AbortSignal | undefined;
  /** Between trace updates, until the server wishes another; 3 s as gitlab-runner. */
  readonly traceIntervalMs?: number | undefined;
  /** Silence of a job after which the server is asked about it; 10 s (gitlab-runner: 30 s). Three minutes suspend the pass (R2). */
  readonly heartbeatMs?: number | undefined;
}

export interface RunnerHandle {
  readonly verdict: Judgement;
  /** Asks for no more jobs; resolves when those that run have ended. */
  drain(): Promise<void>;
  /** As `drain`, and ends those that run. */
  stop(): Promise<void>;
  /** Resolves when everything has ended. */
  readonly ended: Promise<void>;
}

const maxBackoffMs = 60_000;
const soonMs = 1000;
/** After three refusals of its token a runner is quiet for long: the server will not change its mind soon (protocol notes §2). */
const refusalsBeforeQuiet = 3;
const quietMs = 3_600_000;

/** Starts polling for every entry of config.toml. @throws invalid_input, not_found, unsupported */
export async function startRunner(options: StartOptions): Promise<RunnerHandle> {
  const config = await readConfig(options.configPath);
  if (config.entries.length === 0)
    throw new JobpassError('invalid_input', 'There is no runner in the configuration; see `jobpass runner register`.');
  const verdict = judge(config);
  const draining = new AbortController();
  const stopping = new AbortController();
  const permits = new Permits(config.concurrent);
  const system = await systemId(config.path);
  const pollers: Poller[] = [];
  for (const entry of config.entries) {
    const signer = entry.keyFile === undefined ? undefined : await loadKey(entry.keyFile);
    const executor = executorNamed(entry.executor);
    executor.check?.(entry);
    const client = new RunnerClient({ url: entry.url, token: entry.token, systemId: system, signer, tlsCaFile: entry.tlsCaFile });
    pollers.push(
      new Poller({
        options,
        config,
        entry,
        executor,
        client,
        signer,
        verdict,
        permits,
        draining: draining.signal,
        stopping: stopping.signal,
      }),
    );
  }
  for (const entry of config.entries)
    for (const job of (await executorNamed(entry.executor).cleanLeftovers?.(entry)) ?? [])
      options.log.warn('runner.cleaned_leftovers', { job });
  for (const dir of new Set(config.entries.map(({ buildsDir }) => buildsDir))) {
    for (const job of await cleanLeftovers(dir)) options.log.warn('runner.cleaned_leftovers', { job });
    await removeUnusedMirrors(dir);
  }
  options.log.info('runner.started', { entries: config.entries.length, concurrent: config.concurrent, verdict: verdict.verdict });
  const ended = Promise.all(pollers.map((poller) => poller.run())).then(() => options.log.info('runner.stopped'));
  const drain = (): Promise<void> => {
    draining.abort();
    return ended;
  };
  options.signal?.addEventListener('abort', () => void drain(), { once: true });
  if (options.signal?.aborted === true) draining.abort();
  return {
    verdict,
    ended,
    drain,
    stop() {
      stopping.abort();
      return drain();
    },
  };
}

interface PollerParts {
  readonly options: StartOptions;
  readonly config: RunnerConfig;
  readonly entry: RunnerEntry;
  readonly executor: Executor;
  readonly client: RunnerClient;
  readonly signer: Signer | undefined;
  readonly verdict: Judgement;
  readonly permits: Permits;
  readonly draining: AbortSignal;
  readonly stopping: AbortSignal;
}

/** Polls for one entry, and runs its jobs. */
class Poller {
  readonly #parts: PollerParts;
  readonly #slots: Slots;
  readonly #jobs = new Set<Promise<void>>();
  readonly #log: Log;
  #lastUpdate: string | undefined;
  #failures = 0;
  #refusals = 0;

  constructor(parts: PollerParts) {
    this.#parts = parts;
    const { entry, config } = parts;
    this.#slots = new Slots(entry.limit > 0 ? Math.min(entry.limit, config.concurrent) : config.concurrent);
    this.#log = parts.options.log.with({ runner: entry.name });
  }

  async run(): Promise<void> {
    const { draining, permits, client } = this.#parts;
    while (!draining.aborted) {
      const slot = await this.#slots.take(draining);
      if (slot === undefined) break;
      if (!(await permits.take(draining))) {
        this.#slots.give(slot);
        break;
      }
      const waitMs = await this.#poll(slot);
      if (waitMs > 0) await waitFor(waitMs, draining);
    }
    await Promise.all(this.#jobs);
    await client.close();
  }

  /** One question. @returns how long to wait before the next */
  async #poll(slot: number): Promise<number> {
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
        this.#start(slot, answer.body);
        return 0;
      }
      return this.#afterAnswer(answer.status, held);
    } catch (error) {
      if (draining.aborted) return 0;
      this.#failures += 1;
      this.#log.warn('runner.server_lost', { failures: this.#failures, reason: error instanceof Error ? error.message : String(error) });
      return Math.min(1000 * 2 ** Math.min(this.#failures - 1, 10), maxBackoffMs);
    } finally {
      if (!taken) {
        permits.give();
        this.#slots.give(slot);
      }
    }
  }

  #afterAnswer(status: number, held: boolean): number {
    const intervalMs = this.#parts.config.checkIntervalSeconds * 1000;
    if (status === 403) {
      this.#refusals += 1;
      this.#log.error('runner.refused', { status });
      return this.#refusals >= refusalsBeforeQuiet ? quietMs : intervalMs;
    }
    this.#refusals = 0;
    if (status === 204) return held ? Math.min(intervalMs, soonMs) : intervalMs;
    this.#log.warn('runner.unexpected_answer', { status });
    return intervalMs;
  }

  get #unsafe(): boolean {
    return this.#parts.options.unsafe === true || this.#parts.entry.unsafe;
  }

  #start(slot: number, body: unknown): void {
    const { permits, entry, executor, client, verdict, stopping, options } = this.#parts;
    const deps = {
      entry,
      executor,
      client,
      judgement: verdict,
      unsafe: this.#unsafe,
      slot,
      log: this.#log,
      traceIntervalMs: options.traceIntervalMs ?? 3000,
      heartbeatMs: options.heartbeatMs ?? 10_000,
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
