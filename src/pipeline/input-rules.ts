import { evaluateExpression, type Expression, namesOf } from './expression.ts';
import type { InputSpec, InputValue } from './inputs.ts';
import { shorten } from './reader.ts';

/** What an input may be, and is by default, where other inputs are as the rule says. */
export interface InputRule {
  /** Of other inputs; left out in the last rule, which holds where no other does. */
  readonly if?: Expression;
  readonly options?: readonly unknown[];
  /** null = it must be given. */
  readonly default?: unknown;
}

/**
 * The inputs in an order in which those that rules look at come before the ones that the rules are of.
 * @returns what is wrong otherwise
 */
export function inOrder(
  specs: ReadonlyMap<string, InputSpec>,
): { readonly order: readonly string[] } | { readonly errors: readonly string[] } {
  const errors: string[] = [];
  const done = new Set<string>();
  // A circle is found once, at the input that is declared first in it.
  const place = (name: string, open: readonly string[]): void => {
    if (done.has(name)) return;
    for (const other of lookedAt(specs.get(name))) {
      if (!specs.has(other)) errors.push(`\`${shorten(name)}\` input: its rules look at \`${shorten(other)}\`, which is no input`);
      else if (other === name || open.includes(other)) errors.push(`\`${shorten(name)}\` input: its rules go round in a circle`);
      else place(other, [...open, name]);
    }
    done.add(name);
  };
  for (const name of specs.keys()) place(name, []);
  return errors.length > 0 ? { errors } : { order: [...done] };
}

function lookedAt(spec: InputSpec | undefined): ReadonlySet<string> {
  return new Set((spec?.rules ?? []).flatMap((rule) => (rule.if === undefined ? [] : namesOf(rule.if))));
}

/**
 * An input as the first rule that holds makes it; as it is, where it has no rules.
 * @param values of the inputs that its rules look at
 * @see GitLab, CI/CD YAML syntax reference: `spec:inputs:rules`
 */
export function ruled({ rules, ...spec }: InputSpec, values: ReadonlyMap<string, InputValue>): InputSpec {
  if (rules === undefined) return spec;
  const known = { get: (name: string) => comparable(values.get(name)) };
  const rule = rules.find((one) => one.if === undefined || evaluateExpression(one.if, known));
  // GitLab: a text that no rule wants is empty, and other values must be given.
  if (rule === undefined) return spec.type === 'string' ? { ...spec, default: '' } : spec;
  return {
    ...spec,
    ...(rule.options === undefined ? {} : { options: rule.options }),
    ...(rule.default === undefined || rule.default === null ? {} : { default: rule.default }),
  };
}

/** There are no literals but texts and booleans: a number is compared as its text, a list is equal to nothing. */
function comparable(value: InputValue | undefined): string | boolean | undefined {
  if (typeof value === 'number') return String(value);
  return typeof value === 'object' ? undefined : value;
}
