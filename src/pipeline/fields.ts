/** A plain map of the parsed file: YAML's dates, sets and binary values are objects, too. */
export type Fields = Readonly<Record<string, unknown>>;

export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}

/** A scalar as text; empty for anything else. */
export function scalarText(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? String(value) : '';
}

/**
 * The value of a variable, as it was written: nothing is the empty text. What YAML reads as another number than the text is none (`1.10` would be 1.1), as in GitLab.
 * @returns undefined for anything else
 */
export function variableText(value: unknown): string | undefined {
  if (value === null) return '';
  if (typeof value === 'string') return value;
  return typeof value === 'number' && Number.isSafeInteger(value) ? String(value) : undefined;
}

/** Behind what a value must be. */
export const quoteHint = '(quote a date, a version such as `1.10`, `yes` or `true`)';

/** A list of texts and numbers. */
export function isTexts(value: unknown): value is readonly (string | number)[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string' || typeof item === 'number');
}

/** Lists may nest (from anchors), as GitLab allows. */
export function flatten(value: unknown, depth: number): string[] | undefined {
  if (typeof value === 'string') return [value];
  if (typeof value === 'number' || typeof value === 'boolean') return [String(value)];
  if (!Array.isArray(value) || depth > 10) return undefined;
  const parts = value.map((item: unknown) => flatten(item, depth + 1));
  return parts.some((part) => part === undefined) ? undefined : parts.flatMap((part) => part ?? []);
}
