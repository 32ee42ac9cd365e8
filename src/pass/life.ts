import type { EpochMillis } from '../base/ids.ts';
import type { JobLife, PassRecord } from '../ports/passes.ts';

/**
 * Limits of R2, in milliseconds. `skewMs` is how far the clocks of several nodes may be apart: a time further in the future was written before the
 * clock was set back, and says nothing.
 */
export const lifeLimits = { silenceMs: 3 * 60_000, cancelingMs: 5 * 60_000, skewMs: 30_000 } as const;

type Mortal = Pick<PassRecord, 'kind' | 'expiresAt' | 'revokedAt' | 'revokedReason'>;

/** Of a pass that may be alive for all that is known. */
export const unanswered = 'nobody said in time whether its job still runs';

/**
 * Is this pass alive now (R2)? Pure.
 * @param life undefined = the job is unknown, which means no; so does no answer
 * @returns undefined when alive, else why not
 */
export function deathOf(pass: Mortal, life: JobLife | 'unanswered' | undefined, now: EpochMillis): string | undefined {
  if (life === undefined) return 'its job is unknown';
  if (life === 'unanswered') return endOf(pass, now) ?? unanswered;
  if (life.state === 'waiting' || life.state === 'ended') return 'its job is not running';
  const end = endOf(pass, now);
  if (end !== undefined) return end;
  if (now - life.contactAt > lifeLimits.silenceMs) return 'its runner has been silent for 3 minutes';
  // Its runner's next word heals it.
  if (life.contactAt - now > lifeLimits.skewMs) return 'the clock was set back, and its runner has not been heard since';
  if (life.state === 'running') return undefined;
  if (pass.kind !== 'fetch') return 'its job is being canceled';
  const since = life.cancelingSince === null ? Infinity : now - life.cancelingSince;
  return since <= lifeLimits.cancelingMs && since >= -lifeLimits.skewMs ? undefined : 'its job has been canceling for 5 minutes';
}

/** Why a pass is none any more, whatever its job does. */
function endOf(pass: Mortal, now: EpochMillis): string | undefined {
  if (pass.revokedAt !== null)
    return wasLeaked(pass.revokedReason)
      ? 'the pass was found where it could be read, and revoked (R12)'
      : 'the pass was given back or revoked';
  if (now >= pass.expiresAt) return 'the pass has expired';
  return undefined;
}

/** Is the ordinary job token alive? While its job runs or cancels. */
export function jobTokenAlive(life: JobLife | 'unanswered' | undefined): boolean {
  return life !== undefined && life !== 'unanswered' && (life.state === 'running' || life.state === 'canceling');
}

/** Reasons of `pass/leaks.ts`. Where it was is for the audit trail: who shows a dead pass may be anybody. */
export function wasLeaked(reason: string | null): boolean {
  return reason?.startsWith('found in ') === true;
}
