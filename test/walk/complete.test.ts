import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { type Endpoint, endpoints } from '../../src/policy/endpoints.ts';
import { differencesPage } from './differences.ts';
import { nameOf, rowsWith } from './sample.ts';
import { samples } from './samples/index.ts';

// LFS joins when its door does.
const walked = ({ path }: Endpoint): boolean => !path.includes('lfs');

describe('the walk leaves nothing out', () => {
  test('R13 every row of the endpoint table has a sample', () => {
    expect(rowsWith(samples, walked).map(([row]) => nameOf(row))).toEqual(endpoints.filter(walked).map(nameOf));
  });

  test('R13 a row without a sample says what to do', () => {
    expect(() => rowsWith({}, () => true)).toThrow(/has no sample: add one in test\/walk\/samples\//);
  });

  test('docs/differences.md is what the walk compares by', () => {
    const page = readFileSync(new URL('../../docs/differences.md', import.meta.url), 'utf8');
    expect(page).toBe(differencesPage(rowsWith(samples, walked)));
  });
});
