import { expect, test } from 'vitest';
import { parseCiFile } from '../../src/pipeline/parse.ts';

const read = (retry: string) => {
  const parsed = parseCiFile(`job:\n  script: x\n  retry: ${retry}\n`);
  return parsed.ok ? parsed.file.jobs[0]?.retry : parsed.errors.map((error) => error.message).join('; ');
};

test.each([
  ['0', { max: 0, when: ['always'] }],
  ['2', { max: 2, when: ['always'] }],
  ['{max: 1}', { max: 1, when: ['always'] }],
  ['{max: 2, when: script_failure}', { max: 2, when: ['script_failure'] }],
  [
    '{max: 2, when: [runner_system_failure, stuck_or_timeout_failure]}',
    { max: 2, when: ['runner_system_failure', 'stuck_or_timeout_failure'] },
  ],
  ['{max: 1, exit_codes: 137}', { max: 1, when: [], exitCodes: [137] }],
  ['{max: 1, exit_codes: [1, 137], when: unknown_failure}', { max: 1, when: ['unknown_failure'], exitCodes: [1, 137] }],
])('retry: %s', (text, expected) => {
  expect(read(text)).toEqual(expected);
});

test.each([
  ['3', /number from 0 to 2/],
  ['-1', /number from 0 to 2/],
  ['often', /number from 0 to 2/],
  ['{when: always}', /`max`/],
  ['{max: 1, when: tired}', /`retry:when` must be of always/],
  ['{max: 1, when: []}', /`retry:when`/],
  ['{max: 1, exit_codes: a}', /`retry:exit_codes`/],
  ['{max: 1, often: 2}', /unknown keyword `often`/],
])('R13 retry: %s is an error that says so', (text, message) => {
  expect(read(text)).toMatch(message);
});

test("a job's own retry wins over the default one", () => {
  const parsed = parseCiFile('default:\n  retry: 1\none: {script: x}\ntwo: {script: x, retry: 2}\n');
  expect(parsed.ok && parsed.file.defaults.retry).toEqual({ max: 1, when: ['always'] });
  expect(parsed.ok && parsed.file.jobs.map((job) => job.retry?.max)).toEqual([undefined, 2]);
});
