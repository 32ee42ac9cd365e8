import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { newPassToken } from '../../src/base/pass-token.ts';
import { PassSearch } from '../../src/base/pass-search.ts';

const pass = newPassToken('full').reveal();
const hex = Buffer.from(pass).toString('hex');
const stamp = '2026-11-23T13:46:20.123456Z 00O ';
const lines = (text: string, each: number): string => text.replaceAll(new RegExp(`.{${each}}`, 'g'), '$&\n');

const forms: readonly [string, string | Buffer][] = [
  ['in clear', `TOKEN=${pass}\n`],
  ['hex', `x${hex}x`],
  ['upper-case hex', hex.toUpperCase()],
  ['percent-encoded', hex.replaceAll(/../g, '%$&')],
  ...[0, 1, 2].flatMap((offset): [string, string][] => [
    [`base64 at offset ${offset}`, Buffer.from(`${'x'.repeat(offset)}${pass}`).toString('base64')],
    [`base64url at offset ${offset}`, Buffer.from(`${'x'.repeat(offset)}${pass} and more`).toString('base64url')],
  ]),
  ['wrapped base64', lines(Buffer.from(`user:${pass}`).toString('base64'), 7)],
  ['a letter a line', lines(pass, 1)],
  ['a letter a line, with times', pass.replaceAll(/./g, `${stamp}$&\n`)],
  ['UTF-16', Buffer.from(`TOKEN=${pass}\r\n`, 'utf16le')],
];

function search(...pieces: readonly (string | Buffer)[]): string[] {
  const found = new PassSearch();
  for (const piece of pieces) found.push(Buffer.from(piece as string));
  found.end();
  return [...found.found];
}

describe('R12 A27 passes in streams', () => {
  test.each(forms)('R12 A27 a pass %s is found, wherever its stream is cut and whatever stands around it', (_name, form) => {
    const around = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes));
    const bytes = Buffer.from(form as string);
    expect(search(bytes)).toEqual([pass]);
    fc.assert(
      fc.property(around, around, fc.array(fc.nat({ max: bytes.length + 600 }), { maxLength: 5 }), (before, after, cuts) => {
        const whole = Buffer.concat([before, Buffer.from('|'), bytes, Buffer.from('|'), after]);
        const ends = [...cuts.filter((cut) => cut < whole.length).toSorted((one, other) => one - other), whole.length];
        expect(search(...ends.map((end, index) => whole.subarray(ends[index - 1] ?? 0, end)))).toContain(pass);
      }),
      { numRuns: 30 },
    );
  });

  test('R12 R13 what was found keeps nothing of the stream: a file full of what looks like passes fills no memory', () => {
    setFlagsFromString('--expose-gc');
    const collect: unknown = runInNewContext('gc');
    if (typeof collect !== 'function') throw new Error('there is no gc');
    const finds: ReadonlySet<string>[] = [];
    const heapAfter = (blocks: number): number => {
      const found = new PassSearch();
      const block = Buffer.alloc(64 * 1024, 'x');
      for (let count = 0; count < blocks; count += 1) {
        block.write(`|${newPassToken('full').reveal()}|`);
        found.push(block);
      }
      found.end();
      finds.push(found.found);
      collect();
      return process.memoryUsage().heapUsed;
    };
    const before = heapAfter(1);
    expect(heapAfter(500) - before).toBeLessThan(8 * 1024 * 1024);
    expect(finds.at(-1)?.size).toBe(500);
  });

  test('R12 a pass over the border of two blocks is found', () => {
    for (const before of [64 * 1024 - 20, 68 * 1024 - 20, 68 * 1024 - 1, 132 * 1024 - 30])
      expect(search(Buffer.alloc(before, 'x'), pass, Buffer.alloc(100_000, 'y')), String(before)).toEqual([pass]);
  });

  test('what only looks like one is a candidate at most, and so many of them are no reason to grow', () => {
    expect(search('jpt_|', 'jpt_x123|', 'anB0X|', hex.slice(0, 60), '|', Buffer.alloc(200_000, 'jpt'))).toEqual([]);
    const many = Array.from({ length: 3000 }, (_, index) => `jpt_x${String(index).padStart(36, '0')}\n`);
    expect(search(many.join('')).length).toBe(1000);
  });
});
