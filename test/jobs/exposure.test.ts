import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { millis } from '../../src/base/ids.ts';
import { type ExposureAsk, exposureOf, withinBounds } from '../../src/jobs/exposure.ts';

const runner = { trust: 'full', unsafeAccepted: false, publicKey: 'key', pinned: null } as const;
const pin = (verdict: 'withhold' | 'expose') => ({ verdict, reasons: [], at: millis(1) });
const ask = (change: Partial<ExposureAsk>) =>
  exposureOf({
    asked: 'variable',
    given: undefined,
    bounds: [],
    runner,
    signed: { verdict: 'expose', unsafe: false },
    ...change,
  });

describe('R7 exposure', () => {
  test('R7 a job that does not ask sees nothing', () => {
    expect(ask({ asked: undefined }).exposure).toBe('withhold');
    expect(ask({ asked: 'everything' }).exposure).toBe('withhold');
    expect(ask({}).exposure).toBe('variable');
  });
  test('R7 an unsigned request never exposes', () => {
    expect(ask({ signed: null }).exposure).toBe('withhold');
  });
  test('R7 the gate of the runner has the last word', () => {
    expect(ask({ signed: { verdict: 'withhold', unsafe: false } }).exposure).toBe('withhold');
  });
  test('R7 trust below full never exposes', () => {
    expect(ask({ runner: { ...runner, trust: 'fetch', unsafeAccepted: true } }).exposure).toBe('withhold');
  });
  test('R7 an override of the gate needs an admin who accepted it', () => {
    const signed = { verdict: 'expose', unsafe: true } as const;
    expect(ask({ signed }).exposure).toBe('withhold');
    expect(ask({ signed, runner: { ...runner, unsafeAccepted: true } }).exposure).toBe('variable');
  });
  test('R7 a pinned withhold wins over what the runner reports, also where an admin accepted it as unsafe', () => {
    const pinned = { ...runner, unsafeAccepted: true, pinned: pin('withhold') };
    expect(ask({ runner: pinned }).exposure).toBe('withhold');
    expect(ask({ runner: pinned, signed: { verdict: 'expose', unsafe: true } }).exposure).toBe('withhold');
    expect(ask({ runner: { ...pinned, publicKey: null }, signed: null }).exposure).toBe('withhold');
  });
  test('R7 a pinned expose speaks for an older runner, which cannot sign, and for no other', () => {
    const older = { ...runner, publicKey: null, pinned: pin('expose') };
    expect(ask({ runner: older, signed: null })).toMatchObject({ exposure: 'variable', why: expect.stringContaining('pinned') });
    expect(ask({ runner: { ...older, pinned: null }, signed: null }).exposure).toBe('withhold');
    // A60: with a stolen token, leaving the signature out must not help.
    expect(ask({ runner: { ...older, publicKey: 'key' }, signed: null }).exposure).toBe('withhold');
    expect(ask({ runner: older, signed: { verdict: 'withhold', unsafe: false } }).exposure).toBe('withhold');
  });
  test('R7 a pin is never better than trust, nor than what was asked', () => {
    for (const trust of ['none', 'fetch'] as const)
      expect(ask({ runner: { ...runner, publicKey: null, trust, pinned: pin('expose') }, signed: null }).exposure).toBe('withhold');
    const older = { ...runner, publicKey: null, pinned: pin('expose') };
    expect(ask({ runner: older, signed: null, asked: undefined }).exposure).toBe('withhold');
    expect(ask({ runner: older, signed: null, asked: 'replace', bounds: [{ by: 'the project', maximum: 'variable' }] }).exposure).toBe(
      'variable',
    );
  });
  test('R7 instance, project and starting user bound it, each one alone', () => {
    const words = fc.constantFrom(null, 'withhold', 'variable', 'replace');
    const rank = (word: string | null) => ['withhold', 'variable', 'replace', null].indexOf(word);
    fc.assert(
      fc.property(fc.array(words, { maxLength: 3 }), fc.constantFrom('variable', 'replace'), (maxima, asked) => {
        const bounds = maxima.map((maximum, index) => ({ by: `level ${index}`, maximum }));
        const { exposure, why } = ask({ asked, bounds });
        expect(rank(exposure)).toBe(Math.min(rank(asked), ...maxima.map(rank)));
        for (const { by, maximum } of bounds) if (maximum === exposure && exposure !== asked) expect(why).toContain(by);
        expect(withinBounds(exposure, bounds)).toBe(true);
      }),
    );
  });
  test('A50 what a trigger gives narrows, and never widens', () => {
    expect(ask({ given: 'replace' }).exposure).toBe('variable');
    expect(ask({ asked: 'replace', given: 'variable' }).exposure).toBe('variable');
    expect(ask({ given: 'withhold' }).exposure).toBe('withhold');
    expect(ask({ given: 'all' }).exposure).toBe('withhold');
    expect(ask({ asked: undefined, given: 'replace' }).exposure).toBe('withhold');
    expect(ask({ kept: 'replace' }).exposure).toBe('variable');
    expect(ask({ asked: 'replace', kept: 'variable' }).exposure).toBe('variable');
    expect(ask({ kept: 'all' }).exposure).toBe('withhold');
    expect(ask({ asked: undefined, kept: 'replace' }).exposure).toBe('withhold');
  });
});
