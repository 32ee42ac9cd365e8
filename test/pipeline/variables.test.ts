import fc from 'fast-check';
import { expect, test } from 'vitest';
import { limits } from '../../src/base/limits.ts';
import { expander, expandVariables } from '../../src/pipeline/variables.ts';

const variables = (entries: Readonly<Record<string, string>>): ReadonlyMap<string, string> => new Map(Object.entries(entries));

test.each([
  ['$A-${A}', 'a-a'],
  ['$$A ${', '$A ${'],
  ['$NONE.', '.'],
  ['$B!', 'a+!'],
  ['%A% $1', '%A% $1'],
])('expands %j', (text, expanded) => {
  expect(expandVariables(text, variables({ A: 'a', B: '$A+' }))).toBe(expanded);
});

test('a circle stays as it stands', () => {
  expect(expandVariables('$A', variables({ A: '1$B', B: '2$A' }))).toBe('12$A');
});

test('a fixed value is never expanded, and wins', () => {
  const values = expander(variables({ A: '$MESSAGE', MESSAGE: 'file' }), variables({ MESSAGE: 'pays $A' }));
  expect(values.get('A')).toBe('pays $A');
  expect(values.get('NONE')).toBeUndefined();
});

test('doubling values do not fill the memory', () => {
  const bomb = Object.fromEntries(Array.from({ length: 100 }, (_, index) => [`V${index}`, `$V${index + 1}`.repeat(1000)]));
  const expanded = expandVariables('$V0', variables({ ...bomb, V100: 'x'.repeat(1000) }));
  expect(expanded.length).toBeLessThanOrEqual(limits.variableBytes);
});

test('any values end, within the limit', () => {
  const name = fc.constantFrom('A', 'B', 'C');
  const text = fc
    .array(
      fc.oneof(
        name.map((one) => `$${one}`),
        name.map((one) => `\${${one}}`),
        fc.string({ maxLength: 5 }),
      ),
    )
    .map((parts) => parts.join(''));
  fc.assert(
    fc.property(text, fc.dictionary(name, text), (given, entries) => {
      expect(expandVariables(given, variables(entries)).length).toBeLessThanOrEqual(limits.variableBytes);
    }),
  );
});
