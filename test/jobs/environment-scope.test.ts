import fc from 'fast-check';
import { expect, test } from 'vitest';
import { scopeCovers, scopeRank } from '../../src/jobs/environment-scope.ts';

test('a scope covers the environments that it names', () => {
  for (const [scope, environment, covers] of [
    ['*', undefined, true],
    ['*', 'live', true],
    ['live', undefined, false],
    ['live', 'live', true],
    ['live', 'Live', false],
    ['live', 'live/eu', false],
    ['review/*', 'review/a', true],
    ['review/*', 'review/', true],
    ['review/*', 'review', false],
    ['*/eu', 'live/eu', true],
    ['a*b*c', 'axbxc', true],
    ['a*b*c', 'acb', false],
    ['ab*ba', 'aba', false],
    ['a*bb*b', 'abb', false],
    ['.*', 'live', false],
  ] as const)
    expect([scope, environment, scopeCovers(scope, environment)]).toEqual([scope, environment, covers]);
});

test('it is what a regular expression says, whatever stands in it', () => {
  const text = fc.stringMatching(/^[ab/.]{0,12}$/);
  fc.assert(
    fc.property(fc.stringMatching(/^[ab/.*]{1,10}$/), text, (scope, environment) => {
      const pattern = new RegExp(`^${scope.replaceAll('.', '\\.').replaceAll('*', '.*')}$`);
      expect(scopeCovers(scope, environment)).toBe(pattern.test(environment));
    }),
  );
});

test('a long scope and a long name take no time', () => {
  expect(scopeCovers(`${'a*'.repeat(100)}b`, 'a'.repeat(255))).toBe(false);
});

test('the nearer a scope is to the name, the more it counts', () => {
  const ranks = ['*', 'r*', 'review/*', 'review/a'].map(scopeRank);
  expect(ranks).toEqual(ranks.toSorted((one, other) => one - other));
});
