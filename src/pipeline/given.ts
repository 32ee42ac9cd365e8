import { type Budget, newBudget } from './budget.ts';
import { type Expander, expander, type Layer } from './variables.ts';

/** A variable that is over the file's: kept for the project, or given with the pipeline. */
export interface GivenVariable {
  readonly key: string;
  readonly value: string;
  /** `$` in it stands for itself. */
  readonly raw: boolean;
  /** Rules may look at it; it becomes part of nothing that is kept or shown. */
  readonly secret: boolean;
}

/** What is known when a pipeline is planned. @see GitLab CI/CD, "CI/CD variable precedence" */
export interface Given {
  /** Below the file's own; they stand for themselves. */
  readonly predefined: ReadonlyMap<string, string>;
  /** The later over the earlier, and all over the file's. */
  readonly over: readonly GivenVariable[];
}

/** A plain map is over the file's, and stands for itself. */
export function givenOf(given: Given | ReadonlyMap<string, string>): Given {
  if ('over' in given) return given;
  return { predefined: new Map(), over: [...given].map(([key, value]) => ({ key, value, raw: true, secret: false })) };
}

/** The file's variables with those below and above them. @param shown leaves out secrets: for a text that is kept or shown */
export function expanderOf({ predefined, over }: Given, layer: Layer, budget: Budget, shown = false): Expander {
  const all = new Map<string, { readonly value: string; readonly raw: boolean }>();
  for (const [key, value] of predefined) all.set(key, { value, raw: true });
  for (const [key, value] of Object.entries(layer.variables)) all.set(key, { value, raw: layer.rawVariables?.includes(key) === true });
  for (const one of over) all.set(one.key, one);
  if (shown) for (const { key, secret } of over) if (secret) all.delete(key);
  const valuesOf = (raw: boolean) => new Map([...all].filter(([, one]) => one.raw === raw).map(([key, { value }]) => [key, value]));
  return expander(valuesOf(false), valuesOf(true), budget);
}

/** What may be named before the file's own variables are known, without secrets: in `include` and in `compare_to`. */
export function shownGiven(given: Given): ReadonlyMap<string, string> {
  return named(given, true);
}

/** As `shownGiven`, with secrets: for `include:rules`, which only say yes or no. */
export function givenInRules(given: Given): ReadonlyMap<string, string> {
  return named(given, false);
}

function named(given: Given, withoutSecrets: boolean): ReadonlyMap<string, string> {
  const { get } = expanderOf(given, { variables: {} }, newBudget(), withoutSecrets);
  const names = [...given.predefined.keys(), ...given.over.map(({ key }) => key)];
  const shown = new Map<string, string>();
  for (const name of names) {
    const value = get(name);
    if (value !== undefined) shown.set(name, value);
  }
  return shown;
}
