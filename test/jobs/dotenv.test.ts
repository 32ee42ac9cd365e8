import fc from 'fast-check';
import { expect, test } from 'vitest';
import { limits } from '../../src/base/limits.ts';
import { dotenvVariables, parseDotenv } from '../../src/jobs/dotenv.ts';

const key = fc.stringMatching(/^[A-Za-z_][A-Za-z0-9_]{0,20}$/);
const value = fc.stringMatching(/^[!-~]([ -~]{0,30}[!-~])?$/);
const lines = fc.array(fc.record({ key, value }), { minLength: 1, maxLength: 40 });
const print = (variables: readonly { key: string; value: string }[]): Buffer =>
  Buffer.from(variables.map((one) => `${one.key}=${one.value}\n`).join(''));

test('what is printed is read again, values whole', () => {
  fc.assert(
    fc.property(lines, (variables) => {
      expect(parseDotenv(print(variables))).toEqual(variables);
    }),
  );
});

test('R13 any bytes at all are read, or refused in words', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      const read = parseDotenv(Buffer.from(bytes));
      return typeof read === 'string' || read.every((one) => /^[A-Za-z_]\w*$/.test(one.key) && !one.value.includes('\0'));
    }),
  );
});

test('too large, too many, no text, no assignment', () => {
  expect(parseDotenv(Buffer.alloc(limits.dotenvBytes + 1, 'A'))).toMatch(/at most \d+ bytes/);
  expect(parseDotenv(Buffer.from('A=1\n'.repeat(limits.dotenvVariables + 1)))).toMatch(/at most \d+ variables/);
  expect(parseDotenv(Buffer.from([0x41, 0x3d, 0xff]))).toMatch(/UTF-8/);
  expect(parseDotenv(Buffer.from('A=1\n\nB=2\n'))).toMatch(/line 2/);
  expect(parseDotenv(Buffer.from('=1'))).toMatch(/line 1/);
});

test("R13 the server's own names are left out, whoever reports them; of one name the last counts", () => {
  const names = ['CI', 'CI_JOB_TOKEN', 'GITLAB_USER_ID', 'GITLAB_CI', 'JOBPASS_EXPOSE'];
  const dotenv = [...names.map((name) => ({ key: name, value: 'x' })), { key: 'CIVIC', value: '1' }];
  expect(dotenvVariables([{ dotenv }, { dotenv: null }, { dotenv: [{ key: 'CIVIC', value: '2' }] }])).toEqual([['CIVIC', '2']]);
});
