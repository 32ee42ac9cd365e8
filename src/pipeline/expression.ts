import { RE2JS } from 're2js';

/** An expression of `rules:if`, parsed. @see GitLab CI/CD YAML reference, "CI/CD job rules: variable expressions" */
export type Expression =
  | { readonly kind: 'variable'; readonly name: string }
  | { readonly kind: 'text'; readonly value: string }
  | { readonly kind: 'null' }
  | { readonly kind: 'pattern'; readonly source: string; readonly flags: string }
  | {
      readonly kind: 'binary';
      readonly operator: '==' | '!=' | '=~' | '!~' | '&&' | '||';
      readonly left: Expression;
      readonly right: Expression;
    };

export type ParsedExpression = { readonly ok: true; readonly expression: Expression } | { readonly ok: false; readonly message: string };

const maxLength = 10_000;
const maxDepth = 100;

type Token = { readonly kind: 'value'; readonly value: Expression } | { readonly kind: 'operator'; readonly text: string };
const tokenShape =
  /\s*(?:(\$[A-Za-z_][A-Za-z0-9_]*)|"([^"]*)"|'([^']*)'|(null)\b|\/((?:\\.|[^/\\\n])+)\/([ismU]*)|(==|!=|=~|!~|&&|\|\||[()]))/y;
const power: Readonly<Record<string, number>> = { '||': 1, '&&': 2, '==': 3, '!=': 3, '=~': 3, '!~': 3 };

/** Never throws, always ends; nothing of it is ever run as code. */
export function parseExpression(text: string): ParsedExpression {
  if (text.length > maxLength) return { ok: false, message: `the expression is longer than ${maxLength} characters` };
  const tokens = tokenize(text.trim());
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

function tokenize(text: string): readonly Token[] | string {
  const tokens: Token[] = [];
  tokenShape.lastIndex = 0;
  while (tokenShape.lastIndex < text.length) {
    const from = tokenShape.lastIndex;
    const match = tokenShape.exec(text);
    if (match === null) return `cannot read \`${text.slice(from, from + 20)}\``;
    const [, variable, double, single, none, pattern, flags = '', operator] = match;
    if (variable !== undefined) tokens.push({ kind: 'value', value: { kind: 'variable', name: variable.slice(1) } });
    else if (double !== undefined || single !== undefined)
      tokens.push({ kind: 'value', value: { kind: 'text', value: double ?? single ?? '' } });
    else if (none !== undefined) tokens.push({ kind: 'value', value: { kind: 'null' } });
    else if (pattern !== undefined) {
      if (compile(pattern, flags) === undefined) return `the pattern /${pattern.slice(0, 50)}/ is not a regular expression of RE2`;
      tokens.push({ kind: 'value', value: { kind: 'pattern', source: pattern, flags } });
    } else if (operator !== undefined) tokens.push({ kind: 'operator', text: operator });
    if (tokens.length > 1000) return 'the expression has more than 1000 parts';
  }
  return tokens;
}

/** @param variables by name; an unknown one is null */
export function evaluateExpression(expression: Expression, variables: ReadonlyMap<string, string>): boolean {
  return truthy(valueOf(expression, variables));
}

type Value = string | null | boolean | { readonly source: string; readonly flags: string };

function valueOf(expression: Expression, variables: ReadonlyMap<string, string>): Value {
  switch (expression.kind) {
    case 'variable':
      return variables.get(expression.name) ?? null;
    case 'text':
      return expression.value;
    case 'null':
      return null;
    case 'pattern':
      return { source: expression.source, flags: expression.flags };
    case 'binary': {
      const left = valueOf(expression.left, variables);
      if (expression.operator === '&&') return truthy(left) && truthy(valueOf(expression.right, variables));
      if (expression.operator === '||') return truthy(left) || truthy(valueOf(expression.right, variables));
      const right = valueOf(expression.right, variables);
      if (expression.operator === '==') return same(left, right);
      if (expression.operator === '!=') return !same(left, right);
      return expression.operator === '=~' ? found(left, right) : !found(left, right);
    }
  }
}

function same(left: Value, right: Value): boolean {
  return typeof left === 'object' || typeof right === 'object' ? left === null && right === null : left === right;
}

function found(left: Value, right: Value): boolean {
  if (typeof left !== 'string') return false;
  // The right side may be a variable that holds a whole pattern.
  const written = typeof right === 'string' ? /^\/((?:\\.|[^/\\\n])+)\/([ismU]*)$/.exec(right) : undefined;
  const pattern =
    typeof right === 'object' && right !== null
      ? right
      : written === undefined || written === null
        ? undefined
        : { source: written[1] ?? '', flags: written[2] ?? '' };
  return pattern !== undefined && (compile(pattern.source, pattern.flags)?.matcher(left).find() ?? false);
}

function truthy(value: Value): boolean {
  return typeof value === 'string' ? value !== '' : value !== null && value !== false;
}

const compiled = new Map<string, RE2JS | undefined>();

/** RE2: a user's pattern takes linear time, whatever it is. */
function compile(source: string, flags: string): RE2JS | undefined {
  const key = `${flags}/${source}`;
  if (compiled.has(key)) return compiled.get(key);
  let regex: RE2JS | undefined;
  try {
    regex = RE2JS.compile(
      source.replaceAll('\\/', '/'),
      (flags.includes('i') ? RE2JS.CASE_INSENSITIVE : 0) |
        (flags.includes('s') ? RE2JS.DOTALL : 0) |
        (flags.includes('m') ? RE2JS.MULTILINE : 0),
    );
  } catch {
    regex = undefined;
  }
  if (compiled.size >= 1000) compiled.clear();
  compiled.set(key, regex);
  return regex;
}
