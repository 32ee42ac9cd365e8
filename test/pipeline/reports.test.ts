import { expect, test } from 'vitest';
import { keywords } from '../../src/pipeline/keywords.ts';
import { parseCiFile } from '../../src/pipeline/parse.ts';
import { reportFormat } from '../../src/wire/reports.ts';

const read = (reports: string) => {
  const parsed = parseCiFile(`job:\n  script: x\n  artifacts:\n    reports: ${reports}\n`);
  return parsed.ok ? parsed.file.jobs[0]?.artifacts?.reports : parsed.errors.map((error) => error.message).join('; ');
};

test('a path or a list of them, by type; coverage names its own format', () => {
  expect(read('{junit: [a.xml, "*/b.xml"], dotenv: build.env}')).toEqual({ junit: ['a.xml', '*/b.xml'], dotenv: ['build.env'] });
  expect(read('{coverage_report: {coverage_format: jacoco, path: c.xml}}')).toEqual({ jacoco: ['c.xml'] });
});

test.each([
  ['{horoscope: a}', /unknown keyword `horoscope`/],
  ['{cobertura: a}', /use `coverage_report`/],
  ['{junit: {a: b}}', /list of texts/],
  ['{coverage_report: c.xml}', /coverage_format/],
  ['[junit]', /map of report types/],
])('R13 reports: %s is an error that says so', (text, message) => {
  expect(read(text)).toMatch(message);
});

test('every type that a file may name has a form in which it is sent', () => {
  for (const [type, { status }] of keywords.reports)
    if (status === 'supported' && type !== 'coverage_report') expect([type, reportFormat(type)]).not.toContain(undefined);
});
