import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formsOf } from '../../src/runner/trace/forms.ts';
import { Masker, type MaskerOptions } from '../../src/runner/trace/masker.ts';
import { newPassToken } from '../../src/base/pass-token.ts';

const pass = newPassToken('full').reveal();

function mask(options: Partial<MaskerOptions>, chunks: readonly (string | Buffer)[]): string {
  const masker = new Masker({ phrases: [], watched: [], prefixes: [], ...options });
  return Buffer.concat([...chunks.map((chunk) => masker.write(Buffer.from(chunk))), masker.end()]).toString('utf8');
}

/** Cuts a text at the given places. */
function cut(text: string, places: readonly number[]): Buffer[] {
  const bytes = Buffer.from(text);
  const marks = [0, ...places.map((place) => place % (bytes.length + 1)).toSorted((one, other) => one - other), bytes.length];
  return marks.slice(1).map((end, index) => bytes.subarray(marks[index], end));
}

describe('masking', () => {
  test('whole values, token tails, overlapping ones', () => {
    expect(mask({ phrases: ['s3cret-value'] }, ['a s3cret-value b'])).toBe('a [MASKED] b');
    expect(mask({ prefixes: ['glpat-'] }, ['x glpat-abc_123.z, y'])).toBe('x glpat-[MASKED], y');
    expect(mask({ phrases: ['abcdef', 'defghi'] }, ['xabcdefghix'])).toBe('x[MASKED]x');
  });

  test('A49 overlapping occurrences are masked whole', () => {
    expect(mask({ phrases: ['aabaa'] }, ['aabaaabaabaa'])).toBe('[MASKED]');
    const text = (maxLength: number) => fc.array(fc.constantFrom('a', 'b'), { minLength: 1, maxLength }).map((signs) => signs.join(''));
    fc.assert(
      fc.property(text(6), text(30), fc.array(fc.nat()), (phrase, output, places) => {
        const masked = output.split('').map(() => false);
        for (let at = output.indexOf(phrase); at >= 0; at = output.indexOf(phrase, at + 1)) masked.fill(true, at, at + phrase.length);
        const expected = output
          .split('')
          .map((sign, at) => (masked[at] !== true ? sign : masked[at - 1] === true ? '' : '[MASKED]'))
          .join('');
        expect(mask({ phrases: [phrase] }, cut(output, places))).toBe(expected);
      }),
      { numRuns: 2000 },
    );
  });

  test('R2 what a job prints keeps the runner from nobody: many beginnings of tokens, a masked value that overlaps itself', () => {
    const chunks = Array.from({ length: 16 }, () => 'jpt_'.repeat(16_384));
    expect(mask({ prefixes: ['jpt_', 'glpat-'] }, chunks)).toBe('jpt_[MASKED]');
    const phrases = Array.from({ length: 20 }, (_, index) => 'a'.repeat(9980 + index));
    expect(
      mask(
        { phrases },
        Array.from({ length: 16 }, () => 'a'.repeat(65_536)),
      ),
    ).toBe('[MASKED]');
  });

  test('shows at once what can be no secret', () => {
    const masker = new Masker({ phrases: ['s3cret'], watched: [{ value: pass }], prefixes: ['glpat-'] });
    expect(masker.write(Buffer.from('a full line\n')).toString()).toBe('a full line\n');
    expect(masker.write(Buffer.from('then s3c')).toString()).toBe('then ');
    expect(masker.write(Buffer.from('ond')).toString()).toBe('s3cond');
  });

  test('R12 A49 every listed form of a pass, wherever the output is cut and whatever stands around it', () => {
    const forms: readonly ((before: string, after: string) => string)[] = [
      (before, after) => before + pass + after,
      (before, after) => Buffer.from(before + pass + after).toString('base64'),
      (before, after) => Buffer.from(before + pass + after).toString('base64url'),
      (before, after) => Buffer.from(before + pass + after).toString('hex'),
      (before, after) =>
        Buffer.from(before + pass + after)
          .toString('hex')
          .toUpperCase(),
      (before, after) =>
        Buffer.from(before + pass + after)
          .toString('hex')
          .replaceAll(/../g, '%$&'),
      (before, after) =>
        (
          Buffer.from(before + pass + after)
            .toString('base64')
            .match(/.{1,20}/g) ?? []
        ).join('\n'),
    ];
    fc.assert(
      fc.property(fc.constantFrom(...forms), fc.string(), fc.string(), fc.array(fc.nat()), (form, before, after, places) => {
        let found = 0;
        const text = `output ${form(before, after)} more`;
        const shown = mask({ watched: [{ value: pass, onFound: () => (found += 1) }] }, cut(text, places));
        expect(found).toBe(1);
        expect(shown).toContain('[MASKED]');
        const compact = shown.replaceAll(/\s/g, '');
        for (const one of formsOf(pass)) expect(compact).not.toContain(one);
      }),
      { numRuns: 300 },
    );
  });

  test('A49 how the output is cut changes nothing', () => {
    const options = { phrases: ['abab', 'ba', 'é-secret'], watched: [{ value: 'watched-secret-1' }], prefixes: ['gl-', 'glx-'] };
    const piece = fc.constantFrom(
      'a',
      'b',
      'ab',
      'gl-',
      'glx-',
      'g',
      ' ',
      '\n',
      'é-secret',
      'é',
      'watched-',
      'secret-1',
      'watched-secret-1',
      '=',
      'z',
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 40 }), fc.array(fc.nat()), (pieces, places) => {
        const text = pieces.join('');
        expect(mask(options, cut(text, places))).toBe(mask(options, [text]));
      }),
      { numRuns: 1000 },
    );
  });

  test('leaves everything else as it is, byte for byte', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.array(fc.nat()), (bytes, places) => {
        const masker = new Masker({ phrases: [], watched: [{ value: pass }], prefixes: [] });
        const shown = Buffer.concat([
          ...cut(Buffer.from(bytes).toString('latin1'), places).map((chunk) => masker.write(chunk)),
          masker.end(),
        ]);
        expect(shown.equals(Buffer.from(Buffer.from(bytes).toString('latin1')))).toBe(true);
      }),
    );
  });
});
