import fc from 'fast-check';
import { afterAll } from 'vitest';

/** The same cases on every run. */
export const fixedSeed = 20_261_123;
/** Other cases on every run; printed, so that a failure can be had again with `JOBPASS_FUZZ_SEED`. */
const given = Number(process.env['JOBPASS_FUZZ_SEED']);
export const randomSeed = Number.isSafeInteger(given) && given > 0 ? given : Math.floor(Math.random() * 2 ** 31);

let total = 0;
export function tellCount(what: string): void {
  afterAll(() => console.log(`fuzzing ${what}: ${total} cases so far, random seed ${randomSeed}`));
}

/** Half of the cases with the fixed seed, half with the random one. */
export function fuzz<Value>(cases: number, values: fc.Arbitrary<Value>, holds: (value: Value) => void): void {
  for (const seed of [fixedSeed, randomSeed]) {
    fc.assert(
      fc.property(values, (value) => {
        total += 1;
        holds(value);
      }),
      { seed, numRuns: cases / 2 },
    );
  }
}

export async function fuzzAsync<Value>(cases: number, values: fc.Arbitrary<Value>, holds: (value: Value) => Promise<void>): Promise<void> {
  for (const seed of [fixedSeed, randomSeed]) {
    await fc.assert(
      fc.asyncProperty(values, async (value) => {
        total += 1;
        await holds(value);
      }),
      { seed, numRuns: cases / 2 },
    );
  }
}

/** Texts that a grammar is made of, in any order, with junk between them. */
export function soup(words: readonly string[], maxLength = 12): fc.Arbitrary<string> {
  const piece = fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom(...words) },
    { weight: 1, arbitrary: fc.string({ maxLength: 6, unit: 'binary' }) },
    { weight: 1, arbitrary: fc.string({ maxLength: 6 }) },
  );
  return fc.array(piece, { maxLength }).map((pieces) => pieces.join(''));
}

/** A text with one character changed, left out, doubled or put in. */
export function oneOff(texts: fc.Arbitrary<string>): fc.Arbitrary<string> {
  return fc
    .tuple(texts, fc.nat(), fc.constantFrom('change', 'drop', 'double', 'add'), fc.string({ minLength: 1, maxLength: 1 }))
    .map(([text, where, how, letter]) => {
      const at = text.length === 0 ? 0 : where % text.length;
      const [head, here, tail] = [text.slice(0, at), text.slice(at, at + 1), text.slice(at + 1)];
      if (how === 'drop') return head + tail;
      if (how === 'double') return head + here + here + tail;
      return how === 'change' ? head + letter + tail : head + letter + here + tail;
    });
}
