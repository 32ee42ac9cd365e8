import { expect, test } from 'vitest';
import { parsePayload } from '../../src/runner/job/payload.ts';
import { expander, variablesOf } from '../../src/runner/job/variables.ts';
import { jobPayload, variable } from './support/jobs.ts';

const given = (entries: Record<string, string>) => new Map(Object.entries(entries).map(([key, value]) => [key, variable(key, value)]));

test('names are replaced once, as gitlab-runner has it', () => {
  expect(expander(given({ A: 'one', B: '$A' }))('$A ${B} $$A $C.')).toBe('one $A $A .');
});

test('R2 short texts that name a long value many times end the job, and not the runner', () => {
  const long = variable('LONG', 'x'.repeat(100_000));
  const many = ['V', 'W'].map((name) => variable(name, '$LONG'.repeat(30)));
  const job = parsePayload(jobPayload(['true'], { variables: [long, ...many] }));
  expect(() => variablesOf(job, undefined, 'withhold', new Map())).toThrow('too long');
  const expand = expander(given({ LONG: long.value }));
  expect(() => Array.from({ length: 50 }, () => expand('$LONG'))).toThrow('too long');
});
