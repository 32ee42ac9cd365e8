import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { millis } from '../../src/base/ids.ts';
import { nextRun, parseCron, parseTimezone } from '../../src/jobs/cron.ts';

const at = (text: string) => millis(Date.parse(text));
const next = (cron: string, after: string, timezone = 'UTC'): string | undefined => {
  const parsed = parseCron(cron);
  const found = parsed === undefined ? undefined : nextRun(parsed, at(after), timezone);
  return found === undefined ? undefined : new Date(found).toISOString();
};

/** Reads the line anew for each minute; knows only what the generator below writes. */
function naive(line: string, minute: number, clock: Intl.DateTimeFormat): boolean {
  const [minutes = '', hours = '', days = '', months = '', weekdays = ''] = line.split(' ');
  const shown = clock.format(minute);
  const [year = 0, month = 0, day = 0, hour = 0, showsMinute = 0] = shown.split(/\D/).map(Number);
  const weekday = new Date(Date.UTC(year, month - 1, day)).getUTCDay();
  const has = (field: string, value: number, first: number): boolean =>
    field.split(',').some((part) => {
      const [range = '', step = '1'] = part.split('/');
      if (range === '*') return (value - first) % Number(step) === 0;
      const [from = '', to = from] = range.split('-');
      return value >= Number(from) && value <= Number(to);
    });
  const onDay = has(days, day, 1);
  const onWeekday = has(weekdays, weekday, 0) || (weekday === 0 && has(weekdays, 7, 0));
  const either = !days.startsWith('*') && !weekdays.startsWith('*');
  return has(minutes, showsMinute, 0) && has(hours, hour, 0) && has(months, month, 1) && (either ? onDay || onWeekday : onDay && onWeekday);
}

describe('cron', () => {
  test.each([
    ['0 4 * * *', '2026-11-26T03:59:59Z', '2026-11-26T04:00:00.000Z'],
    ['0 4 * * *', '2026-11-26T04:00:00Z', '2026-11-27T04:00:00.000Z'],
    ['*/20 9-17 * * mon-fri', '2026-11-27T17:45:00Z', '2026-11-30T09:00:00.000Z'],
    ['5/30 0 1 jan,jul *', '2026-11-26T00:00:00Z', '2027-01-01T00:05:00.000Z'],
    ['0 0 13 * 5', '2026-11-13T00:00:00Z', '2026-11-20T00:00:00.000Z'],
    ['0 0 * * 7', '2026-11-26T00:00:00Z', '2026-11-29T00:00:00.000Z'],
    ['0 0 29 2 *', '2026-03-01T00:00:00Z', '2028-02-29T00:00:00.000Z'],
    ['@daily', '2026-11-26T10:00:00Z', '2026-11-27T00:00:00.000Z'],
    ['@Hourly', '2026-11-26T10:00:00Z', '2026-11-26T11:00:00.000Z'],
    ['@weekly', '2026-11-26T10:00:00Z', '2026-11-29T00:00:00.000Z'],
    ['@monthly', '2026-11-26T10:00:00Z', '2026-12-01T00:00:00.000Z'],
    ['@yearly', '2026-11-26T10:00:00Z', '2027-01-01T00:00:00.000Z'],
  ])('%s after %s (crontab(5))', (cron, after, wanted) => {
    expect(next(cron, after)).toBe(wanted);
  });

  test('the clock of the zone counts: left out in spring, twice in autumn', () => {
    expect(next('30 2 * * *', '2026-03-28T12:00:00Z', 'Europe/Berlin')).toBe('2026-03-30T00:30:00.000Z');
    expect(next('30 2 * * *', '2026-10-24T12:00:00Z', 'Europe/Berlin')).toBe('2026-10-25T00:30:00.000Z');
    expect(next('30 2 * * *', '2026-10-25T00:30:00Z', 'Europe/Berlin')).toBe('2026-10-25T01:30:00.000Z');
    expect(next('0 9 * * *', '2026-07-01T00:00:00Z', 'Asia/Kathmandu')).toBe('2026-07-01T03:15:00.000Z');
  });

  test('a day that never comes has no next run', () => {
    expect(next('0 0 30 2 *', '2026-11-26T00:00:00Z')).toBeUndefined();
  });

  test.each([
    '',
    '* * * *',
    '* * * * * *',
    '60 * * * *',
    '* 24 * * *',
    '* * 0 * *',
    '* * * 13 *',
    '* * * * 8',
    '5-1 * * * *',
    '*/0 * * * *',
    '1,,2 * * * *',
    '@reboot',
    '* * L * *',
    '* * * * mon#1',
    'a * * * *',
    '-1 * * * *',
    '1- * * * *',
    `${'1,'.repeat(200)}1 * * * *`,
  ])('R13 %j is refused', (text) => {
    expect(parseCron(text)).toBeUndefined();
  });

  test('R13 a zone is one that the machine knows', () => {
    expect(['UTC', 'Europe/Berlin', 'America/Argentina/Buenos_Aires'].map(parseTimezone)).not.toContain(undefined);
    expect(['', 'Mars/Olympus', '../etc/passwd', 'UTC\n', '+25:00'].map(parseTimezone)).toEqual(Array(5).fill(undefined));
  });

  test('agrees with a model that looks at every minute', () => {
    const zones = ['UTC', 'Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe', 'Asia/Kathmandu', 'America/Sao_Paulo'];
    const field = (first: number, last: number) => {
      const number = fc.integer({ min: first, max: last });
      return fc.oneof(
        { weight: 3, arbitrary: fc.constant('*') },
        number.map(String),
        fc.integer({ min: 1, max: last }).map((step) => `*/${step}`),
        fc.tuple(number, number).map(([one, two]) => `${Math.min(one, two)}-${Math.max(one, two)}`),
        fc.array(number, { minLength: 1, maxLength: 4 }).map((list) => list.join(',')),
      );
    };
    // Around the changes of the clock, where a quick way could go wrong.
    const start = fc.oneof(
      fc.integer({ min: at('2026-03-27T00:00:00Z'), max: at('2026-04-06T00:00:00Z') }),
      fc.integer({ min: at('2026-10-02T00:00:00Z'), max: at('2026-11-03T00:00:00Z') }),
    );
    const line = fc.tuple(field(0, 59), field(0, 23), field(1, 31), field(1, 12), field(0, 7)).map((parts) => parts.join(' '));
    fc.assert(
      fc.property(line, start, fc.constantFrom(...zones), (text, after, zone) => {
        const cron = parseCron(text);
        if (cron === undefined) throw new Error(text);
        const found = nextRun(cron, millis(after), zone);
        const clock = new Intl.DateTimeFormat('sv-SE', { timeZone: zone, dateStyle: 'short', timeStyle: 'short' });
        let minute = Math.floor(after / 60_000) * 60_000 + 60_000;
        const until = after + 2 * 24 * 3600_000;
        while (minute <= until && !naive(text, minute, clock)) minute += 60_000;
        if (minute <= until) expect(found).toBe(minute);
        else expect(found ?? Infinity).toBeGreaterThan(until);
      }),
      { numRuns: 25 },
    );
  });
});
