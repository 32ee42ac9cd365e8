import fc from 'fast-check';
import { expect, test } from 'vitest';
import { evaluateExpression, parseExpression } from '../../src/pipeline/expression.ts';

const variables = new Map([
  ['A', 'a'],
  ['EMPTY', ''],
  ['BRANCH', 'release/1.2'],
  ['PATTERN', '/^release\\/.*/'],
  ['BROKEN', '/(/'],
]);

test.each([
  ['$A', true],
  ['$NONE', false],
  ['$EMPTY', false],
  ['$NONE == null', true],
  ['$EMPTY == null', false],
  ['$EMPTY == ""', true],
  ['$A != null', true],
  ['"a" == $A', true],
  ["$A == 'a' && $NONE", false],
  ["$A == 'b' || $A == 'a'", true],
  // && binds tighter than ||
  ['$A || $NONE && $NONE', true],
  ['($A || $NONE) && $NONE', false],
  ['$BRANCH =~ /^release/', true],
  ['$BRANCH =~ /RELEASE/', false],
  ['$BRANCH =~ /RELEASE/i', true],
  ['$BRANCH =~ /^release\\/[0-9.]+$/', true],
  ['$BRANCH !~ /^main$/', true],
  ['$NONE =~ /.*/', false],
  ['$NONE !~ /.*/', true],
  ['$BRANCH =~ $PATTERN', true],
  ['$A =~ $PATTERN', false],
  ['$A =~ $BROKEN', false],
  ['$A !~ $BROKEN', true],
  ['$A =~ "a"', false],
])('%s is %s', (text, expected) => {
  const parsed = parseExpression(text);
  expect(parsed).toMatchObject({ ok: true });
  expect(parsed.ok && evaluateExpression(parsed.expression, variables)).toBe(expected);
});

test.each([
  ['', 'the expression ends too early'],
  ['$A ==', 'the expression ends too early'],
  ['== $A', 'unexpected `==`'],
  ['$A $A', 'something is left over behind the expression'],
  ['($A', 'a closing parenthesis is missing'],
  ['$A)', 'something is left over behind the expression'],
  ['!$A', 'cannot read `!$A`'],
  ['${A}', 'cannot read `${A}`'],
  ['$A == "a', 'cannot read ` "a`'],
  ['$A =~ /(/', '/(/ is not a regular expression of RE2 of at most 1000 characters'],
  ['$A =~ /(?=a)/', '/(?=a)/ is not a regular expression of RE2 of at most 1000 characters'],
  ['process.exit(1)', 'cannot read `process.exit(1)`'],
  [`${'('.repeat(200)}$A${')'.repeat(200)}`, 'the expression nests deeper than 100'],
  ['$A'.repeat(5001), 'the expression is longer than 10000 characters'],
])('refuses %j', (text, message) => {
  expect(parseExpression(text)).toEqual({ ok: false, message });
});

test('a match that costs too much fails and uses up the budget', () => {
  const parsed = parseExpression('$LONG =~ /(a?){500}[b-c]$/');
  const budget = { left: 1_000_000 };
  expect(parsed.ok && evaluateExpression(parsed.expression, new Map([['LONG', 'a'.repeat(65_536)]]), budget)).toBe(false);
  expect(budget.left).toBeLessThan(0);
});

test('any text is an expression or an error, and any expression a boolean', () => {
  const part = fc.constantFrom(
    '$A',
    '$NONE',
    '$PATTERN',
    '"x"',
    "''",
    'null',
    '/a+/i',
    '(',
    ')',
    '==',
    '!=',
    '=~',
    '!~',
    '&&',
    '||',
    '/',
    '$',
    '!',
  );
  const text = fc.oneof(
    fc.string(),
    fc.array(part, { maxLength: 15 }).map((parts) => parts.join(' ')),
  );
  fc.assert(
    fc.property(text, (given) => {
      const parsed = parseExpression(given);
      if (parsed.ok) expect(typeof evaluateExpression(parsed.expression, variables)).toBe('boolean');
      else expect(parsed.message).not.toBe('');
    }),
  );
});

/** An expression as it is written, and what it says by the words of GitLab's page. */
interface Model {
  readonly text: string;
  readonly value: string | null | boolean;
}
const leaf = fc.constantFrom<Model>(
  { text: '$A', value: 'a' },
  { text: '$EMPTY', value: '' },
  { text: '$NONE', value: null },
  { text: 'null', value: null },
  { text: '"a"', value: 'a' },
  { text: "''", value: '' },
);
const holds = ({ value }: Model): boolean => value !== null && value !== '' && value !== false;
const pattern = fc.constantFrom<readonly [string, RegExp]>(['/a/', /a/], ['/^A$/i', /^A$/i], ['/^$/', /^$/], ['/b|c/', /b|c/]);
const { model } = fc.letrec<{ model: Model }>((tie) => ({
  model: fc.oneof(
    { depthSize: 'medium', withCrossShrink: true },
    leaf,
    fc.tuple(leaf, fc.constantFrom('==', '!='), leaf).map(([left, sign, right]): Model => {
      const same = left.value === right.value;
      return { text: `${left.text} ${sign} ${right.text}`, value: sign === '==' ? same : !same };
    }),
    fc.tuple(leaf, fc.constantFrom('=~', '!~'), pattern).map(([left, sign, [text, regExp]]): Model => {
      const found = typeof left.value === 'string' && regExp.test(left.value);
      return { text: `${left.text} ${sign} ${text}`, value: sign === '=~' ? found : !found };
    }),
    fc.tuple(tie('model'), fc.constantFrom('&&', '||'), tie('model')).map(([left, sign, right]): Model => ({
      text: `(${left.text}) ${sign} (${right.text})`,
      value: sign === '&&' ? holds(left) && holds(right) : holds(left) || holds(right),
    })),
  ),
}));

test('an expression says what its parts say, however they are put together', () => {
  fc.assert(
    fc.property(model, (given) => {
      const parsed = parseExpression(given.text);
      expect(parsed.ok && evaluateExpression(parsed.expression, variables)).toBe(parsed.ok && holds(given));
      expect(parsed.ok).toBe(true);
    }),
    { numRuns: 500 },
  );
});

test('without parentheses, && binds before || and comparisons before both', () => {
  const term = fc.oneof(
    leaf,
    fc.tuple(leaf, leaf).map(([left, right]): Model => ({ text: `${left.text}==${right.text}`, value: left.value === right.value })),
  );
  const signs = fc.array(fc.tuple(fc.constantFrom(' && ', ' || '), term), { maxLength: 8 });
  fc.assert(
    fc.property(term, signs, (first, rest) => {
      const text = first.text + rest.map(([sign, one]) => sign + one.text).join('');
      const groups: Model[][] = [[first]];
      for (const [sign, one] of rest) {
        if (sign === ' && ') groups.at(-1)?.push(one);
        else groups.push([one]);
      }
      const parsed = parseExpression(text);
      expect(parsed.ok && evaluateExpression(parsed.expression, variables)).toBe(groups.some((group) => group.every(holds)));
    }),
  );
});
