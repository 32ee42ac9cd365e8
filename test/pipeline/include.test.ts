import fc from 'fast-check';
import { expect, test } from 'vitest';
import { limits } from '../../src/base/limits.ts';
import { loadFiles } from '../../src/pipeline/include-files.ts';
import { parseFiles } from '../../src/pipeline/parse.ts';
import { errorText } from '../../src/pipeline/plan.ts';
import { caseSource } from './case-source.ts';

async function errors(text: string, files: Readonly<Record<string, string>>): Promise<readonly string[]> {
  const source = caseSource({ files });
  const loaded = await loadFiles(text, '.gitlab-ci.yml', source.here, source, new Map());
  const parsed = loaded.ok ? parseFiles(loaded.file) : loaded;
  return parsed.ok ? [] : parsed.errors.map(errorText);
}
const numbered = (count: number, text: (index: number) => string): Record<string, string> =>
  Object.fromEntries(Array.from({ length: count }, (_, index) => [`f${index}.yml`, text(index)]));

test('R13 how many files, how deep, how large, and how much of it merged is bounded', async () => {
  const job = 'a: {script: x}';
  expect(
    await errors(
      `include: '*.yml'\n${job}`,
      numbered(limits.ciFiles, () => '.x: 1'),
    ),
  ).toEqual([`line 1: include: there are more than ${limits.ciFiles} files`]);
  expect(
    await errors(
      `include: '*.yml'\n${job}`,
      numbered(limits.ciFiles - 2, () => '.x: 1'),
    ),
  ).toEqual([]);
  const deep = limits.ciIncludeDepth + 1;
  expect(
    await errors(
      `include: f0.yml\n${job}`,
      numbered(deep, (index) => (index === deep - 1 ? '.x: 1' : `include: f${index + 1}.yml`)),
    ),
  ).toEqual([`f${deep - 2}.yml: line 1: include: \`f${deep - 1}.yml\` is more than ${limits.ciIncludeDepth} files deep`]);
  const large = `# ${'x'.repeat(limits.ciFileBytes - 10)}\n{}`;
  expect(
    await errors(
      `include: '*.yml'\n${job}`,
      numbered(3, () => large),
    ),
  ).toEqual([`line 1: include: the files are larger than ${limits.ciFilesBytes} bytes together`]);
  const many = (file: number) => Array.from({ length: 9000 }, (_, index) => `.j${file}-${index}: 1`).join('\n');
  expect(await errors(`include: '*.yml'\n${job}`, numbered(8, many))).toEqual([
    `the files have more than ${limits.ciNodes} values together`,
  ]);
  // Twice the same file, each time with two others: files are counted, not names.
  expect(
    await errors(
      `include: [f0.yml, f0.yml]\n${job}`,
      numbered(12, (index) => (index === 11 ? '{}' : `include: [f${index + 1}.yml, f${index + 1}.yml]`)),
    ),
  ).toEqual([expect.stringContaining(`there are more than ${limits.ciFiles} files`)]);
});

test('R13 what names itself through `__proto__` is a name like any other', async () => {
  expect(
    await errors(
      'include: f0.yml\na: {script: x, variables: {B: c}}',
      numbered(1, () => 'a: {__proto__: {script: y}}'),
    ),
  ).toEqual(['f0.yml: line 1: job `a`: unknown keyword `__proto__`']);
  expect(Object.hasOwn(Object.prototype, 'script')).toBe(false);
});

test('any files that include one another are a pipeline or errors', async () => {
  const word = fc.constantFrom(
    'f0.yml',
    'f1.yml',
    '*.yml',
    '**.yml',
    '/f2.yml',
    '../f0.yml',
    'f9.yml',
    '$A',
    'https://a',
    '{local: f1.yml}',
    '[f0.yml]',
    '{project: a/b, file: x}',
    '3',
    '{local: f2.yml, rules: [{if: $A}]}',
  );
  const file = fc.record({
    include: fc.array(word, { maxLength: 3 }),
    rest: fc.oneof(
      fc.string({ maxLength: 20 }),
      fc.constantFrom('a: {script: x}', '.b: {extends: a}', 'a: {extends: .b}', '? [x]', 'a: &x [*x]'),
    ),
  });
  const text = ({ include, rest }: { include: readonly string[]; rest: string }) =>
    `${include.length === 0 ? '' : `include: [${include.join(', ')}]\n`}${rest}`;
  await fc.assert(
    fc.asyncProperty(fc.array(file, { minLength: 1, maxLength: 4 }), async (files) => {
      for (const message of await errors(
        text(files[0] ?? { include: [], rest: '' }),
        numbered(files.length, (index) => text(files[index] ?? { include: [], rest: '' })),
      ))
        expect(message).not.toBe('');
    }),
    { numRuns: 200 },
  );
});
