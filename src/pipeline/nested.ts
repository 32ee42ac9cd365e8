import { limits } from '../base/limits.ts';
import { newBudget } from '../base/budget.ts';

export interface NestedVariable {
  readonly value: string;
  /** `$` in it stands for itself. */
  readonly raw?: boolean;
  /** The job sees the path of a file with the value, which only its runner knows. */
  readonly file?: boolean;
}

const maxDepth = 100;
const reference = /\$(?:\$|([A-Za-z_]\w*)|\{([A-Za-z_]\w*)\})/g;

/**
 * Puts the values of variables into each other, so that a runner, which does it once more with what is left, comes to the end of it. References to raw and
 * file variables and to unknown ones stay as they stand, as does `$$`; so does what closes a circle, or would grow beyond `limits.variableBytes`.
 * @see GitLab CI/CD, "Nested variable expansion"
 */
export function expandNested<Variable extends NestedVariable>(variables: ReadonlyMap<string, Variable>): ReadonlyMap<string, Variable> {
  const done = new Map<string, string>();
  const open = new Set<string>();
  const budget = newBudget();
  const valueOf = (name: string, { value, raw, file }: NestedVariable): string | undefined => {
    if (raw === true || file === true) return undefined;
    const known = done.get(name);
    if (known !== undefined) return known;
    if (open.has(name) || open.size >= maxDepth || budget.left < 0) return undefined;
    open.add(name);
    const expanded = expand(value);
    open.delete(name);
    done.set(name, expanded);
    return expanded;
  };
  const expand = (text: string): string => {
    if (!text.includes('$')) return text;
    let room = limits.variableBytes - text.length;
    budget.left -= text.length;
    const expanded = text.replaceAll(reference, (whole: string, plain?: string, braced?: string) => {
      const name = plain ?? braced;
      const variable = name === undefined ? undefined : variables.get(name);
      const value = name === undefined || variable === undefined || room < 0 ? undefined : valueOf(name, variable);
      if (value === undefined) return whole;
      room -= value.length;
      budget.left -= value.length;
      return value;
    });
    return room < 0 ? text : expanded;
  };
  return new Map([...variables].map(([name, variable]) => [name, { ...variable, value: valueOf(name, variable) ?? variable.value }]));
}
