import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { limits } from '../../src/base/limits.ts';
import { openHeaded, readHeaded } from '../../src/pipeline/headed-file.ts';
import { readArguments } from '../../src/pipeline/inputs.ts';

const context = {
  shown: new Map([['OPEN', 'open']]),
  inRules: new Map([
    ['OPEN', 'open'],
    ['TOKEN', 's3cret'],
  ]),
};
const read = (text: string, given: Readonly<Record<string, string>> = {}) => {
  const opened = openHeaded(text, {});
  return opened.ok ? readHeaded(opened, given, context) : opened;
};
const messages = (text: string, given?: Readonly<Record<string, string>>): readonly string[] => {
  const file = read(text, given);
  return file.ok ? [] : file.errors.map(({ message }) => message);
};
const header = 'spec: {inputs: {a: {default: x}, list: {type: array, default: [1]}}}\n---\n';

describe('a file with a header', () => {
  test('R13 any text is a file or errors, and what is put in becomes no YAML', () => {
    const parts = fc.constantFrom(
      'spec:',
      ' inputs',
      ': ',
      '{a: }',
      '\n',
      '---',
      '\n---\n',
      '$[[',
      'inputs.a',
      ']]',
      ' | ',
      'truncate(0,1)',
      'expand_vars',
      "'",
      '"',
      '[',
      ']',
      '{',
      '}',
      '#',
      '&x ',
      '*x',
      '- ',
      'a',
      '$TOKEN',
    );
    fc.assert(
      fc.property(fc.array(parts, { maxLength: 40 }), fc.string({ unit: 'binary' }), (words, value) => {
        const file = read(words.join(''), { a: value });
        expect(file.ok || file.errors.length > 0).toBe(true);
      }),
      { numRuns: 500 },
    );
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (value) => {
        const file = read(`${header}a: $[[ inputs.a ]]\nb: [x, $[[ inputs.a ]]]\n`, { a: value });
        expect(file.ok && file.value).toEqual({ a: value, b: ['x', value] });
      }),
    );
  });

  test('only a header stands above a line of `---`', () => {
    const two = 'the file holds several documents between lines of `---`: at most a header with `spec` stands above one';
    expect(messages('a: x\n---\nb: x\n')).toEqual(['above a line of `---` stands a header with `spec`, or nothing']);
    expect(messages(`${header}a: x\n---\nb: y\n`)).toEqual([two]);
    expect(messages('# comment\n---\na: x\n')).toEqual([]);
    expect(messages('---\nspec: {}\n---\na: x\n')).toEqual([]);
    expect(messages('spec: {inputs: }\n---\n')).toEqual([]);
    expect(messages('a: |\n  ---\n  text\n')).toEqual([]);
  });

  test('R13 what is put in is bounded, as are the blocks', () => {
    const large = 'x'.repeat(limits.variableBytes);
    const lines = Array.from({ length: 40 }, (_, at) => `k${at}: $[[ inputs.a ]]\n`).join('');
    expect(messages(header + lines, { a: large })).toEqual(['the file is too large with its inputs put in']);
    const many = `a: [${Array.from({ length: 10_001 }, () => '$[[ inputs.a ]]').join(', ')}]\n`;
    expect(messages(header + many)).toEqual(['too many interpolation blocks']);
    expect(messages(`${header}a: $[[ inputs.a | ${'x'.repeat(1024)} ]]\n`)).toEqual(['maximum interpolation expression size exceeded']);
    expect(messages(`${header}a: "\uE000"\n`)).toEqual(['a file with inputs holds no characters U+E000 and U+E001']);
    const nested = JSON.parse(`${'['.repeat(30_000)}${']'.repeat(30_000)}`) as unknown;
    expect(readArguments({ a: nested })).toBeUndefined();
    expect(messages(header, { list: `${'['.repeat(30_000)}${']'.repeat(30_000)}` })).toEqual([
      '`list` input: provided value is not an array',
    ]);
  });
});
