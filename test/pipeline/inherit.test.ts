import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseCiFile } from '../../src/pipeline/parse.ts';
import { errorText } from '../../src/pipeline/plan.ts';

function errors(text: string): string[] {
  const parsed = parseCiFile(text);
  return parsed.ok ? [] : parsed.errors.map(errorText);
}
const tooLarge = 'the file has more than 50000 values, with `extends` and `!reference` resolved';
const ten = Array.from({ length: 10 }, (_, index) => index);

describe('hostile files', () => {
  test('R13 references to references do not multiply', () => {
    const one = (index: number): string => `.r${index}: {script: [${ten.map(() => `!reference [.r${index - 1}, script]`).join(', ')}]}`;
    const text = ['.r0: {script: [x]}', ...ten.slice(1, 6).map(one), 'a: {script: !reference [.r5, script]}'].join('\n');
    expect(errors(text)).toEqual([tooLarge]);
  });

  test('R13 extending a large job many times does not multiply', () => {
    const keys = Array.from({ length: 5000 }, (_, index) => `  k${index}: 1`).join('\n');
    const jobs = Array.from({ length: 2000 }, (_, index) => `j${index}: {extends: .base}`).join('\n');
    expect(errors(`.base:\n${keys}\n${jobs}`)).toEqual([tooLarge]);
  });

  test('levels have an end', () => {
    const chain = (length: number): string =>
      [
        '.l0: {script: x}',
        ...Array.from({ length }, (_, index) => `.l${index + 1}: {extends: .l${index}}`),
        `a: {extends: .l${length}}`,
      ].join('\n');
    expect(errors(chain(9))).toEqual([]);
    expect(errors(chain(20))[0]).toMatch(/`extends` has more than 11 levels$/);
  });

  test('names of an object’s own are names like others', () => {
    expect(errors('a: {extends: constructor, script: x}')).toEqual(['line 1: job `a` extends `constructor`, which does not exist']);
    expect(errors('a: {script: !reference [__proto__, toString]}')).toEqual([
      'line 1: `!reference [__proto__, toString]` names nothing in this file',
    ]);
  });
});

test('any web of extends and references is a file or errors', () => {
  const names = ['.a', '.b', 'c', 'd'];
  const job = fc.record(
    {
      extends: fc.oneof(fc.constantFrom(...names), fc.array(fc.constantFrom(...names), { maxLength: 3 })),
      script: fc.oneof(
        fc.constant('x'),
        fc.constantFrom(...names).map((name) => ({ reference: [name, 'script'] })),
      ),
    },
    { requiredKeys: [] },
  );
  const write = (value: unknown): string => JSON.stringify(value).replaceAll(/\{"reference":(\[[^\]]*\])\}/g, '!reference $1');
  fc.assert(
    fc.property(fc.record({ '.a': job, '.b': job, c: job, d: job }), (file) => {
      const parsed = parseCiFile(write(file));
      if (parsed.ok) for (const one of parsed.file.jobs) expect(one.script.length).toBeGreaterThan(0);
      else expect(parsed.errors.length).toBeGreaterThan(0);
    }),
  );
});
