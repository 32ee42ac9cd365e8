import { JobpassError } from '../../base/errors.ts';
import { type EpochMillis, millis } from '../../base/ids.ts';
import type { Visibility } from '../../base/levels.ts';
import { ParamError } from './errors.ts';

/** Fields of query and body together, as GitLab takes them: the body wins. Names are looked up safely. */
export class Params {
  readonly #values: ReadonlyMap<string, unknown>;
  readonly #read = new Set<string>();

  constructor(query: URLSearchParams, body: unknown) {
    const values = new Map<string, unknown>();
    for (const [name, value] of query) addFormField(values, name, value);
    if (body instanceof URLSearchParams) for (const [name, value] of body) addFormField(values, name, value);
    else if (typeof body === 'object' && body !== null) for (const [name, value] of Object.entries(body)) values.set(name, value);
    for (const [name, value] of values)
      if (holdsZero(name, value)) throw new ParamError(`${name.replaceAll('\0', '')} is invalid: it holds the character U+0000`);
    this.#values = values;
  }

  #take(name: string): unknown {
    this.#read.add(name);
    return this.#values.get(name);
  }

  /** True where the field was sent, and nobody has looked at it. */
  unread(name: string): boolean {
    return this.#values.has(name) && !this.#read.has(name);
  }

  /** True where the field was sent, also as null or empty. */
  given(name: string): boolean {
    this.#read.add(name);
    return this.#values.has(name);
  }

  has(name: string): boolean {
    return this.#take(name) !== undefined && this.#take(name) !== null;
  }

  text(name: string): string {
    const value = this.optionalText(name);
    if (value === undefined) throw new ParamError(`${name} is missing`);
    if (value === '') throw new ParamError(`${name} is empty`);
    return value;
  }

  optionalText(name: string): string | undefined {
    const value = this.#take(name);
    if (value === undefined || value === null) return undefined;
    if (typeof value === 'number' || typeof value === 'boolean') return String(value);
    if (typeof value !== 'string') throw new ParamError(`${name} is invalid`);
    return value;
  }

  integer(name: string): number | undefined {
    const value = this.optionalText(name);
    if (value === undefined || value === '') return undefined;
    if (!/^-?\d{1,15}$/.test(value)) throw new ParamError(`${name} is invalid`);
    return Number(value);
  }

  /** A number with or without a fraction; an empty text is none. */
  decimal(name: string): number | undefined {
    const value = this.optionalText(name);
    if (value === undefined || value === '') return undefined;
    if (!/^-?\d{1,15}(?:\.\d{1,15})?$/.test(value)) throw new ParamError(`${name} is invalid`);
    return Number(value);
  }

  flag(name: string): boolean | undefined {
    const value = this.optionalText(name)?.toLowerCase();
    if (value === undefined || value === '') return undefined;
    if (['true', '1', 'yes', 't', 'on'].includes(value)) return true;
    if (['false', '0', 'no', 'f', 'off'].includes(value)) return false;
    throw new ParamError(`${name} is invalid`);
  }

  oneOf<Word extends string>(name: string, words: readonly Word[]): Word | undefined {
    const value = this.optionalText(name);
    if (value === undefined || value === '') return undefined;
    const word = words.find((one) => one === value);
    if (word === undefined) throw new ParamError(`${name} does not have a valid value`);
    return word;
  }

  visibility(): Visibility | undefined {
    return this.oneOf('visibility', ['private', 'internal', 'public']);
  }

  /** A list of words: an array, or one text with commas. */
  words(name: string): readonly string[] | undefined {
    const value = this.#take(name);
    if (value === undefined || value === null) return undefined;
    const list = Array.isArray(value) ? value : typeof value === 'string' ? value.split(',') : undefined;
    if (list === undefined || list.length > 100 || !list.every((word) => typeof word === 'string'))
      throw new ParamError(`${name} is invalid`);
    return list.map((word) => word.trim()).filter((word) => word !== '');
  }

  /** A list of numbers, as texts: an array, one number, or one text with commas. */
  numbers(name: string): readonly string[] | undefined {
    const value = this.#take(name);
    if (typeof value === 'number') return [String(value)];
    if (!Array.isArray(value)) return this.words(name);
    if (value.length > 100) throw new ParamError(`${name} is invalid`);
    return value.map((one: unknown) => (typeof one === 'number' || typeof one === 'string' ? String(one) : fail(name)));
  }

  /** A list of sentences: an array of at most 100 texts, taken as they are. */
  texts(name: string): readonly string[] | undefined {
    const value = this.#take(name);
    if (value === undefined || value === null) return undefined;
    if (!Array.isArray(value) || value.length > 100) throw new ParamError(`${name} is invalid`);
    return value.map((one: unknown) => (typeof one === 'string' ? one : fail(name)));
  }

  list(name: string): readonly Params[] {
    const value = this.#take(name);
    if (value === undefined || value === null) return [];
    if (!Array.isArray(value) || value.length > 1000) throw new ParamError(`${name} is invalid`);
    return value.map((item) => new Params(new URLSearchParams(), item));
  }

  /** A nested object, empty where it is missing. */
  nested(name: string): Params {
    const value = this.#take(name);
    if (value instanceof Map) return new Params(new URLSearchParams(), Object.fromEntries(value));
    return new Params(new URLSearchParams(), typeof value === 'object' && value !== null && !Array.isArray(value) ? value : {});
  }

  /** Anything, as it came. */
  value(name: string): unknown {
    return this.#take(name);
  }

  /** A map of anything, as JSON or as a form's `name[K]=v`. @returns undefined where it is missing */
  map(name: string): Readonly<Record<string, unknown>> | undefined {
    const value = this.#take(name);
    if (value === undefined || value === null) return undefined;
    if (value instanceof Map) return Object.fromEntries(value);
    if (typeof value !== 'object' || Array.isArray(value)) throw new ParamError(`${name} is invalid`);
    return Object.fromEntries(Object.entries(value));
  }

  /** A map of texts: `{K: v}` or `name[K]=v`. @throws ParamError for anything nested */
  pairs(name: string): readonly (readonly [string, string])[] {
    const value = this.#take(name);
    if (value === undefined || value === null) return [];
    if (typeof value !== 'object' || Array.isArray(value)) throw new ParamError(`${name} is invalid`);
    const entries: readonly (readonly [unknown, unknown])[] = value instanceof Map ? [...value] : Object.entries(value);
    return entries.map(([key, text]) => {
      if (typeof key !== 'string' || (typeof text !== 'string' && typeof text !== 'number' && typeof text !== 'boolean'))
        throw new ParamError(`${name} is invalid`);
      return [key, String(text)];
    });
  }

  /** A day (`2026-12-31`) or time in RFC 3339. */
  time(name: string): EpochMillis | undefined {
    const value = this.optionalText(name);
    if (value === undefined || value === '') return undefined;
    const at = /^\d{4}-\d{2}-\d{2}(?:[T ]|$)/.test(value) ? Date.parse(value) : Number.NaN;
    if (Number.isNaN(at)) throw new ParamError(`${name} is invalid`);
    return millis(at);
  }
}

/** No store keeps it in a text, and nothing that runs is given it. What is written into a file may hold anything. */
function holdsZero(name: string, value: unknown): boolean {
  if (name.includes('\0')) return true;
  if (name === 'content') return false;
  if (typeof value === 'string') return value.includes('\0');
  if (value instanceof Map) return [...value].some(([key, inner]) => holdsZero(String(key), inner));
  return typeof value === 'object' && value !== null && Object.entries(value).some(([key, inner]) => holdsZero(key, inner));
}

function fail(name: string): never {
  throw new ParamError(`${name} is invalid`);
}

/** `a[]=1`, `a[b]=1` and plain `a=1`. Deeper nesting is JSON's. Grows in place: a copy a field would let a small form hold the server for minutes. */
function addFormField(values: Map<string, unknown>, name: string, value: string): void {
  const match = /^([^[\]]+)(?:\[([^[\]]*)\])?$/.exec(name);
  if (match === null) throw new JobpassError('invalid_input', `The parameter ${name.slice(0, 100)} is malformed.`);
  const [, base = '', key] = match;
  const known = values.get(base);
  if (key === undefined) values.set(base, value);
  else if (key === '') {
    if (Array.isArray(known)) known.push(value);
    else values.set(base, [value]);
  } else if (known instanceof Map) known.set(key, value);
  else values.set(base, new Map([[key, value]]));
}
