import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { limits } from '../../src/base/limits.ts';
import type { CiFile } from '../../src/pipeline/ci-file.ts';
import { parseCiFile } from '../../src/pipeline/parse.ts';
import { errorText } from '../../src/pipeline/plan.ts';

function file(text: string): CiFile {
  const parsed = parseCiFile(text);
  if (!parsed.ok) throw new Error(parsed.errors.map(errorText).join('\n'));
  return parsed.file;
}
function errors(text: string): string[] {
  const parsed = parseCiFile(text);
  return parsed.ok ? [] : parsed.errors.map(errorText);
}
const job = (...lines: string[]): string => ['build:', '  script: make', ...lines.map((line) => `  ${line}`)].join('\n');

describe('what it takes', () => {
  test('the defaults of a job', () => {
    expect(file('a: {script: make}')).toEqual({
      stages: ['.pre', 'build', 'test', 'deploy', '.post'],
      variables: {},
      defaults: {},
      jobs: [{ name: 'a', place: { line: 1 }, stage: 'test', script: ['make'], variables: {}, allowFailureExitCodes: [] }],
    });
  });

  test('every keyword of a job', () => {
    const text = `
stages: [one, two]
a: {stage: one, script: x}
b:
  stage: two
  image: {name: 'alpine:3', entrypoint: [''], pull_policy: always}
  before_script: [before]
  script: [one, [two, [3]]]
  after_script: after
  variables: {A: 1, B: {value: b, description: what it is}}
  needs: [a, {job: c, artifacts: false, optional: true}]
  dependencies: [a]
  artifacts: {paths: [out/], exclude: ['*.o'], name: n, expire_in: 1 week, when: always, untracked: true}
  tags: [linux]
  allow_failure: {exit_codes: [3, 4]}
  timeout: 1h 30m
  when: manual
`;
    expect(file(text).jobs[1]).toEqual({
      name: 'b',
      place: { line: 4 },
      stage: 'two',
      image: { name: 'alpine:3', entrypoint: [''], pullPolicy: ['always'] },
      beforeScript: ['before'],
      script: ['one', 'two', '3'],
      afterScript: ['after'],
      variables: { A: '1', B: 'b' },
      needs: [
        { job: 'a', artifacts: true, optional: false },
        { job: 'c', artifacts: false, optional: true },
      ],
      dependencies: ['a'],
      artifacts: { paths: ['out/'], exclude: ['*.o'], name: 'n', expireIn: '1 week', when: 'always', untracked: true },
      tags: ['linux'],
      allowFailureExitCodes: [3, 4],
      timeoutSeconds: 5400,
      when: 'manual',
    });
  });

  test('anchors and merge keys of hidden jobs', () => {
    const text = `
.base: &base
  stage: build
  tags: &tags [x]
  whatever: is not looked at
.more: &more {script: &lines [one]}
a:
  stage: build
  <<: *more
  tags: *tags
b:
  script: [*lines, two]
`;
    expect(file(text).jobs).toMatchObject([
      { name: 'a', stage: 'build', script: ['one'], tags: ['x'] },
      { name: 'b', script: ['one', 'two'] },
    ]);
    expect(errors('.a: &a {scirpt: x}\nb:\n  <<: *a\n  script: x')).toEqual(['line 2: job `b`: unknown keyword `scirpt`']);
  });

  test('YAML 1.1 as Psych reads it', () => {
    expect(file(job('variables: {A: 010, B: 1_000, y: n, C: "010"}', 'allow_failure: yes')).jobs[0]).toMatchObject({
      variables: { A: '8', B: '1000', y: 'n', C: '010' },
      allowFailure: true,
    });
  });

  test('a job may have the name of a keyword that stands in jobs only', () => {
    expect(file('release: {script: x}\nretry: {script: y}').jobs.map((one) => one.name)).toEqual(['release', 'retry']);
  });

  test('names that every object has', () => {
    const parsed = file('__proto__: {script: x}\nconstructor: {script: y, variables: {__proto__: z}}');
    expect(parsed.jobs.map((one) => one.name)).toEqual(['__proto__', 'constructor']);
    expect(Object.entries(parsed.jobs[1]?.variables ?? {})).toEqual([['__proto__', 'z']]);
    expect(errors('a:\n  script: x\n  toString: y')).toEqual(['line 3: job `a`: unknown keyword `toString`']);
  });
});

describe('what it refuses, with the line', () => {
  test.each([
    ['', ['the file must be a map of keywords and jobs']],
    ['.a: {script: x}', ['the file has no visible job']],
    ['build:\n  scirpt: x', ['line 2: job `build`: unknown keyword `scirpt`', 'line 1: job `build`: `script` is missing']],
    ['a: make', ['line 1: `a` is neither a keyword nor a job: a job is a map with `script`']],
    [
      `spec: x\n${job('secrets: {}')}`,
      [
        'line 1: keyword `spec` is not supported: it stands in a header, above a line of `---`',
        'line 4: job `build`: keyword `secrets` is not supported: use `id_tokens` and fetch the secret in `script`, or a masked CI/CD variable',
      ],
    ],
    [job('rules: [{start: x}]'), ['line 3: job `build`: rules: unknown keyword `start`']],
    [job('when: delayed'), ['line 3: job `build`: `when: delayed` needs `start_in`']],
    [job('stage: x'), ['line 3: job `build`: chosen stage `x` does not exist; available stages are .pre, build, test, deploy, .post']],
    [job('rules: [{if: "$A =="}]'), ['line 3: job `build`: rules:if: the expression ends too early']],
    [job('rules: [{allow_failure: {exit_codes: 1}}]'), ['line 3: job `build`: rules: `allow_failure` must be true or false']],
    [job('timeout: soon'), ['line 3: job `build`: `timeout` must be a duration from 10 seconds to one month, such as `1h 30m`']],
    [
      job('variables: {A: yes}'),
      ['line 3: job `build`: variable `A` must be a text or a whole number (quote a date, a version such as `1.10`, `yes` or `true`)'],
    ],
    [
      job('variables: {A: 2026-01-01}'),
      ['line 3: job `build`: variable `A` must be a text or a whole number (quote a date, a version such as `1.10`, `yes` or `true`)'],
    ],
    ...['1.10', '12345678901234567890', '[x]', '.inf'].map((value): [string, string[]] => [
      job(`variables: {A: ${value}}`),
      ['line 3: job `build`: variable `A` must be a text or a whole number (quote a date, a version such as `1.10`, `yes` or `true`)'],
    ]),
    [
      job('services: [{name: db, variables: {V: 1.10}}]'),
      ['line 3: job `build`: variable `V` must be a text or a whole number (quote a date, a version such as `1.10`, `yes` or `true`)'],
    ],
    [
      job('parallel: {matrix: [{PYTHON: [3.9, 3.10]}]}'),
      [
        'line 3: job `build`: `parallel:matrix` must be a list of maps of variables, each with a text or a whole number, or a list of them (quote a date, a version such as `1.10`, `yes` or `true`)',
      ],
    ],
    [
      job('parallel: {matrix: [{A: [x]}]}\n  needs: [{job: build, parallel: {matrix: [{A: ["$[[ matrix.A ]]"]}]}}]'),
      ['line 4: job `build`: `$[[ matrix.… ]]` is not supported: write the values'],
    ],
    [job('variables: {A: {value: x, kind: y}}'), ['line 3: job `build`: variable `A`: unknown keyword `kind`']],
    [job('needs: [x]'), ['line 1: job `build` needs `x`, which does not exist']],
    [job('script: again'), ['line 3: duplicate key `script`']],
    ['a: {script: !reference [.x, script]}', ['line 1: `!reference [.x, script]` names nothing in this file']],
    ['a: {script: *x}', ['line 1: alias `*x` stands before its anchor, or has none']],
    ['? [a]\n: {script: x}', ['line 1: a key must be a text']],
    [
      'a: {script: x}\n---\nb: {script: x}',
      ['line 2: the file holds several documents between lines of `---`: at most a header with `spec` stands above one'],
    ],
    ['a: {script: "x\\0"}', ['a text in the file holds the character U+0000, which no shell and no store can take']],
    ['"a\\0": {script: x}', ['a text in the file holds the character U+0000, which no shell and no store can take']],
    ['a: 1\n<<: 2', ['invalid YAML: Merge sources must be maps or map aliases']],
  ])('%j', (text, expected) => {
    expect(errors(text)).toEqual(expected);
  });

  test('at most 20 mistakes at once', () => {
    expect(errors(Array.from({ length: 30 }, (_, index) => `j${index}: x`).join('\n'))).toHaveLength(20);
  });
});

describe('what would take too much', () => {
  const many = (count: number, line: (index: number) => string): string =>
    Array.from({ length: count }, (_, index) => line(index)).join('\n');

  test.each([
    ['too many bytes', '#'.repeat(limits.ciFileBytes + 1), `the file is larger than ${limits.ciFileBytes} bytes`],
    ['too many values', many(100_000, () => '- a'), `the file has more than ${limits.ciNodes} values`],
    ['too many aliases', many(3001, (index) => `.k${index}: &a${index} x\n.j${index}: *a${index}`), 'the file has more than 3000 aliases'],
    ['too many jobs', many(501, (index) => `j${index}: {script: x}`), 'line 501: the file has more than 500 jobs'],
    [
      'a variable that is too large',
      job(`variables: {A: ${'x'.repeat(limits.variableBytes + 1)}}`),
      'line 3: job `build`: variable `A` is larger than 65536 bytes',
    ],
    [
      'a value that holds itself',
      'a: &a\n  script: x\n  b: *a',
      'the file has more than 50000 values or 4194304 characters, with its aliases resolved',
    ],
    [
      'aliases of long texts',
      `.a: &a ${'x'.repeat(100_000)}\nb:\n  script:\n${many(100, () => '    - *a')}`,
      'the file has more than 50000 values or 4194304 characters, with its aliases resolved',
    ],
    [
      'an alias bomb',
      `a0: &a0 [x]\n${many(9, (index) => `a${index + 1}: &a${index + 1} [${`*a${index},`.repeat(9)}]`)}`,
      'invalid YAML: Excessive alias count indicates a resource exhaustion attack',
    ],
    [
      'expressions of a megabyte',
      many(100, (index) => `j${index}: {script: x, rules: [{if: '$A == "${index}${'x'.repeat(1000)}"'}]}`),
      "line 65: job `j64`: rules:if: the file's expressions are longer than 65536 characters together",
    ],
  ])('%s', (_, text, message) => {
    expect(errors(text)[0]).toBe(message);
  });

  test('a merge key that merges itself', () => {
    // Which bound it meets first, of aliases or of the stack, hangs on how large the stack is.
    expect(errors('a: &a\n  <<: *a\n  script: x')[0]).toMatch(/^invalid YAML: (Excessive alias count .*|it nests too deep)$/);
  });

  test.each(['['.repeat(100_000), '{a: '.repeat(20_000), '- '.repeat(50_000), `a: ${'['.repeat(5000)}${']'.repeat(5000)}`])(
    'deep nesting %#',
    (text) => {
      expect(errors(text)).not.toEqual([]);
    },
  );
});

test('any text is a file or errors', () => {
  const word = fc.constantFrom(
    'a',
    'script',
    'stages',
    'rules',
    'needs',
    'variables',
    'if',
    '<<',
    '&x',
    '*x',
    '!t',
    ':',
    '-',
    '\n',
    '\n  ',
    '{',
    '}',
    '[',
    ']',
    ',',
    '"',
    '|',
    '#',
    '$A',
    '1',
    '~',
    '? ',
  );
  const text = fc.oneof(
    fc.string(),
    fc.array(word, { maxLength: 30 }).map((words) => words.join(' ')),
  );
  fc.assert(
    fc.property(text, (given) => {
      const parsed = parseCiFile(given);
      expect(parsed.ok || parsed.errors.length > 0).toBe(true);
    }),
    { numRuns: 500 },
  );
});

test('any value under any keyword is a file or errors', () => {
  const place = fc.constantFrom(
    'image',
    'variables',
    'needs',
    'rules',
    'artifacts',
    'tags',
    'timeout',
    'when',
    'stage',
    'script',
    'allow_failure',
    'dependencies',
  );
  fc.assert(
    fc.property(fc.dictionary(place, fc.jsonValue()), fc.jsonValue(), fc.jsonValue(), (fields, stages, defaults) => {
      const parsed = parseCiFile(JSON.stringify({ a: fields, stages, default: defaults }));
      expect(parsed.ok || parsed.errors.length > 0).toBe(true);
    }),
    { numRuns: 300 },
  );
});
