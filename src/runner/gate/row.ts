import { isTable } from '../parsed.ts';

/** What a key may hold, as gitlab-runner decodes it. `words` is a text or a list of texts; a `map` has keys of the operator's choice. */
export type Kind = 'text' | 'texts' | 'words' | 'number' | 'numbers' | 'flag' | 'duration' | 'time' | 'map' | 'table' | 'tables';

/** A value that keeps other people out: in words for the reference, and as a test that takes anything. */
export interface Condition {
  readonly words: string;
  readonly holds: (value: unknown) => boolean;
}

/** What the gate knows of one key. Data: the judge, `docs/gate.md` and the tests all read it. */
export interface Row {
  readonly key: string;
  readonly kind: Kind;
  /** Missing: any value of the kind is safe. */
  readonly safe?: Condition;
  /** Why the rest is not, for people. */
  readonly reason: string;
  /** What to do about it. */
  readonly remedy: string;
  /** What it opens is the machine below the container, which matters unless that machine is the job's alone. */
  readonly machine: boolean;
  /** Keys of a `table`, or of each of `tables`. */
  readonly section?: Section;
}

export interface Section {
  readonly rows: readonly Row[];
  /** True where keys are matched as they are written (a Go map); elsewhere upper and lower case are one. */
  readonly exact: boolean;
}

/** Keys, separated by spaces, of which any value is safe. */
export function harmless(kind: Kind, keys: string): readonly Row[] {
  return keys.split(/\s+/).map((key) => ({ key, kind, reason: '', remedy: '', machine: false }));
}

/** Keys, separated by spaces, that are safe under one condition only. */
export function risky(
  kind: Kind,
  keys: string,
  rule: { readonly safe?: Condition; readonly reason: string; readonly remedy?: string; readonly machine?: boolean },
): readonly Row[] {
  const { safe = unset, reason, remedy = 'Remove it.', machine = false } = rule;
  return keys.split(/\s+/).map((key) => ({ key, kind, safe, reason, remedy, machine }));
}

interface Nested {
  /** Keys are matched as they are written. */
  readonly exact?: boolean;
  /** Given where having anything in it is unsafe. */
  readonly unsafe?: { readonly reason: string; readonly remedy: string };
}

/** A table with keys of its own. */
export function table(key: string, rows: readonly Row[], options: Nested = {}): Row {
  return nested(key, 'table', rows, options);
}

/** A list of tables. */
export function tables(key: string, rows: readonly Row[], options: Nested = {}): Row {
  return nested(key, 'tables', rows, options);
}

function nested(key: string, kind: Kind, rows: readonly Row[], { exact = false, unsafe }: Nested): Row {
  const section = { rows, exact };
  if (unsafe === undefined) return { key, kind, reason: '', remedy: '', machine: false, section };
  return { key, kind, safe: unset, ...unsafe, machine: false, section };
}

export const unset: Condition = {
  words: 'not set',
  holds: (value) =>
    value === undefined ||
    value === '' ||
    value === false ||
    value === 0 ||
    (Array.isArray(value) && value.length === 0) ||
    (isTable(value) && Object.keys(value).length === 0),
};

export const isTrue: Condition = { words: '`true`', holds: (value) => value === true };
export const isFalse: Condition = { words: '`false`', holds: (value) => value === false };

/** One of these, or not set. */
export function oneOf(...values: readonly (string | number)[]): Condition {
  return {
    words: `not set, or ${values.map((value) => `\`${value}\``).join(', ')}`,
    holds: (value) => unset.holds(value) || values.some((one) => one === value),
  };
}

/** A text, a list of texts or a map of texts, each of which passes. */
export function each(words: string, passes: (text: string, key: string) => boolean): Condition {
  const all = (value: unknown): boolean => {
    if (typeof value === 'string') return passes(value, '');
    if (Array.isArray(value)) return value.every((one) => typeof one === 'string' && passes(one, ''));
    if (isTable(value)) return Object.entries(value).every(([key, one]) => typeof one === 'string' && passes(one, key));
    return false;
  };
  return { words, holds: (value) => value === undefined || all(value) };
}

const isText = (value: unknown): boolean => typeof value === 'string';
const isNumber = (value: unknown): boolean => typeof value === 'number' || typeof value === 'bigint';
const isTexts = (value: unknown): boolean => Array.isArray(value) && value.every(isText);
const isScalar = (value: unknown): boolean => isText(value) || isNumber(value) || typeof value === 'boolean';

/** What stands there instead makes the file unreadable to gitlab-runner, or means something that we do not know. */
export const ofKind: Readonly<Record<Kind, (value: unknown) => boolean>> = {
  text: isText,
  texts: isTexts,
  words: (value) => isText(value) || isTexts(value),
  number: isNumber,
  numbers: (value) => Array.isArray(value) && value.every(isNumber),
  flag: (value) => typeof value === 'boolean',
  duration: (value) => isText(value) || isNumber(value),
  time: (value) => value instanceof Date || isText(value),
  map: (value) => isTable(value) && Object.values(value).every((one) => isScalar(one) || isTexts(one)),
  table: isTable,
  tables: (value) => Array.isArray(value) && value.every(isTable),
};

/** The kinds in words. */
export const kindWords: Readonly<Record<Kind, string>> = {
  text: 'a text',
  texts: 'a list of texts',
  words: 'a text or a list of texts',
  number: 'a number',
  numbers: 'a list of numbers',
  flag: 'true or false',
  duration: 'a duration',
  time: 'a time',
  map: 'a table of plain values',
  table: 'a table',
  tables: 'a list of tables',
};
