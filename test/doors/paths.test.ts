import fc from 'fast-check';
import { expect, test } from 'vitest';
import { pathProblem } from '../../src/doors/paths.ts';

test('A22 path tricks are refused before anything is routed', () => {
  for (const path of [
    '/a/../b',
    '/a/%2e%2e/b',
    '/a/%2E%2e%2fb',
    '/a//b',
    '/api/v4/projects/a%252Fb',
    '/a/;b',
    '/a/%00',
    '/a/%5c',
    '/a\\b',
    '/a/%ff',
    '/a/%',
    '/a/./b',
    '/a/',
    'a',
    '/a/%2Fb',
    '/a/b%2F',
    '/\u00e9',
  ]) {
    expect([path, pathProblem(path)]).not.toEqual([path, undefined]);
  }
});

test('A22 what clients send passes', () => {
  for (const path of [
    '/',
    '/api/v4/projects/group%2Fproject/repository/files/src%2Fa.ts/raw',
    '/group/project.git/info/refs',
    '/api/v4/user',
    '/api/v4/projects/1/repository/tags/v1.0.0',
  ]) {
    expect([path, pathProblem(path)]).toEqual([path, undefined]);
  }
});

test('A22 no path that passes has a part that a file system or another parser reads otherwise', () => {
  fc.assert(
    fc.property(
      fc
        .array(fc.constantFrom('a', '.', '..', '%2e', '%2F', '%25', '/', '%5C', ';', '%00', 'é', '//'), { maxLength: 12 })
        .map((parts) => `/${parts.join('')}`),
      (path) => {
        if (pathProblem(path) !== undefined) return;
        const decoded = decodeURIComponent(path);
        expect(decoded.split('/').slice(1)).not.toContain('..');
        expect(decoded).not.toMatch(/%[0-9a-f]{2}|[\\;\u0000]/i);
      },
    ),
    { numRuns: 5000 },
  );
});
