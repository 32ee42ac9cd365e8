const units: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800, mo: 2_592_000, y: 31_557_600 };

/**
 * GitLab's durations: `90`, `1h 30m`, `2 hours 20 minutes`, `3 weeks`.
 * @returns seconds, or undefined
 */
export function parseDuration(text: string): number | undefined {
  const clean = text.trim().toLowerCase();
  if (clean.length > 100) return undefined;
  if (/^\d{1,10}$/.test(clean)) return Number(clean);
  const parts = [
    ...clean.matchAll(
      /(\d{1,9}(?:\.\d{1,3})?)\s*(mo(?:nths?|s)?|y(?:ears?|rs?)?|w(?:eeks?)?|d(?:ays?)?|h(?:ours?|rs?)?|m(?:in(?:utes?|s)?)?|s(?:ec(?:onds?|s)?)?)(?![a-z])/g,
    ),
  ];
  const rest = clean.replaceAll(/(\d{1,9}(?:\.\d{1,3})?)\s*([a-z]+)/g, '').replaceAll(/\band\b|[\s,]/g, '');
  if (parts.length === 0 || rest !== '') return undefined;
  let seconds = 0;
  for (const [, number = '0', unit = ''] of parts)
    seconds += Number(number) * (units[unit.startsWith('mo') ? 'mo' : unit.charAt(0)] ?? Number.NaN);
  const words = clean.match(/\d+(?:\.\d+)?\s*[a-z]+/g)?.length ?? 0;
  return Number.isNaN(seconds) || words !== parts.length ? undefined : Math.round(seconds);
}
