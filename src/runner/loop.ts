import { unwatchFile, watchFile } from 'node:fs';
import { present } from '../base/assert.ts';
import type { Log } from '../base/log.ts';
import { isJobpassError, JobpassError } from '../base/errors.ts';
import { cleanLeftovers } from './cleanup.ts';
import { RunnerClient } from './client.ts';
import { readConfig, readRaw, type RunnerConfig, type RunnerEntry } from './config.ts';
import type { Executor } from './executors/executor.ts';
import { checkPlace } from './executors/place.ts';
import { executorNamed } from './executors/index.ts';
import { removeUnusedMirrors } from './git/mirror.ts';
import { type Judgement, judge } from './gate/judge.ts';
import { unheeded } from './heeded.ts';
import { loadKey, type Signer } from './identity.ts';
import { shortToken } from './places.ts';
import { Poller } from './poller.ts';
import { Permits, Slots } from './slots.ts';
import { systemId } from './system-id.ts';

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
  /** Between looks whether the file has changed; 3 s as gitlab-runner. */
  readonly configPollMs?: number | undefined;
  /** Before a lost server is asked again, and an upload is tried again; doubles. 1 s. */
  readonly retryMs?: number | undefined;
}

export interface RunnerHandle {
  readonly verdict: Judgement;
  /** `shutdown_timeout`: how long jobs may take to end after `stop`. */
  readonly shutdownTimeoutSeconds: number;
  /** Asks for no more jobs; resolves when those that run have ended. */
  drain(): Promise<void>;
  /** As `drain`, and ends those that run. */
  stop(): Promise<void>;
  /** Heeds the file as it is now; jobs that run keep what they started with. A file that cannot be served is logged, and the last one stays. */
  reload(): Promise<void>;
  /** Resolves when everything has ended. */
  readonly ended: Promise<void>;
}

/** Starts polling for every entry of config.toml. @throws invalid_input, not_found, unsupported */
export async function startRunner(options: StartOptions): Promise<RunnerHandle> {
  const first = await loadConfig(options.configPath);
  if (first.config.entries.length === 0)
    throw new JobpassError('invalid_input', 'There is no runner in the configuration; see `jobpass runner register`.');
  const loop = new Loop(options);
  await cleanUp(first.config.entries, options.log);
  loop.begin(first);
  const changed = (): void => void loop.reload();
  watchFile(options.configPath, { interval: options.configPollMs ?? 3000, persistent: false }, changed);
  loop.draining.addEventListener('abort', () => unwatchFile(options.configPath, changed), { once: true });
  options.signal?.addEventListener('abort', () => void loop.drain(), { once: true });
  if (options.signal?.aborted === true) void loop.drain();
  return loop;
}

async function cleanUp(entries: readonly RunnerEntry[], log: Log): Promise<void> {
  for (const entry of entries)
    for (const job of (await executorNamed(entry.executor).cleanLeftovers?.(entry)) ?? []) log.warn('runner.cleaned_leftovers', { job });
  for (const dir of new Set(entries.map(({ buildsDir }) => buildsDir))) {
    for (const job of await cleanLeftovers(dir)) log.warn('runner.cleaned_leftovers', { job });
    await removeUnusedMirrors(dir);
  }
}

/** A file that can be served, whole. */
interface Loaded {
  readonly config: RunnerConfig;
  readonly verdict: Judgement;
  readonly served: readonly {
    readonly entry: RunnerEntry;
    readonly executor: Executor;
    readonly signer: Signer | undefined;
    readonly client: RunnerClient;
  }[];
}

async function loadConfig(path: string): Promise<Loaded> {
  const config = await readConfig(path).catch((error: unknown) => {
    if (!isJobpassError(error, 'not_found')) throw error;
    throw new JobpassError('not_found', `${error.message} \`jobpass runner register\` makes it.`, error);
  });
  const served: Loaded['served'][number][] = [];
  for (const entry of config.entries) {
    const signer = entry.keyFile === undefined ? undefined : await loadKey(entry.keyFile);
    const executor = executorNamed(entry.executor);
    executor.check?.(entry);
    await checkPlace(entry);
    const { url, token, tlsCaFile } = entry;
    const client = new RunnerClient({ url, token, systemId: await systemId(config.path), signer, tlsCaFile });
    served.push({ entry, executor, signer, client });
  }
  return { config, verdict: judge(config), served };
}

/** The pollers of one state of the file. */
interface Generation extends Loaded {
  readonly ending: AbortController;
  readonly ended: Promise<unknown>;
}

class Loop implements RunnerHandle {
  readonly #options: StartOptions;
  readonly #draining = new AbortController();
  readonly #stopping = new AbortController();
  readonly #permits = new Permits(0);
  /** By build folder: a job of the last state of the file keeps its slot. */
  readonly #slots = new Map<string, Slots>();
  readonly #generations: Generation[] = [];
  readonly ended: Promise<void>;
  #reloading: Promise<void> = Promise.resolve();
  /** The file as it was last heeded, or written by the runner itself. */
  #known = '';

  constructor(options: StartOptions) {
    this.#options = options;
    this.ended = this.#untilEnded();
  }

  get draining(): AbortSignal {
    return this.#draining.signal;
  }

  get #current(): Generation {
    return present(this.#generations.at(-1), 'a state of the file');
  }

  get verdict(): Judgement {
    return this.#current.verdict;
  }

  get shutdownTimeoutSeconds(): number {
    return this.#current.config.shutdownTimeoutSeconds;
  }

  begin(loaded: Loaded): void {
    const { config, verdict, served } = loaded;
    const { log } = this.#options;
    const ending = new AbortController();
    this.#known = JSON.stringify(config.raw);
    this.#permits.resize(config.concurrent);
    const pollers = served.map(({ entry, executor, signer, client }) => {
      const slots = this.#slotsOf(entry, config.concurrent);
      const draining = AbortSignal.any([this.draining, ending.signal]);
      const onRenewed = async (): Promise<void> => void (this.#known = JSON.stringify(await readRaw(config.path)));
      const { permits, stopping } = { permits: this.#permits, stopping: this.#stopping.signal };
      return new Poller({
        options: this.#options,
        config,
        entry,
        executor,
        client,
        signer,
        verdict,
        permits,
        slots,
        draining,
        stopping,
        onRenewed,
      });
    });
    const ended = Promise.all(pollers.map((poller) => poller.run()));
    ended.catch((error: unknown) => log.error('runner.poller_failed', {}, error));
    const generation = { ...loaded, ending, ended };
    this.#generations.push(generation);
    const forget = (): void => {
      if (this.#current !== generation) this.#generations.splice(this.#generations.indexOf(generation), 1);
    };
    ended.then(forget, forget);
    const left = unheeded(config.raw);
    if (left.length > 0)
      log.warn('runner.keys_not_heeded', {
        keys: left.join(' '),
        message: 'this runner does not have them; docs/executors.md says what it has',
      });
    log.info('runner.started', { entries: config.entries.length, concurrent: config.concurrent, verdict: verdict.verdict });
  }

  #slotsOf(entry: RunnerEntry, concurrent: number): Slots {
    const key = JSON.stringify([entry.buildsDir, shortToken(entry.token)]);
    const count = entry.limit > 0 ? Math.min(entry.limit, concurrent) : concurrent;
    const slots = this.#slots.get(key) ?? new Slots(0);
    this.#slots.set(key, slots);
    slots.resize(count);
    return slots;
  }

  reload(): Promise<void> {
    this.#reloading = this.#reloading.then(() => this.#reload());
    return this.#reloading;
  }

  async #reload(): Promise<void> {
    const { log, configPath } = this.#options;
    if (this.draining.aborted) return;
    let loaded: Loaded;
    try {
      loaded = await loadConfig(configPath);
    } catch (error) {
      return log.error('runner.config_refused', { reason: error instanceof JobpassError ? error.message : 'it cannot be read' });
    }
    // Whoever writes a file in its place empties it first: then nothing was taken out.
    if (Object.keys(loaded.config.raw).length === 0) return log.error('runner.config_refused', { reason: 'it is empty' });
    if (JSON.stringify(loaded.config.raw) === this.#known) return;
    const before = this.#current;
    before.ending.abort();
    // Jobs see their passes only where nothing unsafe runs beside them: neither may begin before the other has ended (R7).
    if (before.verdict.verdict !== loaded.verdict.verdict) {
      log.warn('runner.reload_waits_for_jobs');
      await Promise.allSettled(this.#generations.map(({ ended }) => ended));
    }
    this.begin(loaded);
  }

  async #untilEnded(): Promise<void> {
    await new Promise((resolve) => this.draining.addEventListener('abort', resolve, { once: true }));
    await this.#reloading;
    await Promise.all(this.#generations.map(({ ended }) => ended));
    this.#options.log.info('runner.stopped');
  }

  drain(): Promise<void> {
    this.#draining.abort();
    return this.ended;
  }

  stop(): Promise<void> {
    this.#stopping.abort();
    return this.drain();
  }
}
