import type { EpochMillis } from './ids.ts';

/** Where the time comes from; injected, so that tests freeze and step it. */
export interface Clock {
  /** Wall time. */
  now(): EpochMillis;
  /** Milliseconds that never run backwards; for deadlines inside one process. */
  monotonic(): number;
}

export const systemClock: Clock = {
  now: () => Date.now() as EpochMillis,
  monotonic: () => performance.now(),
};

/** RFC 3339 with milliseconds, as GitLab prints times. */
export function isoTime(at: EpochMillis): string {
  return new Date(at).toISOString();
}

/** As `isoTime`, null for a time that is not there. */
export function isoTimeOrNull(at: EpochMillis | null | undefined): string | null {
  return at === null || at === undefined ? null : isoTime(at);
}
