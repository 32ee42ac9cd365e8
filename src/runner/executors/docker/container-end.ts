import { setTimeout as delay } from 'node:timers/promises';
import { isJobpassError, JobpassError } from '../../../base/errors.ts';
import type { Engine } from '../../engine/engine.ts';
import { flagIn, isTable, numberIn, tableIn, textIn } from '../../parsed.ts';

export interface EndOptions {
  /** Aborted when the container was told to end: it may not take much longer then. */
  readonly told: AbortSignal;
  readonly lookEveryMs?: number;
  readonly endWithinMs?: number;
  /** How long an engine may know nothing of its start, which it has said it had done. */
  readonly lostWithinMs?: number;
}

const soonMs = 200;

/**
 * The exit code of a container, once it has ended. The engine is asked to say so, and the container is looked at beside: an engine may lose the
 * end that somebody waits for or the connection on which it would say so, or answer before it knows the code.
 * @throws upstream_failed where it does not end though it was told to, or the engine has lost it; not_found where it is gone
 */
export async function exitCodeOf(engine: Engine, container: string, options: EndOptions): Promise<number> {
  const { told, lookEveryMs = 5000, endWithinMs = 60_000, lostWithinMs = 10_000 } = options;
  const over = new AbortController();
  const { signal } = over;
  let toldAt: number | undefined;
  let lostAt: number | undefined;
  let paceMs = lookEveryMs;
  let said: Promise<Heard> = engine.wait(container, signal).then(
    (code) => ({ code, last: true, lost: false }),
    (error: unknown) => {
      if (!isJobpassError(error, 'upstream_failed')) throw error;
      return { code: undefined, last: true, lost: false };
    },
  );
  // An engine that keeps a look waiting may still say the end.
  const look = async (): Promise<Heard> => {
    await delay(paceMs, undefined, { signal });
    return { ...(await stateOf(engine, container)), last: false };
  };
  try {
    for (;;) {
      const { code, last, lost } = await Promise.race([said, look()]);
      if (code !== undefined) return code;
      if (!last) lostAt = lost ? (lostAt ?? performance.now()) : undefined;
      if (lostAt !== undefined && performance.now() - lostAt >= lostWithinMs)
        throw new JobpassError(
          'upstream_failed',
          'The container engine has lost the container: it was started, and is as if it never was.',
        );
      if (last) {
        // It is not asked again: it would say the same at once.
        said = new Promise(() => undefined);
        paceMs = Math.min(paceMs, soonMs);
      }
      if (told.aborted) toldAt ??= performance.now();
      if (toldAt !== undefined && performance.now() - toldAt >= endWithinMs)
        throw new JobpassError('upstream_failed', `The container has not ended within ${endWithinMs / 1000} s though it was told to.`);
    }
  } finally {
    said.catch(() => undefined);
    over.abort();
  }
}

interface State {
  /** Undefined while it has not ended. */
  readonly code: number | undefined;
  /** It is as if it had never begun. */
  readonly lost: boolean;
}

interface Heard extends State {
  /** Nothing more comes from there. */
  readonly last: boolean;
}

/**
 * By the time of its end, not by the word for its state: podman 4 calls one that has ended `created` where start and end came at once. It calls what it
 * has forgotten so, too, as when what it keeps below /run was taken away.
 */
async function stateOf(engine: Engine, container: string): Promise<State> {
  const facts = await engine.call('GET', `/containers/${container}/json`);
  const state = isTable(facts) ? tableIn(facts, 'State') : undefined;
  if (state === undefined || flagIn(state, 'Running') !== false) return { code: undefined, lost: false };
  // `0001-01-01T00:00:00Z` for never.
  const code = /^(?!0001-)\d/.test(textIn(state, 'FinishedAt') ?? '') ? numberIn(state, 'ExitCode') : undefined;
  return { code, lost: code === undefined && textIn(state, 'Status') === 'created' };
}
