import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseDuration } from '../../src/pipeline/duration.ts';

test.each([
  ['90', 90],
  ['1h 30m', 5400],
  ['1h30m', 5400],
  ['90 minutes', 5400],
  ['3 hours and 20 minutes', 12_000],
  ['2 days, 4 hours', 187_200],
  ['1.5 hours', 5400],
  ['1 week', 604_800],
  ['3 mos', 7_776_000],
  ['1 yr', 31_557_600],
  [' 10 SEC ', 10],
])('reads %j', (text, seconds) => {
  expect(parseDuration(text)).toBe(seconds);
});

test.each(['', 'never', 'h', '1 fortnight', '-1h', '1h -', '1h and', '1,000', '1e9', '9999 years', '9'.repeat(101)])(
  'refuses %j',
  (text) => {
    expect(parseDuration(text)).toBeUndefined();
  },
);

test('any text gives whole seconds, or nothing', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[0-9]{1,12} ?[a-z]{1,7}( and |, )?[0-9.]{0,5}[dhms]?$/)), (text) => {
      const seconds = parseDuration(text);
      expect(seconds === undefined || (Number.isSafeInteger(seconds) && seconds >= 0)).toBe(true);
    }),
  );
});
