const month = 2_592_000;
const year = 31_557_600;
const units: ReadonlyMap<string, number> = new Map([
  ...words(1, ['s', 'sec', 'secs', 'second', 'seconds']),
  ...words(60, ['m', 'min', 'mins', 'minute', 'minutes']),
  ...words(3600, ['h', 'hr', 'hrs', 'hour', 'hours']),
  ...words(86_400, ['d', 'day', 'days']),
  ...words(604_800, ['w', 'wk', 'wks', 'week', 'weeks']),
  ...words(month, ['mo', 'mos', 'mth', 'mths', 'month', 'months']),
  ...words(year, ['y', 'yr', 'yrs', 'year', 'years']),
]);
const maxSeconds = 1000 * year;

/**
 * GitLab's durations: `90` (seconds), `1h 30m`, `2 hours and 20 minutes`, `3 weeks`, `1.5 hours`.
 * @returns whole seconds, at most 1,000 years; undefined for anything else
 */
export function parseDuration(text: string): number | undefined {
  const clean = text.trim().toLowerCase();
  if (clean.length > 100) return undefined;
  let seconds = 0;
  if (/^\d{1,11}$/.test(clean)) seconds = Number(clean);
  else if (!/^\d+(?:\.\d+)?\s*[a-z]+(?:(?:\s*,\s*|\s+and\s+|\s*)\d+(?:\.\d+)?\s*[a-z]+)*$/.test(clean)) return undefined;
  else {
    for (const [, number = '', word = ''] of clean.matchAll(/(\d+(?:\.\d+)?)\s*([a-z]+)/g)) {
      const unit = units.get(word);
      if (unit === undefined) return undefined;
      seconds += Number(number) * unit;
    }
  }
  return seconds <= maxSeconds ? Math.round(seconds) : undefined;
}

function words(seconds: number, names: readonly string[]): [string, number][] {
  return names.map((name) => [name, seconds]);
}
