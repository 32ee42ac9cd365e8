import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseExpression } from '../../src/pipeline/expression.ts';
import { applyFunctions } from '../../src/pipeline/input-functions.ts';
import type { InputRule } from '../../src/pipeline/input-rules.ts';
import { type InputSpec, resolveInputs } from '../../src/pipeline/inputs.ts';

const words = ['x', 'y', 'z'] as const;
const word = fc.constantFrom(...words);

/** `inputs.i<n> == 'word'` or its opposite, of inputs below `of`; and in words for a reader of its own. */
const clause = (of: number) => fc.record({ input: fc.nat(of - 1), equal: fc.boolean(), is: word });
const condition = (of: number) => fc.array(clause(of), { minLength: 1, maxLength: 3 });
type Condition = readonly { readonly input: number; readonly equal: boolean; readonly is: string }[];

const written = (all: Condition): InputRule => {
  const text = all.map(({ input, equal, is }) => `$[[ inputs.i${input} ]] ${equal ? '==' : '!='} '${is}'`).join(' && ');
  const parsed = parseExpression(text, 'inputs');
  if (!parsed.ok) throw new Error(parsed.message);
  return { if: parsed.expression };
};
const holds = (all: Condition, values: readonly string[]): boolean => all.every(({ input, equal, is }) => (values[input] === is) === equal);

test('rules see the values of the inputs that they look at, in whatever order those are declared', () => {
  const input = (at: number) =>
    at === 0
      ? fc.record({ rules: fc.constant([] as { when: Condition; gives: string }[]), otherwise: word })
      : fc.record({ rules: fc.array(fc.record({ when: condition(at), gives: word }), { minLength: 1, maxLength: 3 }), otherwise: word });
  const inputs = fc.integer({ min: 1, max: 6 }).chain((count) => fc.tuple(...Array.from({ length: count }, (_, at) => input(at))));
  const declared = inputs.chain((all) => fc.tuple(fc.constant(all), fc.shuffledSubarray([...all.keys()], { minLength: all.length })));
  fc.assert(
    fc.property(declared, fc.dictionary(fc.constantFrom('i0', 'i1', 'i2'), word), ([all, order], given) => {
      const known = Object.fromEntries(Object.entries(given).filter(([name]) => Number(name.slice(1)) < all.length));
      const specs = new Map<string, InputSpec>();
      for (const at of order) {
        const one = all[at];
        if (one === undefined) continue;
        const rules = one.rules.map(({ when, gives }) => ({ ...written(when), default: gives }));
        const last = { options: words, default: one.otherwise };
        specs.set(`i${at}`, rules.length === 0 ? { type: 'string', default: one.otherwise } : { type: 'string', rules: [...rules, last] });
      }
      const wanted: string[] = [];
      for (const [at, { rules, otherwise }] of all.entries())
        wanted.push(known[`i${at}`] ?? rules.find(({ when }) => holds(when, wanted))?.gives ?? otherwise);
      const result = resolveInputs(specs, known);
      expect('values' in result && wanted.map((_, at) => result.values.get(`i${at}`))).toEqual(wanted);
    }),
  );
});

test('R13 rules that look at each other anyhow come to values or to what is wrong, and circles are always wrong', () => {
  const anyRules = fc.array(fc.array(fc.record({ when: condition(5), gives: word }), { maxLength: 3 }), { minLength: 5, maxLength: 5 });
  fc.assert(
    fc.property(anyRules, (all) => {
      const specs = new Map<string, InputSpec>(
        all.map((rules, at) => [
          `i${at}`,
          { type: 'string', rules: rules.map(({ when, gives }) => ({ ...written(when), default: gives })) },
        ]),
      );
      const looks = all.map((rules) => rules.flatMap(({ when }) => when.map(({ input }) => input)));
      const reach = (from: number, seen = new Set<number>()): ReadonlySet<number> => {
        for (const next of looks[from] ?? []) if (!seen.has(next)) reach(next, seen.add(next));
        return seen;
      };
      const circle = all.some((_, at) => reach(at).has(at));
      expect('errors' in resolveInputs(specs, {})).toBe(circle);
    }),
  );
});

test('R13 an expression of inputs is read or refused, whatever it is', () => {
  const parts = [
    '$[[ inputs.a ]]',
    '$[[inputs.b-c]]',
    '$A',
    '"x"',
    "'y'",
    'true',
    'false',
    'null',
    '==',
    '!=',
    '=~',
    '/x/',
    '&&',
    '||',
    '(',
    ')',
    ' ',
  ];
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...parts), { maxLength: 12 }), (some) => {
      const parsed = parseExpression(some.join(''), 'inputs');
      // Variables and patterns are of other rules.
      if (some.includes('$A') || some.includes('/x/') || some.includes('null')) expect(parsed.ok).toBe(false);
    }),
  );
  expect(parseExpression(`${'('.repeat(200)}true${')'.repeat(200)}`, 'inputs').ok).toBe(false);
});

const context = {
  shown: new Map([
    ['OPEN', 'o p'],
    ['NEST', '$OPEN'],
  ]),
  inRules: new Map([
    ['OPEN', 'o p'],
    ['NEST', '$OPEN'],
    ['TOKEN', 's'],
  ]),
};
const apply = (value: string, ...functions: string[]) => {
  const result = applyFunctions(functions, value, context);
  if ('error' in result) throw new Error(result.error);
  return String(result.value);
};

test('posix_escape makes one word of a shell out of any text, truncate a part of it, and neither depends on the other', () => {
  const plain = fc.string({ unit: fc.constantFrom(...Array.from('aZ09 \t\n\'"`$\\!*?[]{}()<>|&;#~=%^é漢-_.,:+/@')), maxLength: 30 });
  const texts = fc.sample(plain, 200);
  // One shell for all of them.
  const script = texts.map((text) => `printf '%s\\0' ${apply(text, 'posix_escape')}`).join('\n');
  expect(execFileSync('sh', { input: script, encoding: 'utf8' }).split('\0').slice(0, -1)).toEqual(texts);
  fc.assert(
    fc.property(plain, fc.nat(20), fc.nat(20), (text, offset, length) => {
      const cut = apply(text, `truncate(${offset}, ${length})`);
      expect(cut).toBe(
        Array.from(text)
          .slice(offset, offset + length)
          .join(''),
      );
      expect(apply(text, `truncate(${offset},${length})`, 'posix_escape')).toBe(apply(cut, 'posix_escape'));
    }),
  );
});

test('R6 expand_vars puts in what `include` may name, once, and nothing masked', () => {
  const parts = fc.array(fc.constantFrom('$OPEN', '${OPEN}', '$NEST', '$OTHER', 'x', '$', '{', ' '), { maxLength: 8 });
  fc.assert(
    fc.property(parts, (all) => {
      const text = all.join('');
      const wanted = text.replaceAll(
        /\$(?:\{(OPEN|NEST)\}|(OPEN|NEST)(?!\w))/g,
        (_, one?: string, other?: string) => context.shown.get(one ?? other ?? '') ?? '',
      );
      expect(apply(text, 'expand_vars')).toBe(wanted);
      const masked = applyFunctions(['expand_vars'], `${text} $TOKEN`, context);
      expect('error' in masked && masked.error).toBe('variable expansion error: masked variables cannot be expanded');
    }),
  );
});
