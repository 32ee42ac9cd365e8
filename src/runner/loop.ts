import type { Log } from '../base/log.ts';
import { JobpassError } from '../base/errors.ts';
import { cleanLeftovers } from './cleanup.ts';
import { RunnerClient } from './client.ts';
import { readConfig } from './config.ts';
import { executorNamed } from './executors/index.ts';
import { removeUnusedMirrors } from './git/mirror.ts';
import { type Judgement, judge } from './gate/judge.ts';
import { loadKey } from './identity.ts';
import { Poller } from './poller.ts';
import { Permits } from './slots.ts';
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
  /** Resolves when everything has ended. */
  readonly ended: Promise<void>;
}

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
    shutdownTimeoutSeconds: config.shutdownTimeoutSeconds,
    ended,
    drain,
    stop() {
      stopping.abort();
      return drain();
    },
  };
}
