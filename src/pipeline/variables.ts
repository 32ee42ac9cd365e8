import { limits } from '../base/limits.ts';
import { type Budget, newBudget } from '../base/budget.ts';

const maxDepth = 100;
const reference = /\$(?:\$|([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)\})/g;

/** Variables whose values may name other variables. */
export interface Expander {
  /** The expanded value of a variable; undefined for an unknown one. */
  get(name: string): string | undefined;
  /** `$NAME` and `${NAME}` become values, `$$` a dollar; an unknown name becomes nothing. */
  text(text: string): string;
  /** The same, but an unknown name stays as it stands: in a path a `$` may be a part of a name (GitLab). */
  known(text: string): string;
}

/**
 * A reference that closes a circle, and a text that would grow beyond `limits.variableBytes` characters, stay as they stand.
 * @param written values that may hold references
 * @param fixed values that stand for themselves and win, such as a commit's message
 */
export function expander(
  written: ReadonlyMap<string, string>,
  fixed: ReadonlyMap<string, string> = new Map(),
  budget: Budget = newBudget(),
): Expander {
  // Each value is expanded once, and lengths are capped: otherwise ten lines of `A: $B$B` would fill the memory.
  const done = new Map<string, string>();
  const open = new Set<string>();
  const get = (name: string): string | undefined => {
    const known = fixed.get(name) ?? done.get(name);
    const raw = written.get(name);
    if (known !== undefined || raw === undefined) return known;
    open.add(name);
    const value = text(raw);
    open.delete(name);
    done.set(name, value);
    return value;
  };
  const text = (raw: string, keep = false): string => {
    if (!raw.includes('$')) return raw;
    let room = limits.variableBytes - raw.length;
    budget.left -= raw.length;
    const expanded = raw.replaceAll(reference, (whole, plain: string | undefined, braced: string | undefined) => {
      const name = plain ?? braced;
      if (name === undefined) return '$';
      if (room < 0 || budget.left < 0 || open.has(name) || open.size >= maxDepth) return whole;
      const value = get(name) ?? (keep ? whole : '');
      room -= value.length;
      budget.left -= value.length;
      return room < 0 ? whole : value;
    });
    return room < 0 ? raw : expanded;
  };
  return { get, text: (raw) => text(raw), known: (raw) => text(raw, true) };
}

/** The variables that a text names. */
export function namesIn(text: string): readonly string[] {
  return text.includes('$') ? [...text.matchAll(reference)].flatMap(([, plain, braced]) => plain ?? braced ?? []) : [];
}

/** Variables as they were written. */
export interface Layer {
  readonly variables: Readonly<Record<string, string>>;
  /** Those of them in which `$` stands for itself; left out where there are none. */
  readonly rawVariables?: readonly string[];
}

/** One layer over another: of a name, the upper one's value counts, and whether that is expanded. */
export function layerOver(below: Layer, over: Layer): Layer {
  const raw = [...(below.rawVariables ?? []).filter((name) => !Object.hasOwn(over.variables, name)), ...(over.rawVariables ?? [])];
  return { variables: { ...below.variables, ...over.variables }, ...(raw.length === 0 ? {} : { rawVariables: raw }) };
}

/** Expands `$NAME`, `${NAME}` and `$$` in one text; see `expander`. */
export function expandVariables(text: string, variables: ReadonlyMap<string, string>): string {
  return expander(variables).text(text);
}
