import { describe, expect, test } from 'vitest';
import { type ExposureAsk, exposureOf } from '../../src/jobs/exposure.ts';

const ask = (change: Partial<ExposureAsk>) =>
  exposureOf({
    asked: 'variable',
    given: undefined,
    maximum: 'replace',
    runner: { trust: 'full', unsafeAccepted: false },
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
    expect(ask({ runner: { trust: 'fetch', unsafeAccepted: true } }).exposure).toBe('withhold');
  });
  test('R7 an override of the gate needs an admin who accepted it', () => {
    const signed = { verdict: 'expose', unsafe: true } as const;
    expect(ask({ signed }).exposure).toBe('withhold');
    expect(ask({ signed, runner: { trust: 'full', unsafeAccepted: true } }).exposure).toBe('variable');
  });
});
