import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { endpoints } from '../../src/policy/endpoints.ts';
import { differencesPage } from './differences.ts';
import { nameOf, rowsWith } from './sample.ts';
import { samples } from './samples/index.ts';

describe('the walk leaves nothing out', () => {
  test('R13 every row of the endpoint table has a sample, and every sample a row', () => {
    expect(rowsWith(samples, () => true).map(([row]) => nameOf(row))).toEqual(endpoints.map(nameOf));
    expect(Object.keys(samples).filter((name) => !endpoints.some((row) => nameOf(row) === name))).toEqual([]);
  });

  test('R13 a row without a sample says what to do', () => {
    expect(() => rowsWith({}, () => true)).toThrow(/has no sample: add one in test\/walk\/samples\//);
  });

  test('docs/differences.md is what the walk compares by', () => {
    const page = readFileSync(new URL('../../docs/differences.md', import.meta.url), 'utf8');
    expect(page).toBe(differencesPage(rowsWith(samples, () => true)));
  });
});
