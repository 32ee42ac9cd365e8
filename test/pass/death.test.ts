import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { millis } from '../../src/base/ids.ts';
import { deathOf, lifeLimits } from '../../src/pass/life.ts';
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
  });

  test('R2 a pass is refused at its end, without leeway, and once it is revoked', () => {
    expect(deathOf({ ...pass('full'), expiresAt: now }, life('running'), now)).toBe('the pass has expired');
    expect(deathOf({ ...pass('full'), revokedAt: now }, life('running'), now)).toBe('the pass was given back or revoked');
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
          expect(state === 'running' || (state === 'canceling' && kind === 'fetch')).toBe(true);
        },
      ),
      { numRuns: 2000 },
    );
  });
});
