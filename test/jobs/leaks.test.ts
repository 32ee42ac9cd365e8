import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { id, type JobId } from '../../src/base/ids.ts';
import { newPassToken } from '../../src/base/pass-token.ts';
import { heldFrom } from '../../src/jobs/held-back.ts';
import { LeakScanner, tailLength } from '../../src/jobs/leaks.ts';
import { MemoryWorld } from '../support/memory-ports.ts';

const job = id<JobId>(1);

function bench(spread = false) {
  const world = new MemoryWorld();
  const { secret } = world.pass('full', [world.user(1)]);
  const reported: number[] = [];
  const revoked: string[] = [];
  const leaks: ConstructorParameters<typeof LeakScanner>[0] = {
    async revoke(found, { what }) {
      revoked.push(what);
      const pass = world.passRows.find((row) => row.digest === found.digest());
      if (pass !== undefined) reported.push(pass.id);
      return pass;
    },
  };
  const scanner = new LeakScanner(leaks);
  const nodes = [scanner, new LeakScanner(leaks)];
  let piecesSoFar = 0;
  /** Who takes the next piece: always the same process, or each time the other one. */
  const one = (): LeakScanner => (spread ? (nodes[(piecesSoFar += 1) % 2] ?? scanner) : scanner);
  /** What a viewer would have seen after each piece, and what is stored in the end. */
  const watch = async (...pieces: string[]): Promise<{ stored: string; seen: readonly string[] }> => {
    let stored = Buffer.alloc(0);
    const seen: string[] = [];
    for (const piece of pieces) {
      const before: number[] = [];
      const at = {
        offset: stored.length,
        before: () => Promise.resolve(stored.toString('latin1').slice(-tailLength)),
        found: (back: number) => void before.push(stored.length - back),
      };
      const bytes = await one().scan(job, Buffer.from(piece), at);
      for (const at of before) stored[at] = 0x2a;
      stored = Buffer.concat([stored, bytes]);
      const text = stored.toString('latin1');
      seen.push(text.slice(0, heldFrom(text)));
    }
    return { stored: stored.toString(), seen };
  };
  const print = async (...pieces: string[]): Promise<string> => (await watch(...pieces)).stored;
  return { pass: secret.reveal(), print, watch, reported, revoked, scanner };
}

const forms: readonly [string, (pass: string) => string][] = [
  ['in clear', (pass) => pass],
  ['hex', (pass) => Buffer.from(pass).toString('hex')],
  ['percent-encoded', (pass) => Buffer.from(pass).toString('hex').replaceAll(/../g, '%$&')],
  ['upper-case hex', (pass) => Buffer.from(pass).toString('hex').toUpperCase()],
  ...[0, 1, 2, 3, 4].flatMap((offset): [string, (pass: string) => string][] => [
    [`base64 at offset ${offset}`, (pass) => Buffer.from(`${'x'.repeat(offset)}${pass}`).toString('base64')],
    [`base64url at offset ${offset}`, (pass) => Buffer.from(`${'x'.repeat(offset)}${pass} and more`).toString('base64url')],
  ]),
  ['wrapped base64', (pass) => Buffer.from(`user:${pass}`).toString('base64').replaceAll(/.{20}/g, '$&\n')],
  ['a letter a line', (pass) => pass.split('').join('\n')],
  [
    'a letter a line, with times',
    (pass) =>
      pass
        .split('')
        .map((letter) => `2026-11-23T13:46:20.123456Z 00O ${letter}\n`)
        .join(''),
  ],
];

describe('R12 A49 passes in traces', () => {
  test.each(forms)('R12 A49 %s is found, in one piece and over the border of two', async (_name, form) => {
    const whole = bench();
    await whole.print(`before ${form(whole.pass)} after`);
    expect(whole.reported).toEqual([1]);
    const text = `before ${form(whole.pass)} after`;
    for (const cut of [8, Math.floor(text.length / 2), text.length - 8]) {
      const cutUp = bench();
      const own = `before ${form(cutUp.pass)} after`;
      await cutUp.print(own.slice(0, cut), own.slice(cut));
      expect(cutUp.reported).toEqual([1]);
      // Each piece goes to another node, or the server was started in between.
      const spread = bench(true);
      const text = `before ${form(spread.pass)} after`;
      const stored = await spread.print(text.slice(0, cut), text.slice(cut));
      expect([spread.reported, stored.length, stored.includes(form(spread.pass))]).toEqual([[1], text.length, false]);
    }
  });

  test.each(forms)('R12 %s is masked in equal length', async (_name, form) => {
    const { pass, print, scanner } = bench();
    const text = `before ${form(pass)} after`;
    const stored = await print(text);
    expect(stored).toHaveLength(text.length);
    const bare = (of: string) => of.replaceAll(/2026\S+ 00O |\s/g, '');
    expect(bare(stored)).not.toContain(bare(form(pass)).slice(8, 40));
    expect((stored.match(/\*/g) ?? []).length).toBeGreaterThanOrEqual(41);
    expect(stored.startsWith('before ') && stored.endsWith('after')).toBe(true);
    expect(scanner.altered(job)).toBe(true);
  });

  test('R12 A49 wherever a trace is cut, the pass is revoked once and never stands there whole', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(120), { maxLength: 6 }), async (cuts) => {
        const { pass, print, reported } = bench();
        const text = `${'.'.repeat(40)}${pass}${'.'.repeat(40)}`;
        const at = [0, ...cuts.toSorted((one, other) => one - other), text.length];
        const stored = await print(...at.slice(1).map((end, index) => text.slice(at[index], end)));
        expect(reported).toEqual([1]);
        expect(stored).toHaveLength(text.length);
        expect(stored).not.toContain(pass);
      }),
      { numRuns: 50 },
    );
  });

  test.each(forms)('R12 %s: a viewer of the growing trace never sees a part of it, and nothing of it stays stored', async (_name, form) => {
    const { pass } = bench();
    const whole = form(pass);
    const pieces = [1, 3, 7, Math.ceil(whole.length / 2)];
    for (const size of pieces) {
      const one = bench();
      const text = `before\n${form(one.pass)}\nafter it\n`;
      const { stored, seen } = await one.watch(...(text.match(new RegExp(`[^]{1,${size}}`, 'g')) ?? []));
      // Of base64, what stands before the first whole group is not the pass's alone.
      const letters = form(one.pass).replaceAll(/\d{4}-\d\d-\S+ 00O |\s/g, '');
      const part = letters.slice(8, 20);
      for (const view of [...seen, stored]) expect(view.replaceAll(/\d{4}-\d\d-\S+ 00O |\s/g, ''), `${size}`).not.toContain(part);
      expect(seen.at(-1)).toContain('after it');
    }
  });

  test('R12 what is held of a trace that rests is what could begin a pass, and nothing else', () => {
    for (const [text, held] of [
      ['hello world\n', ''],
      ['$ make proj', 'j'],
      ['a line\njpt', 'jpt'],
      ['a line\njpt_xABC\n', 'jpt_xABC\n'],
      ['a line\njpt_xABC \u00e4', ''],
      ['sum: 6a7', '6a7'],
      ['', ''],
    ] as const)
      expect(text.slice(heldFrom(text)), text).toBe(held);
  });

  test('what only looks like a pass is left as it is, and every byte of other text too', async () => {
    const { print, reported, scanner } = bench();
    const other = newPassToken('full').reveal();
    expect(await print(`jpt_ ${other}`)).toBe(`jpt_ ${other}`);
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
    expect((await scanner.scan(job, bytes)).equals(bytes)).toBe(true);
    expect(reported).toEqual([]);
    expect(scanner.altered(job)).toBe(false);
  });
});

test('R13 R12 jobs whose runners never come back fill no memory; what was forgotten of a trace is read again', async () => {
  const { scanner } = bench();
  let read = 0;
  const at = (offset: number) => ({ offset, before: () => Promise.resolve(void (read += 1)).then(() => ''), found: () => undefined });
  await scanner.scan(id<JobId>(1), Buffer.from('a'), at(0));
  for (let other = 2; other <= 10_000; other += 1) await scanner.scan(id<JobId>(other), Buffer.from('a'), at(0));
  read = 0;
  // Still watched, and now the one heard of last.
  await scanner.scan(id<JobId>(1), Buffer.from('b'), at(1));
  expect(read).toBe(0);
  await scanner.scan(id<JobId>(10_001), Buffer.from('a'), at(0));
  read = 0;
  await scanner.scan(id<JobId>(1), Buffer.from('c'), at(2));
  expect(read).toBe(0);
  await scanner.scan(id<JobId>(2), Buffer.from('b'), at(1));
  expect(read).toBe(1);
});
