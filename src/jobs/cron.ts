import { type EpochMillis, millis } from '../base/ids.ts';

/** When a schedule runs: five fields, each as the set of its numbers. @see crontab(5) */
export interface Cron {
  readonly minutes: ReadonlySet<number>;
  readonly hours: ReadonlySet<number>;
  readonly days: ReadonlySet<number>;
  readonly months: ReadonlySet<number>;
  /** 0 = Sunday. */
  readonly weekdays: ReadonlySet<number>;
  /** Both day fields name some days: then either suffices. */
  readonly eitherDay: boolean;
}

interface Field {
  readonly first: number;
  readonly last: number;
  readonly names: readonly string[];
}

const fields: readonly Field[] = [
  { first: 0, last: 59, names: [] },
  { first: 0, last: 23, names: [] },
  { first: 1, last: 31, names: [] },
  { first: 1, last: 12, names: ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'] },
  { first: 0, last: 7, names: ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'] },
];

const nicknames: ReadonlyMap<string, string> = new Map([
  ['@yearly', '0 0 1 1 *'],
  ['@annually', '0 0 1 1 *'],
  ['@monthly', '0 0 1 * *'],
  ['@weekly', '0 0 * * 0'],
  ['@daily', '0 0 * * *'],
  ['@midnight', '0 0 * * *'],
  ['@hourly', '0 * * * *'],
]);

const maxLength = 250;

/** @returns undefined for anything but five fields of numbers, names, ranges, steps and lists, or one of the `@` words */
export function parseCron(text: string): Cron | undefined {
  if (text.length > maxLength) return undefined;
  const plain = text.trim().toLowerCase();
  const words = (nicknames.get(plain) ?? plain).split(/[ \t]+/);
  if (words.length !== fields.length) return undefined;
  const sets = words.flatMap((word, index) => setOf(word, fields[index]) ?? []);
  const [minutes, hours, days, months, weekdays] = sets;
  if (minutes === undefined || hours === undefined || days === undefined || months === undefined || weekdays === undefined)
    return undefined;
  const [, , day = '*', , weekday = '*'] = words;
  return {
    minutes,
    hours,
    days,
    months,
    weekdays: new Set([...weekdays].map((number) => number % 7)),
    eitherDay: !day.startsWith('*') && !weekday.startsWith('*'),
  };
}

function setOf(word: string, field: Field | undefined): Set<number> | undefined {
  if (field === undefined) return undefined;
  const found = new Set<number>();
  for (const part of word.split(',')) {
    const match = /^(?:(\*)|([a-z]{3}|\d{1,2})(?:-([a-z]{3}|\d{1,2}))?)(?:\/(\d{1,2}))?$/.exec(part);
    if (match === null) return undefined;
    const [, all, from, to, step] = match;
    const first = all === undefined ? numberOf(from, field) : field.first;
    // `5/10` goes on to the end of the field, as crons do.
    const last = all !== undefined || (to === undefined && step !== undefined) ? field.last : numberOf(to ?? from, field);
    const by = step === undefined ? 1 : Number(step);
    if (first === undefined || last === undefined || first > last || by < 1) return undefined;
    for (let number = first; number <= last; number += by) found.add(number);
  }
  return found;
}

function numberOf(word: string | undefined, field: Field): number | undefined {
  const named = field.names.indexOf(word ?? '');
  const number = named >= 0 ? named + (field.first === 1 ? 1 : 0) : /^\d+$/.test(word ?? '') ? Number(word) : undefined;
  return number !== undefined && number >= field.first && number <= field.last ? number : undefined;
}

/** @returns the zone's name where the machine's tables have it (IANA), or undefined */
export function parseTimezone(name: string): string | undefined {
  if (!/^[A-Za-z][A-Za-z0-9_+/-]{0,63}$/.test(name)) return undefined;
  try {
    clockOf(name);
    return name;
  } catch {
    return undefined;
  }
}

const clocks = new Map<string, Intl.DateTimeFormat>();
const keptClocks = 100;

/** @throws RangeError for a zone that the machine does not know */
function clockOf(timezone: string): Intl.DateTimeFormat {
  const known = clocks.get(timezone);
  if (known !== undefined) return known;
  const made = new Intl.DateTimeFormat('en-US', {
    timeZone: timezone,
    hourCycle: 'h23',
    month: 'numeric',
    day: 'numeric',
    weekday: 'short',
    hour: 'numeric',
    minute: 'numeric',
  });
  if (clocks.size >= keptClocks) clocks.clear();
  clocks.set(timezone, made);
  return made;
}

interface Wall {
  readonly minute: number;
  readonly hour: number;
  readonly day: number;
  readonly month: number;
  readonly weekday: number;
}

/** What a clock in that zone shows. */
function wallAt(at: number, timezone: string): Wall {
  const parts = new Map(
    clockOf(timezone)
      .formatToParts(at)
      .map(({ type, value }) => [type, value]),
  );
  const number = (part: Intl.DateTimeFormatPartTypes): number => Number(parts.get(part));
  const weekday = (fields[4]?.names ?? []).indexOf((parts.get('weekday') ?? '').toLowerCase());
  return { minute: number('minute'), hour: number('hour'), day: number('day'), month: number('month'), weekday };
}

function dayFits({ months, days, weekdays, eitherDay }: Cron, { month, day, weekday }: Wall): boolean {
  const [byDay, byWeekday] = [days.has(day), weekdays.has(weekday)];
  return months.has(month) && (eitherDay ? byDay || byWeekday : byDay && byWeekday);
}

const minuteMs = 60_000;
/** Long enough for every 29 February. */
const horizonMs = 9 * 366 * 24 * 60 * minuteMs;
/** No clock is put forward or back by more than that at once. */
const shiftMinutes = 180;

/**
 * The first minute after `after` at which the zone's clock shows what the fields say. What a clock leaves out in spring is left out; what it
 * shows twice in autumn counts twice.
 * @returns undefined where that never comes (30 February)
 */
export function nextRun(cron: Cron, after: EpochMillis, timezone: string): EpochMillis | undefined {
  let at = Math.floor(after / minuteMs) * minuteMs + minuteMs;
  const end = at + horizonMs;
  while (at <= end) {
    const wall = wallAt(at, timezone);
    if (!dayFits(cron, wall)) {
      // Not as far as midnight: the clock may be put forward before.
      const left = 24 * 60 - (wall.hour * 60 + wall.minute);
      at += Math.max(left - shiftMinutes, Math.min(left, 60 - wall.minute)) * minuteMs;
    } else if (!cron.hours.has(wall.hour)) at += (60 - wall.minute) * minuteMs;
    else if (cron.minutes.has(wall.minute)) return millis(at);
    else at += minuteMs;
  }
  return undefined;
}
