import { inspect } from 'node:util';
import { expect, test } from 'vitest';
import { Secret } from '../../src/base/secret.ts';

test('R6 a secret never prints itself: string, JSON, inspect', () => {
  const secret = new Secret('jpt_xhunter2');
  for (const text of [String(secret), JSON.stringify({ secret }), inspect({ secret }), inspect(secret, { showHidden: true })]) {
    expect(text).not.toContain('hunter2');
  }
  expect(secret.reveal()).toBe('jpt_xhunter2');
});
