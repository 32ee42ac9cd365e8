import { Readable } from 'node:stream';
import type { IncomingMessage } from 'node:http';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { stringify } from 'yaml';
import { isJobpassError } from '../../src/base/errors.ts';
import { Params } from '../../src/doors/api/params.ts';
import { receiveUpload } from '../../src/doors/runner/upload.ts';
import { frame, type FrameKind, frameReader } from '../../src/forge/embedded/git/frames.ts';
import { hookReader } from '../../src/forge/embedded/git/hooks.ts';
import { newBudget } from '../../src/base/budget.ts';
import { parseDuration } from '../../src/pipeline/duration.ts';
import { evaluateExpression, parseExpression } from '../../src/pipeline/expression.ts';
import { parseCiFile } from '../../src/pipeline/parse.ts';
import { readYaml } from '../../src/pipeline/yaml.ts';
import { fuzz, fuzzAsync, oneOff, soup, tellCount } from './cases.ts';

tellCount('files, forms and streams');

const yamlWords = [
  'a',
  'job',
  ': ',
  '- ',
  '\n',
  '\n  ',
  '{',
  '}',
  '[',
  ']',
  '&a ',
  '*a',
  '<<: ',
  '|',
  '>',
  '"',
  "'",
  '#',
  '!!str ',
  '!reference ',
  '---',
  '...',
  '? ',
  '%',
  '\t',
];

test('R13 YAML is read or refused, and never throws; what is read is plain data', () => {
  fuzz(5000, soup(yamlWords, 20), (text) => {
    const read = readYaml(text);
    if (!read.ok) expect(read.errors.length).toBeGreaterThan(0);
    else expect(() => JSON.stringify(read.value)).not.toThrow();
  });
  const tree = fc
    .dictionary(fc.stringMatching(/^[a-z]{1,5}$/), fc.jsonValue({ maxDepth: 3 }), { maxKeys: 4 })
    .filter((value) => !JSON.stringify(value).includes('"<<"'));
  fuzz(2000, tree, (value) => {
    const read = readYaml(stringify(value, { version: '1.1' }));
    expect(read.ok).toBe(true);
    // -0 and 0 are one number in YAML, and an exponent without a point makes none in Psych's.
    const text = JSON.stringify(value, (_, one: unknown) => (typeof one === 'number' && /^-?\d+e/.test(String(one)) ? String(one) : one));
    if (read.ok) expect(JSON.stringify(read.value)).toBe(text);
  });
});

test('R13 a pipeline file gives jobs or errors, whatever stands in it', () => {
  const keys = [
    'script',
    'stage',
    'rules',
    'needs',
    'variables',
    'image',
    'services',
    'tags',
    'parallel',
    'extends',
    'artifacts',
    'timeout',
    'when',
    'default',
    'stages',
    'include',
    '__proto__',
    'constructor',
  ];
  const value: fc.Arbitrary<unknown> = fc.oneof(
    fc.string({ maxLength: 8 }),
    fc.integer(),
    fc.constant(null),
    fc.boolean(),
    fc.array(
      fc.oneof(
        fc.string({ maxLength: 5 }),
        fc.dictionary(fc.constantFrom('if', 'job', 'when', 'name'), fc.string({ maxLength: 8 }), { maxKeys: 2 }),
      ),
      { maxLength: 3 },
    ),
    fc.dictionary(fc.constantFrom(...keys), fc.jsonValue({ maxDepth: 1 }), { maxKeys: 3 }),
  );
  const job = fc.dictionary(fc.constantFrom(...keys), value, { maxKeys: 5 });
  fuzz(4000, fc.dictionary(fc.constantFrom('a', 'b', '.hidden', ...keys), fc.oneof(job, value), { maxKeys: 5 }), (file) => {
    const read = parseCiFile(stringify(file));
    if (!read.ok) expect(read.errors.length).toBeGreaterThan(0);
    expect(Object.hasOwn(Object.prototype, 'script')).toBe(false);
  });
});

test('R13 an expression ends, and costs no more than its budget', () => {
  const words = [
    '$A',
    '$B',
    ' == ',
    ' != ',
    ' =~ ',
    ' !~ ',
    ' && ',
    ' || ',
    '(',
    ')',
    '"a"',
    "'b'",
    'null',
    '/a+/',
    '/(a|a)*b/i',
    '$',
    '"',
    '/',
  ];
  const variables = new Map([
    ['A', 'a'.repeat(30)],
    ['B', ''],
  ]);
  fuzz(12_000, soup(words, 14), (text) => {
    const read = parseExpression(text);
    if (!read.ok) return expect(read.message).not.toBe('');
    const budget = newBudget();
    expect(typeof evaluateExpression(read.expression, variables, budget)).toBe('boolean');
    return undefined;
  });
});

test('R13 a duration is some seconds, or nothing', () => {
  const words = ['1', '20', '1.5', ' ', ',', 'and', ' and ', 'h', 'm', 'min', 'weeks', 'y', 'day', '-', 'e'];
  fuzz(8000, fc.oneof(soup(words, 8), oneOff(fc.constantFrom('2 hours and 20 minutes', '3 weeks', '90'))), (text) => {
    const seconds = parseDuration(text);
    if (seconds === undefined) return;
    expect(Number.isInteger(seconds) && seconds >= 0).toBe(true);
    expect(text).toMatch(/^\s*\d/);
  });
});

test('R13 a form is read as its fields were written, and names nothing but fields', () => {
  const name = fc.constantFrom('a', 'b[]', 'c[x]', '__proto__', 'constructor[prototype]', 'd', 'ref');
  fuzz(6000, fc.array(fc.tuple(name, fc.string({ maxLength: 6 })), { maxLength: 6 }), (fields) => {
    const params = new Params(new URLSearchParams(), new URLSearchParams(fields.map(([key, value]): [string, string] => [key, value])));
    const last = fields.findLast(([key]) => key === 'a')?.[1];
    expect(params.optionalText('a')).toBe(last);
    expect(params.given('toString')).toBe(false);
    expect({}).not.toHaveProperty('x');
  });
});

const kinds = [
  'start',
  'input',
  'input_end',
  'output',
  'output_end',
  'words',
  'exit',
  'hook_ask',
  'hook_answer',
] as const satisfies readonly FrameKind[];

test('R13 frames come out as they went in, however the stream is cut; junk ends it', () => {
  const frames = fc.array(fc.tuple(fc.constantFrom(...kinds), fc.uint8Array({ maxLength: 40 })), { maxLength: 5 });
  fuzz(8000, fc.tuple(frames, fc.array(fc.nat(60), { maxLength: 8 })), ([sent, cuts]) => {
    const bytes = Buffer.concat(sent.map(([kind, data]) => frame(kind, Buffer.from(data))));
    const heard: [FrameKind, number[]][] = [];
    const read = frameReader((kind, data) => heard.push([kind, [...data]]));
    let at = 0;
    for (const cut of [...cuts, bytes.length]) {
      read(bytes.subarray(at, at + cut));
      at += cut;
    }
    expect(heard).toEqual(sent.map(([kind, data]) => [kind, [...data]]));
  });
  fuzz(4000, fc.uint8Array({ maxLength: 40 }), (bytes) => {
    let heard = 0;
    try {
      frameReader(() => (heard += 1))(Buffer.from(bytes));
    } catch (error) {
      expect(isJobpassError(error, 'internal')).toBe(true);
    }
    expect(heard * 5).toBeLessThanOrEqual(bytes.length);
  });
});

test('R13 A62 lines of a hook make whole questions, in order', () => {
  const update = fc.tuple(
    fc.constantFrom('0'.repeat(40), 'a'.repeat(40)),
    fc.constantFrom('b'.repeat(40)),
    fc.constantFrom('refs/heads/a', 'refs/tags/a b', ''),
  );
  fuzz(
    4000,
    fc.array(fc.tuple(fc.constantFrom('pre-receive', 'prepared', ''), fc.array(update, { maxLength: 4 })), { maxLength: 4 }),
    (questions) => {
      const heard: unknown[] = [];
      const read = hookReader(({ head, updates }) => heard.push([head, updates.map(({ oldOid, newOid, ref }) => [oldOid, newOid, ref])]));
      for (const [head, updates] of questions)
        for (const line of [head, ...updates.map((parts) => parts.join(' ')), '.']) read(line, () => undefined);
      expect(heard).toEqual(questions);
    },
  );
});

test('R13 a multipart body gives exactly its file, or a refusal', async () => {
  const content = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    soup(['\r\n', '--b', '--', '\r', '\n', 'x'], 8).map((text) => Buffer.from(text)),
  );
  const send = async (body: Buffer, type: string): Promise<readonly Buffer[] | 'refused'> => {
    const request = Object.assign(Readable.from([body]), { headers: { 'content-type': type }, complete: true });
    const parts: Buffer[] = [];
    try {
      await receiveUpload(request as unknown as IncomingMessage, async (_name, stream) => {
        for await (const chunk of stream as AsyncIterable<Buffer>) parts.push(chunk);
        return 0;
      });
      return parts;
    } catch (error) {
      expect(isJobpassError(error)).toBe(true);
      return 'refused';
    }
  };
  const head = 'content-disposition: form-data; name="file"; filename="a.zip"\r\n\r\n';
  // A part without a head, which the parser never gets over.
  expect(await send(Buffer.from('--b\r\n\r\n--b--\r\n\r\n'), 'multipart/form-data; boundary=b')).toBe('refused');
  await fuzzAsync(1500, content, async (bytes) => {
    const boundary = 'b'.repeat(40);
    const body = Buffer.concat([Buffer.from(`--${boundary}\r\n${head}`), bytes, Buffer.from(`\r\n--${boundary}--\r\n`)]);
    const heard = await send(body, `multipart/form-data; boundary=${boundary}`);
    expect(heard === 'refused' ? heard : Buffer.concat(heard).toString('hex')).toBe(Buffer.from(bytes).toString('hex'));
  });
  await fuzzAsync(1500, soup(['--b', '\r\n', head, '--b--', 'x', 'name="file"', '\r\n\r\n'], 10), async (text) => {
    await send(Buffer.from(text), 'multipart/form-data; boundary=b');
  });
});
