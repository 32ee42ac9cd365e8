import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { millis } from '../../src/base/ids.ts';
import { deathOf, lifeLimits, unanswered } from '../../src/pass/life.ts';
import type { JobLife } from '../../src/ports/passes.ts';

const now = millis(1_000_000_000);
const pass = (kind: 'full' | 'fetch' | 'narrowed') => ({ kind, expiresAt: millis(now + 1000), revokedAt: null, revokedReason: null });
const life = (state: JobLife['state'], change: Partial<JobLife> = {}): JobLife => ({
  state,
  cancelingSince: null,
  contactAt: now,
  ...change,
});

describe('R2 the life of a pass', () => {
  test('R2 a pass lives while its job runs, and at no other time', () => {
    expect(deathOf(pass('full'), life('running'), now)).toBeUndefined();
    expect(deathOf(pass('full'), life('ended'), now)).toBe('its job is not running');
    expect(deathOf(pass('fetch'), life('waiting'), now)).toBe('its job is not running');
    expect(deathOf(pass('full'), undefined, now)).toBe('its job is unknown');
    expect(deathOf(pass('full'), 'unanswered', now)).toBe(unanswered);
  });

  test('R2 a pass is refused at its end, without leeway, and once it is revoked', () => {
    expect(deathOf({ ...pass('full'), expiresAt: now }, life('running'), now)).toBe('the pass has expired');
    expect(deathOf({ ...pass('full'), revokedAt: now }, life('running'), now)).toBe('the pass was given back or revoked');
    expect(deathOf({ ...pass('full'), revokedAt: now }, 'unanswered', now)).toBe('the pass was given back or revoked');
  });

  test('R12 who shows a pass that leaked is told so, and not where: it may be anybody', () => {
    const found = { ...pass('full'), revokedAt: now, revokedReason: 'found in a push to project 7' };
    expect(deathOf(found, life('running'), now)).toBe('the pass was found where it could be read, and revoked (R12)');
  });

  test('R2 canceling leaves the fetch pass, for five minutes at most', () => {
    const since = (agoMs: number) => life('canceling', { cancelingSince: millis(now - agoMs) });
    expect(deathOf(pass('full'), since(0), now)).toBe('its job is being canceled');
    expect(deathOf(pass('fetch'), since(lifeLimits.cancelingMs), now)).toBeUndefined();
    expect(deathOf(pass('fetch'), since(lifeLimits.cancelingMs + 1), now)).toBe('its job has been canceling for 5 minutes');
    expect(deathOf(pass('fetch'), life('canceling'), now)).toBe('its job has been canceling for 5 minutes');
  });

  test('R2 a clock that is set forward ends what ran out meanwhile; one that is set back lends no time', () => {
    const hour = 3_600_000;
    const at = (steps: number) => millis(now + steps);
    // Forward: the runner seems silent, the pass over.
    expect(deathOf({ ...pass('full'), expiresAt: at(2 * hour) }, life('running'), at(hour))).toBe(
      'its runner has been silent for 3 minutes',
    );
    expect(deathOf(pass('full'), life('running', { contactAt: at(hour) }), at(hour))).toBe('the pass has expired');
    // Back: the last word and the cancel lie in the future, and are not believed until the runner speaks again.
    const back = 'the clock was set back, and its runner has not been heard since';
    for (const kind of ['full', 'fetch', 'narrowed'] as const) expect(deathOf(pass(kind), life('running'), at(-hour))).toBe(back);
    expect(deathOf(pass('full'), life('running', { contactAt: at(-hour) }), at(-hour))).toBeUndefined();
    const canceling = life('canceling', { cancelingSince: now, contactAt: at(-hour) });
    expect(deathOf(pass('fetch'), canceling, at(-hour))).toBe('its job has been canceling for 5 minutes');
    // Nodes whose clocks are a little apart believe each other.
    expect(deathOf(pass('full'), life('running'), at(-lifeLimits.skewMs))).toBeUndefined();
  });

  test('R2 whatever its facts, a pass that lives is unrevoked, unexpired, heard of, and its job runs or (fetch) cancels', () => {
    const states = fc.constantFrom<JobLife['state']>('waiting', 'running', 'canceling', 'ended');
    const times = fc.integer({ min: now - 2_000_000, max: now + 2_000_000 }).map((at) => millis(at));
    fc.assert(
      fc.property(
        fc.constantFrom('full' as const, 'fetch' as const, 'narrowed' as const),
        times,
        fc.option(times),
        states,
        times,
        fc.option(times),
        (kind, expiresAt, revokedAt, state, contactAt, cancelingSince) => {
          if (deathOf({ kind, expiresAt, revokedAt, revokedReason: null }, { state, contactAt, cancelingSince }, now) !== undefined) return;
          expect(revokedAt).toBeNull();
          expect(expiresAt).toBeGreaterThan(now);
          expect(now - contactAt).toBeLessThanOrEqual(lifeLimits.silenceMs);
          expect(contactAt - now).toBeLessThanOrEqual(lifeLimits.skewMs);
          if (state === 'canceling') expect(Number(cancelingSince) - now).toBeLessThanOrEqual(lifeLimits.skewMs);
          expect(state === 'running' || (state === 'canceling' && kind === 'fetch')).toBe(true);
        },
      ),
      { numRuns: 2000 },
    );
  });
});
