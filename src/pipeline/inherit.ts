import { type Fields, isFields } from './fields.ts';
import type { CiError } from './plan.ts';
import type { PlaceOf } from './reader.ts';
import { fits, Reference } from './yaml.ts';
import { limits } from '../base/limits.ts';

/** As GitLab: ten references behind one another, and eleven levels of `extends`. */
const maxReferences = 10;
const maxLevels = 11;
const maxErrors = 20;

export type Resolved = { readonly ok: true; readonly root: Fields } | { readonly ok: false; readonly errors: readonly CiError[] };

/**
 * Puts what `!reference` and `extends` name in their places: first the references, then what is extended, as GitLab does.
 * @param root the file's map, aliases resolved
 * @see GitLab, CI/CD YAML syntax reference: `extends`, `!reference`
 */
export function resolveInheritance(root: Fields, placeOf: PlaceOf): Resolved {
  const errors: CiError[] = [];
  const report = (name: string, message: string): void => {
    if (errors.length < maxErrors) errors.push({ ...placeOf([name]), message });
  };
  const referred = references(root, report);
  const tooLarge = {
    ok: false,
    errors: [{ message: `the file has more than ${limits.ciNodes} values, with \`extends\` and \`!reference\` resolved` }],
  } as const;
  if (errors.length > 0) return { ok: false, errors };
  const extended = extensions(referred, report);
  if (extended === undefined) return tooLarge;
  if (errors.length > 0) return { ok: false, errors };
  // What is shared in memory is met each time by whoever walks it: nine references to nine references are already a billion values.
  return fits(extended) ? { ok: true, root: extended } : tooLarge;
}

type Report = (name: string, message: string) => void;

function references(root: Fields, report: Report): Fields {
  // Each target is resolved once, however often it is named.
  const done = new Map<string, unknown>();
  const open = new Set<string>();
  const resolve = (value: unknown, name: string): unknown => {
    if (value instanceof Reference) return target(value, name);
    if (Array.isArray(value)) return value.map((item: unknown) => resolve(item, name));
    if (isFields(value)) return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, resolve(inner, name)]));
    return value;
  };
  const target = ({ path }: Reference, name: string): unknown => {
    const fail = (message: string): undefined => {
      report(name, message);
      return undefined;
    };
    const key = JSON.stringify(path);
    const shown = `\`!reference [${path.join(', ').slice(0, 100)}]\``;
    if (open.has(key)) return fail(`${shown} is part of a circle`);
    if (done.has(key)) return done.get(key);
    if (open.size >= maxReferences) return fail(`${shown} is more than ${maxReferences} references deep`);
    const found = dig(root, path);
    if (found === undefined) return fail(`${shown} names nothing in this file`);
    open.add(key);
    const value = resolve(found, name);
    open.delete(key);
    done.set(key, value);
    return value;
  };
  return Object.fromEntries(Object.entries(root).map(([name, value]) => [name, resolve(value, name)]));
}

function dig(root: Fields, path: readonly string[]): unknown {
  let value: unknown = root;
  for (const name of path) {
    if (!isFields(value) || !Object.hasOwn(value, name)) return undefined;
    value = value[name];
  }
  return value;
}

/** A job with what it extends, and how many jobs stand behind one another in it. */
interface Extended {
  readonly fields: Fields;
  readonly levels: number;
}

/** @returns undefined where merging takes more than a file of the largest size is worth */
function extensions(root: Fields, report: Report): Fields | undefined {
  const done = new Map<string, Extended>();
  let work = 10 * limits.ciNodes;
  const merge = (under: Fields, over: Fields): Fields => {
    if (work < 0) return {};
    const merged = new Map<string, unknown>(Object.entries(under));
    const own = Object.entries(over);
    work -= merged.size + own.length;
    for (const [key, value] of own) {
      const below = merged.get(key);
      merged.set(key, isFields(below) && isFields(value) ? merge(below, value) : value);
    }
    return Object.fromEntries(merged);
  };
  const extend = (name: string, body: Fields, open: readonly string[]): Extended => {
    const known = done.get(name);
    if (known !== undefined || !Object.hasOwn(body, 'extends')) return known ?? { fields: body, levels: 1 };
    const { extends: given, ...own } = body;
    const fail = (message: string): void => report(name, `job \`${shorten(name)}\`${message}`);
    let under: Fields = {};
    let levels = 1;
    for (const base of namesOf(given) ?? [undefined]) {
      const found = base === undefined || !Object.hasOwn(root, base) ? undefined : root[base];
      if (base === undefined) fail(": `extends` must be a job's name or a list of them");
      else if (!isFields(found)) fail(` extends \`${shorten(base)}\`, which does not exist`);
      else if ([...open, name].includes(base)) fail(': `extends` goes round in a circle');
      else {
        // Before the levels are known, this ends the recursion.
        const inner = open.length < maxLevels ? extend(base, found, [...open, name]) : { fields: {}, levels: maxLevels };
        levels = Math.max(levels, inner.levels + 1);
        under = merge(under, inner.fields);
      }
    }
    if (levels > maxLevels) fail(`: \`extends\` has more than ${maxLevels} levels`);
    // A key that is set to nothing takes away what it would inherit.
    const fields = Object.fromEntries(Object.entries(merge(under, own)).filter(([, value]) => value !== null));
    done.set(name, { fields, levels });
    return { fields, levels };
  };
  const extended = Object.entries(root).map(([name, body]) => [name, isFields(body) ? extend(name, body, []).fields : body] as const);
  return work < 0 ? undefined : Object.fromEntries(extended);
}

function namesOf(value: unknown): readonly string[] | undefined {
  const names: readonly unknown[] = Array.isArray(value) ? value : [value];
  const texts = names.filter((name): name is string => typeof name === 'string');
  return texts.length === names.length && texts.length > 0 && texts.length <= 100 ? texts : undefined;
}

function shorten(text: string): string {
  return text.slice(0, 100);
}
