import { expect, test } from 'vitest';
import { newPassToken } from '../../src/base/pass-token.ts';
import { passesIn } from './pass-forms.ts';

test('a pass is seen in every listed form, and nothing else is', () => {
  for (const kind of ['full', 'fetch', 'narrowed'] as const) {
    const pass = newPassToken(kind).reveal();
    const forms = [
      pass,
      ...['', 'a', 'ab', 'abc'].map((before) => Buffer.from(`${before}${pass}after`).toString('base64')),
      encodeURIComponent(pass).replaceAll('_', '%5F'),
      [...Buffer.from(pass)].map((byte) => `%${byte.toString(16)}`).join(''),
      Buffer.from(pass).toString('hex'),
    ];
    for (const form of forms) expect(passesIn(`before ${form} after`)).not.toEqual([]);
  }
  expect(passesIn('glcbt-abc jpt_ jpt_x CI_JOB_TOKEN=glcbt-0123456789012345678901234567890123456789')).toEqual([]);
});
