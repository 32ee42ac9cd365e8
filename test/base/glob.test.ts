import fc from 'fast-check';
import { expect, test } from 'vitest';
import { newBudget } from '../../src/base/budget.ts';
import { matchesBelow, matchesGlob, matchesWildcard, readGlob } from '../../src/base/glob.ts';

const matches = (pattern: string, path: string): boolean => matchesGlob(readGlob(pattern), path, newBudget());

// Facts of Ruby's File.fnmatch with FNM_PATHNAME | FNM_DOTMATCH | FNM_EXTGLOB.
test.each([
  ['Dockerfile', 'Dockerfile', true],
  ['Dockerfile', 'a/Dockerfile', false],
  ['*', 'a', true],
  ['*', 'a/b', false],
  ['*', '.a', true],
  ['docker/*', 'docker/a', true],
  ['docker/*', 'docker/a/b', false],
  ['docker/**/*', 'docker/a', true],
  ['docker/**/*', 'docker/.a/b/c', true],
  ['docker/**', 'docker/a', true],
  ['docker/**', 'docker/a/b', false],
  ['**/*.rb', 'a.rb', true],
  ['**/*.rb', 'x/y/a.rb', true],
  ['**/*.rb', 'x/y/a.py', false],
  ['a**/b', 'ax/b', true],
  ['a**/b', 'ax/y/b', false],
  ['*.{rb,py}', 'a.py', true],
  ['*.{rb,py}', 'a.js', false],
  ['{a,b{c,d}}/x', 'bd/x', true],
  ['{,x/}a', 'a', true],
  ['{,x/}a', 'x/a', true],
  ['{a', '{a', true],
  ['\\{a,b}', '{a,b}', true],
  ['a?c', 'abc', true],
  ['a?c', 'a/c', false],
  ['[a-c]x', 'bx', true],
  ['[^a-c]x', 'bx', false],
  ['[!a]', 'b', true],
  ['[a', '[a', false],
  ['\\*', '*', true],
  ['\\*', 'a', false],
  ['', '', true],
])('%s and %s: %s', (pattern, path, expected) => {
  expect(matches(pattern, path)).toBe(expected);
});

test('R13 braces that multiply match nothing, and a used up budget ends the work', () => {
  expect(matches('{a,b}'.repeat(20), 'a'.repeat(20))).toBe(false);
  const budget = { left: 1000 };
  expect(matchesGlob(readGlob(`${'*a'.repeat(100)}b`), 'a'.repeat(1000), budget)).toBe(false);
  expect(budget.left).toBeLessThan(0);
});

test('stars and question marks say what a plain regular expression says', () => {
  const part = fc.array(fc.constantFrom('a', 'b', '*', '?', '**'), { maxLength: 4 }).map((signs) => signs.join(''));
  const path = fc.array(fc.constantFrom('a', 'b', 'ab', 'ba', ''), { minLength: 1, maxLength: 4 }).map((names) => names.join('/'));
  fc.assert(
    fc.property(fc.array(part, { minLength: 1, maxLength: 4 }), path, (parts, text) => {
      const source = parts.map((one, index) => {
        if (one === '**' && index < parts.length - 1) return '(?:[^/]*/)*';
        return one.replaceAll(/\*+/g, '[^/]*').replaceAll('?', '[^/]') + (index < parts.length - 1 ? '/' : '');
      });
      expect(matches(parts.join('/'), text)).toBe(new RegExp(`^${source.join('')}$`).test(text));
    }),
  );
});

test.each([
  ['a/**', 'a/b/c', true],
  ['**', 'a/b', true],
  ['{a/**,b}', 'a/b/c', true],
  ['a/**', 'b/c', false],
])('two stars at the end cross folders where they are to: %s and %s', (pattern, path, expected) => {
  expect(matchesGlob(readGlob(pattern, true), path, newBudget())).toBe(expected);
});

test.each([
  ['a/*/c', 'a/b', true],
  ['a/*/c', 'a/b/c', false],
  ['**/c', 'a/b', true],
  ['{x,a/b}/c', 'a', true],
  ['a*', 'ab', false],
  ['b/c', 'a', false],
])('below a folder: %s and %s', (pattern, folder, expected) => {
  expect(matchesBelow(readGlob(pattern), folder, newBudget())).toBe(expected);
});

// GitLab, "Use `include:local` with wildcard file paths".
test.each([
  ['configs/*.yml', 'configs/a.yml', true],
  ['configs/*.yml', 'configs/x/a.yml', false],
  ['configs/**.yml', 'configs/a.yml', true],
  ['configs/**.yml', 'configs/x/a.yml', true],
  ['configs/**/*.yml', 'configs/a.yml', false],
  ['configs/**/*.yml', 'configs/x/y/a.yml', true],
  ['*a', 'b/a', false],
  ['a?[b]{c}.yml', 'a?[b]{c}.yml', true],
])('include:local %s and %s: %s', (pattern, path, expected) => {
  expect(matchesWildcard(pattern, path, newBudget())).toBe(expected);
});

test('wildcards of include:local say what a plain regular expression says', () => {
  const text = (signs: readonly string[]) => fc.array(fc.constantFrom(...signs), { maxLength: 10 }).map((some) => some.join(''));
  fc.assert(
    fc.property(text(['a', 'b', '/', '*', '**']), text(['a', 'b', '/']), (pattern, path) => {
      const source = pattern.replaceAll(/\*+/g, (stars) => (stars.length > 1 ? '.*' : '[^/]*'));
      expect(matchesWildcard(pattern, path, newBudget())).toBe(new RegExp(`^${source}$`).test(path));
    }),
    { numRuns: 1000 },
  );
});
