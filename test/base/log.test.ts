import { expect, test } from 'vitest';
import { jsonLog } from '../../src/base/log.ts';
import { newPassToken } from '../../src/base/pass-token.ts';

test('A30 R6 whatever fails, no token stands in the log: not in fields, messages, causes or stacks', () => {
  const tokens = [newPassToken('full').reveal(), newPassToken('fetch').reveal(), `glpat-${'a'.repeat(20)}`, `glcbt-${'b'.repeat(40)}`];
  const lines: string[] = [];
  const log = jsonLog((line) => lines.push(line));
  for (const token of tokens) {
    const error = new Error(`pull of https://x:${token}@forge.example failed`, { cause: new Error(`"${token}"`) });
    log.error('image.failed', { image: `forge.example/${token}` }, error);
    log.with({ token }).warn('w', { url: `https://x:${token}@forge.example/` });
    log.info(`event ${token}`);
    log.error('text', {}, `thrown: ${token}`);
  }
  expect(lines).toHaveLength(16);
  for (const line of lines) {
    expect(tokens.filter((token) => line.includes(token.slice(7)))).toEqual([]);
    expect(line).toContain('[MASKED]');
    expect(JSON.parse(line)).toBeTypeOf('object');
  }
});
