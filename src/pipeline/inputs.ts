import { RE2JS } from 're2js';
import { type Fields, isFields } from './fields.ts';
import { type InputRule, inOrder, ruled } from './input-rules.ts';
import { shorten } from './reader.ts';

/** Of a list: texts, numbers, maps (rules) … as they stand in the file. */
export type InputValue = string | number | boolean | readonly unknown[];
/** What a file is given for its `spec:inputs`. */
export type InputArguments = Readonly<Record<string, InputValue>>;
/** Lists and maps in each other. */
const deepest = 20;
export const inputTypes = ['array', 'boolean', 'number', 'string'] as const;

export interface InputSpec {
  readonly type: (typeof inputTypes)[number];
  readonly default?: unknown;
  readonly options?: readonly unknown[];
  readonly regex?: string;
  /** In place of `options` and `default`. */
  readonly rules?: readonly InputRule[];
}

/**
 * The value of each input of a file.
 * @returns what is wrong otherwise, as GitLab says it
 * @see GitLab, CI/CD YAML syntax reference: `spec:inputs`
 */
export function resolveInputs(
  specs: ReadonlyMap<string, InputSpec>,
  given: InputArguments,
): { readonly values: ReadonlyMap<string, InputValue> } | { readonly errors: readonly string[] } {
  const unknown = Object.keys(given).filter((name) => !specs.has(name));
  const errors = unknown.length === 0 ? [] : [`unknown input arguments: ${unknown.map((name) => shorten(name)).join(', ')}`];
  const ordered = inOrder(specs);
  if ('errors' in ordered) return { errors: [...errors, ...ordered.errors] };
  const values = new Map<string, InputValue>();
  for (const name of ordered.order) {
    const written = specs.get(name);
    if (written === undefined) continue;
    const spec = ruled(written, values);
    const wrong = (message: string): unknown => errors.push(`\`${shorten(name)}\` input: ${message}`);
    const own = Object.hasOwn(given, name) ? given[name] : undefined;
    if (own === undefined && spec.default === undefined) {
      wrong('required value has not been provided');
      continue;
    }
    for (const [value, which] of [[spec.default, 'default'] as const, [own, 'provided'] as const]) {
      if (value === undefined) continue;
      const read = typedValue(spec, value);
      if (read === undefined) wrong(`${which} value is not ${spec.type.startsWith('a') ? 'an' : 'a'} ${spec.type}`);
      else {
        const problem = problemOf(spec, read, which);
        if (problem !== undefined) wrong(problem);
        values.set(name, read);
      }
    }
  }
  return errors.length > 0 ? { errors } : { values };
}

/** A form has texts only: what is no text is read from one as JSON. */
function typedValue({ type }: InputSpec, value: unknown): InputValue | undefined {
  if (type === 'string') return typeof value === 'string' ? value : undefined;
  const read: unknown = typeof value === 'string' ? fromJson(value) : value;
  if (type === 'number') return typeof read === 'number' && Number.isFinite(read) ? read : undefined;
  if (type === 'boolean') return typeof read === 'boolean' ? read : undefined;
  return Array.isArray(read) && isShallow(read) ? read : undefined;
}

function fromJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

function problemOf({ options, regex }: InputSpec, value: InputValue, which: 'default' | 'provided'): string | undefined {
  if (options !== undefined && !options.some((option) => option === value))
    return `\`${shorten(String(value))}\` cannot be used because it is not in the list of allowed options`;
  if (regex === undefined || typeof value !== 'string' || RE2JS.compile(regex).matcher(value).find()) return undefined;
  return `${which} value does not match required RegEx pattern`;
}

/** A map of inputs as it stands in a file or comes over the API; undefined where it is none. */
export function readArguments(value: unknown): InputArguments | undefined {
  if (!isFields(value)) return undefined;
  const entries = Object.entries(value);
  const found = entries.flatMap(([name, one]) => (isInput(one) ? [[name, one] as const] : []));
  return found.length === entries.length ? Object.fromEntries(found) : undefined;
}

function isInput(value: unknown): value is InputValue {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' || (Array.isArray(value) && isShallow(value));
}

/** What is written as JSON later must not nest without an end. */
function isShallow(value: unknown, depth = 0): boolean {
  if (typeof value !== 'object' || value === null) return true;
  return depth < deepest && Object.values(value).every((inner) => isShallow(inner, depth + 1));
}

/** For the readers of `include` and `trigger`. */
export const notArguments = '`inputs` must be a map of names and texts, numbers, booleans or lists';

/** True where somebody gave something. */
export function hasInputs(given: InputArguments | Fields): boolean {
  return Object.keys(given).length > 0;
}
