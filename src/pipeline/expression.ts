import { RE2JS } from 're2js';
import { type Budget, newBudget } from '../base/budget.ts';

/** An expression of `rules:if`, parsed. @see GitLab CI/CD YAML reference, "CI/CD job rules: variable expressions" */
export type Expression =
  | { readonly kind: 'variable'; readonly name: string }
  | { readonly kind: 'text'; readonly value: string }
  | { readonly kind: 'null' }
  | { readonly kind: 'boolean'; readonly value: boolean }
  | { readonly kind: 'pattern'; readonly pattern: Pattern }
  | {
      readonly kind: 'binary';
      readonly operator: '==' | '!=' | '=~' | '!~' | '&&' | '||';
      readonly left: Expression;
      readonly right: Expression;
    };

/** A compiled `/…/` pattern. */
export type Pattern = RE2JS;

export type ParsedExpression = { readonly ok: true; readonly expression: Expression } | { readonly ok: false; readonly message: string };

const maxLength = 10_000;
const maxDepth = 100;
/** Compiling takes time and memory in proportion to the pattern. */
const maxPatternLength = 1000;

type Token = { readonly kind: 'value'; readonly value: Expression } | { readonly kind: 'operator'; readonly text: string };
/** How the parts of an expression are written; a group that a kind of expression has not is left out. */
const shapes = {
  /** `rules:if`: variables, texts, null and patterns. */
  rule: /\s*(?:\$(?<name>[A-Za-z_][A-Za-z0-9_]*)|"(?<double>[^"]*)"|'(?<single>[^']*)'|(?<none>null)\b|\/(?<pattern>(?:\\.|[^/\\\n])+)\/(?<flags>[ismU]*)|(?<operator>==|!=|=~|!~|&&|\|\||[()]))/y,
  /** `spec:inputs:rules:if`: inputs, texts and booleans. */
  inputs:
    /\s*(?:\$\[\[[ \t]*inputs\.(?<name>[\w-]{1,255})[ \t]*\]\]|"(?<double>[^"]*)"|'(?<single>[^']*)'|(?<truth>true|false)\b|(?<operator>==|!=|&&|\|\||[()]))/y,
} as const;
const power: Readonly<Record<string, number>> = { '||': 1, '&&': 2, '==': 3, '!=': 3, '=~': 3, '!~': 3 };

export type ExpressionShape = keyof typeof shapes;

/** Never throws, always ends; nothing of it is ever run as code. @param shape which kind it is: what may stand in it */
export function parseExpression(text: string, shape: ExpressionShape = 'rule'): ParsedExpression {
  if (text.length > maxLength) return { ok: false, message: `the expression is longer than ${maxLength} characters` };
  const tokens = tokenize(text.trim(), shapes[shape]);
  if (typeof tokens === 'string') return { ok: false, message: tokens };
  let at = 0;
  const failure = (message: string): ParsedExpression => ({ ok: false, message });

  const primary = (depth: number): Expression | string => {
    const token = tokens[at];
    if (depth > maxDepth) return `the expression nests deeper than ${maxDepth}`;
    if (token === undefined) return 'the expression ends too early';
    at += 1;
    if (token.kind === 'value') return token.value;
    if (token.text !== '(') return `unexpected \`${token.text}\``;
    const inner = binary(0, depth + 1);
    if (typeof inner === 'string') return inner;
    const close = tokens[at];
    if (close?.kind !== 'operator' || close.text !== ')') return 'a closing parenthesis is missing';
    at += 1;
    return inner;
  };
  const binary = (least: number, depth: number): Expression | string => {
    let left = primary(depth);
    while (typeof left !== 'string') {
      const token = tokens[at];
      if (token?.kind !== 'operator' || token.text === ')') break;
      const strength = power[token.text];
      if (strength === undefined) return `unexpected \`${token.text}\``;
      if (strength <= least) break;
      at += 1;
      const right = binary(strength, depth + 1);
      if (typeof right === 'string') return right;
      left = { kind: 'binary', operator: token.text as '==', left, right };
    }
    return left;
  };

  const expression = binary(0, 0);
  if (typeof expression === 'string') return failure(expression);
  if (at < tokens.length) return failure('something is left over behind the expression');
  return { ok: true, expression };
}

function tokenize(text: string, shape: RegExp): readonly Token[] | string {
  const tokens: Token[] = [];
  shape.lastIndex = 0;
  while (shape.lastIndex < text.length) {
    const from = shape.lastIndex;
    const match = shape.exec(text);
    if (match === null) return `cannot read \`${text.slice(from, from + 20)}\``;
    const { name, double, single, none, truth, pattern, flags = '', operator } = match.groups ?? {};
    if (name !== undefined) tokens.push({ kind: 'value', value: { kind: 'variable', name } });
    else if (double !== undefined || single !== undefined)
      tokens.push({ kind: 'value', value: { kind: 'text', value: double ?? single ?? '' } });
    else if (none !== undefined) tokens.push({ kind: 'value', value: { kind: 'null' } });
    else if (truth !== undefined) tokens.push({ kind: 'value', value: { kind: 'boolean', value: truth === 'true' } });
    else if (pattern !== undefined) {
      const regex = compile(pattern, flags);
      if (regex === undefined)
        return `/${pattern.slice(0, 50)}/ is not a regular expression of RE2 of at most ${maxPatternLength} characters`;
      tokens.push({ kind: 'value', value: { kind: 'pattern', pattern: regex } });
    } else if (operator !== undefined) tokens.push({ kind: 'operator', text: operator });
    if (tokens.length > 1000) return 'the expression has more than 1000 parts';
  }
  return tokens;
}

/**
 * GitLab's semantics: an unknown variable is null; null and the empty text are false; null matches no pattern.
 * @param budget what matching may cost; once it is used up every match fails, and the caller drops the result
 */
export function evaluateExpression(expression: Expression, variables: Known, budget: Budget = newBudget()): boolean {
  return truthy(valueOf(expression, variables, budget));
}

type Value = string | null | boolean | Pattern;
type Known = Pick<ReadonlyMap<string, string | boolean>, 'get'>;

function valueOf(expression: Expression, variables: Known, budget: Budget): Value {
  switch (expression.kind) {
    case 'variable':
      return variables.get(expression.name) ?? null;
    case 'text':
      return expression.value;
    case 'null':
      return null;
    case 'boolean':
      return expression.value;
    case 'pattern':
      return expression.pattern;
    case 'binary': {
      const left = valueOf(expression.left, variables, budget);
      const right = (): Value => valueOf(expression.right, variables, budget);
      switch (expression.operator) {
        case '&&':
          return truthy(left) && truthy(right());
        case '||':
          return truthy(left) || truthy(right());
        case '==':
          return left === right();
        case '!=':
          return left !== right();
        case '=~':
          return matches(left, right(), budget);
        case '!~':
          return !matches(left, right(), budget);
      }
    }
  }
}

const wholePattern = /^\/((?:\\.|[^/\\\n])+)\/([ismU]*)$/;

function matches(left: Value, right: Value, budget: Budget): boolean {
  if (typeof left !== 'string') return false;
  const pattern = patternOf(right, budget);
  return pattern !== undefined && searches(pattern, left, budget);
}

/** Whether the pattern is found in the text. @param budget once it is used up nothing is */
export function searches(pattern: Pattern, text: string, budget: Budget): boolean {
  budget.left -= pattern.programSize() * (text.length + 1);
  return budget.left >= 0 && pattern.matcher(text).find();
}

/** A text that is a whole pattern, with its flags; other slashes may stand in it. Undefined where it is none. */
export function readPattern(text: string): Pattern | undefined {
  const [, source, flags = ''] = /^\/(.*)\/([ismU]*)$/.exec(text) ?? [];
  return source === undefined ? undefined : compile(source, flags);
}

/** The right side may be a variable that holds a whole pattern. */
function patternOf(value: Value, budget: Budget): Pattern | undefined {
  if (typeof value !== 'string') return value instanceof RE2JS ? value : undefined;
  const [, source, flags = ''] = wholePattern.exec(value) ?? [];
  // A character of a pattern takes about 15 microseconds to compile at worst.
  budget.left -= 1500 * (source?.length ?? 0);
  return source === undefined || budget.left < 0 ? undefined : compile(source, flags);
}

function truthy(value: Value): boolean {
  return typeof value === 'string' ? value !== '' : value !== null && value !== false;
}

/** RE2: a user's pattern takes linear time, whatever it is. */
function compile(source: string, flags: string): Pattern | undefined {
  if (source.length > maxPatternLength) return undefined;
  const bits =
    (flags.includes('i') ? RE2JS.CASE_INSENSITIVE : 0) |
    (flags.includes('s') ? RE2JS.DOTALL : 0) |
    (flags.includes('m') ? RE2JS.MULTILINE : 0);
  try {
    return RE2JS.compile(source.replaceAll('\\/', '/'), bits);
  } catch {
    return undefined;
  }
}

/** The variables, or inputs, that an expression names. */
export function namesOf(expression: Expression): readonly string[] {
  if (expression.kind === 'variable') return [expression.name];
  return expression.kind === 'binary' ? [...namesOf(expression.left), ...namesOf(expression.right)] : [];
}
