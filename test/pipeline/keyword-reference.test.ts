import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { keywordReference } from '../../src/pipeline/keyword-reference.ts';
import { keywords } from '../../src/pipeline/keywords.ts';
import { parseCiFile } from '../../src/pipeline/parse.ts';
import { errorText } from '../../src/pipeline/plan.ts';

test('docs/keywords.md is what the parser judges by (node scripts/keywords-doc.mjs > docs/keywords.md)', () => {
  expect(readFileSync(new URL('../../docs/keywords.md', import.meta.url), 'utf8')).toBe(keywordReference());
});

const unsupported = (place: 'top' | 'job') => [...keywords[place]].filter(([, { status }]) => status !== 'supported').map(([name]) => name);

test.each(unsupported('job'))('R13 keyword `%s` of a job is an error that names it', (name) => {
  const parsed = parseCiFile(`a: {script: x, ${name}: y}`);
  expect(parsed.ok ? '' : parsed.errors.map(errorText).join('\n')).toContain(`line 1: job \`a\`: keyword \`${name}\` is not supported`);
});

test.each(unsupported('top'))('R13 keyword `%s` at the top is an error that names it', (name) => {
  const parsed = parseCiFile(`${name}: y\na: {script: x}`);
  expect(parsed.ok ? '' : parsed.errors.map(errorText).join('\n')).toContain(`line 1: keyword \`${name}\` is not supported`);
});
