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
