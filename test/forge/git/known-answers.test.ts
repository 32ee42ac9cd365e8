import fc from 'fast-check';
import { expect, test } from 'vitest';
import { KnownAnswers } from '../../../src/forge/embedded/git/known-answers.ts';

test('who asks again is told the same, a refusal is asked anew, and the last ones asked for stay within 8 MiB', async () => {
  const question = fc.record({
    name: fc.integer({ min: 0, max: 300 }),
    bytes: fc.constantFrom(10, 40_000, 60_000, 100_000),
    code: fc.constantFrom(0, 0, 0, 1),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(question, { maxLength: 400 }), async (questions) => {
      const known = new KnownAnswers();
      /** Newest last, as it should be. */
      let kept: string[] = [];
      for (const { name, bytes, code } of questions) {
        const text = `${name} ${bytes} ${code}`;
        const found: string[] = [];
        const answer = await known.ask(text, () => {
          found.push(text);
          return Promise.resolve({ code, output: Buffer.alloc(bytes, name % 256) });
        });
        expect(answer).toEqual({ code, output: Buffer.alloc(bytes, name % 256) });
        expect(found.length === 0).toBe(kept.includes(text));
        if (code !== 0 || bytes > 64 * 1024) continue;
        kept = [...kept.filter((one) => one !== text), text];
        const sizeOf = (one: string): number => 2 * one.length + Number(one.split(' ')[1]);
        let room = 8 * 1024 * 1024;
        kept = kept
          .toReversed()
          .filter((one) => (room -= sizeOf(one)) >= 0)
          .toReversed();
      }
    }),
    { numRuns: 30 },
  );
});
