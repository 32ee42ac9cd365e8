import { type Budget, newBudget } from '../base/budget.ts';
import { type Expander, expander, type Layer, namesIn } from './variables.ts';

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
  /** In place of `over` for the jobs of an environment: some variables are for that alone. */
  readonly overIn?: (environment: string) => readonly GivenVariable[];
}

/** A plain map is over the file's, and stands for itself. */
export function givenOf(given: Given | ReadonlyMap<string, string>): Given {
  if ('over' in given) return given;
  return { predefined: new Map(), over: [...given].map(([key, value]) => ({ key, value, raw: true, secret: false })) };
}

/** What a job of the environment is given. */
export function givenIn(given: Given, environment: string): Given {
  return { ...given, over: given.overIn?.(environment) ?? given.over };
}

type Known = Omit<GivenVariable, 'key'>;

/** Each name once, the one that counts. */
function allOf({ predefined, over }: Given, layer: Layer): Map<string, Known> {
  const all = new Map<string, Known>();
  for (const [key, value] of predefined) all.set(key, { value, raw: true, secret: false });
  for (const [key, value] of Object.entries(layer.variables))
    all.set(key, { value, raw: layer.rawVariables?.includes(key) === true, secret: false });
  for (const one of over) all.set(one.key, one);
  return all;
}

/** The file's variables with those below and above them, secrets too: for a text that is kept or shown, ask `secretIn` first. */
export function expanderOf(given: Given, layer: Layer, budget: Budget): Expander {
  const all = allOf(given, layer);
  const valuesOf = (raw: boolean) => new Map([...all].filter(([, one]) => one.raw === raw).map(([key, { value }]) => [key, value]));
  return expander(valuesOf(false), valuesOf(true), budget);
}

/** The variable from above the file, of those that are `wanted`, that becomes part of a text, over however many others; undefined = none does. */
export function reaches(given: Given, layer: Layer, text: string, wanted: (key: string) => boolean): string | undefined {
  if (!text.includes('$') || !given.over.some(({ key }) => wanted(key))) return undefined;
  const above = new Set(given.over.map(({ key }) => key));
  const all = allOf(given, layer);
  const seen = new Set(namesIn(text));
  for (const name of seen) {
    if (above.has(name) && wanted(name)) return name;
    const found = all.get(name);
    if (found !== undefined && !found.raw) for (const other of namesIn(found.value)) seen.add(other);
  }
  return undefined;
}

/** The secret that becomes part of a text. */
export function secretIn(given: Given, layer: Layer, text: string): string | undefined {
  const secrets = new Set(given.over.flatMap(({ key, secret }) => (secret ? [key] : [])));
  for (const { key, secret } of given.over) if (!secret) secrets.delete(key);
  return reaches(given, layer, text, (key) => secrets.has(key));
}

/** For people: why a text has no value. */
export function secretText(name: string): string {
  return `the variable \`${name}\` is masked, and so becomes part of nothing that is kept or shown`;
}

/** What may be named before the file's own variables are known: in `include` and in `compare_to`. Names whose values hold a secret are not there. */
export function shownGiven(given: Given): ReadonlyMap<string, string> {
  const values = givenInRules(given);
  return new Map([...values].filter(([name]) => secretIn(given, { variables: {} }, `$${name}`) === undefined));
}

/** As `shownGiven`, with secrets: for `include:rules`, which only say yes or no. */
export function givenInRules(given: Given): ReadonlyMap<string, string> {
  const { get } = expanderOf(given, { variables: {} }, newBudget());
  const names = [...given.predefined.keys(), ...given.over.map(({ key }) => key)];
  const values = new Map<string, string>();
  for (const name of names) {
    const value = get(name);
    if (value !== undefined) values.set(name, value);
  }
  return values;
}

/** The variable in a text that `shownGiven` leaves out. @param inRules `givenInRules` */
export function hiddenIn(text: string, shown: ReadonlyMap<string, string>, inRules: ReadonlyMap<string, string>): string | undefined {
  return namesIn(text).find((name) => inRules.has(name) && !shown.has(name));
}
