import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { endpoints } from '../../src/policy/endpoints.ts';
import { isNeverAllowed, matchEndpoint, pathSegments } from '../../src/policy/match.ts';
import { neverAllowed } from '../../src/policy/never.ts';
import { permissionRule } from '../../src/policy/permissions.ts';

const filled = (pattern: string): string =>
  pattern
    .replaceAll(/:[a-z_]+/g, '7')
    .replace(/\/\*$/, '/x')
    .replace(/\*$/, '');
const apiRows = endpoints.filter((row) => row.path.startsWith('/api/'));

describe('paths', () => {
  test('A22 segments split at raw slashes and are decoded once, so %2F stays inside', () => {
    expect(pathSegments('/api/v4/projects/a%2Fb/hooks')).toEqual(['api', 'v4', 'projects', 'a/b', 'hooks']);
    expect(pathSegments('/%70rojects')).toEqual(['projects']);
  });

  test.each([
    '',
    'api',
    '/',
    '/a//b',
    '/a/',
    '/a/./b',
    '/a/../b',
    '/a/%2e%2e/b',
    '/a/%2E/b',
    '/a%2F..%2Fb',
    '/a%2f%2fb',
    '/%2Fa',
    '/a%2F',
    '/a;b',
    '/a%3Bb',
    '/a%00b',
    '/a%0Ab',
    '/a\u007f',
    '/a\\b',
    '/a%5Cb',
    '/a%252Fb',
    '/a%25%32%46',
    '/a%2',
    '/a%ff',
    '/%',
  ])('A22 %j can be read in two ways, so it is refused', (path) => {
    expect(pathSegments(path)).toBeUndefined();
    expect(matchEndpoint('GET', path)).toBeUndefined();
    expect(isNeverAllowed('GET', path)).toBe(true);
  });

  test('A22 what is accepted decodes to plain parts, and encoding them again gives the same', () => {
    const piece = fc.constantFrom('a', '/', '%2F', '%2f', '..', '.', ';', '%', '25', '%25', '%00', '\\', 'é', '%C3%A9', '\u0001', 'hooks');
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 8 }), (pieces) => {
        const segments = pathSegments(`/${pieces.join('')}`);
        if (segments === undefined) return;
        for (const part of segments.flatMap((segment) => segment.split('/'))) expect(['', '.', '..']).not.toContain(part);
        expect(pathSegments(`/${segments.map(encodeURIComponent).join('/')}`)).toEqual(segments);
      }),
      { numRuns: 3000 },
    );
  });
});

describe('endpoints', () => {
  test.each(apiRows.map((row) => `${row.method} ${row.path}`))('A11 %s is found by its own path', (name) => {
    const [method = '', path = ''] = name.split(' ');
    const found = matchEndpoint(method, filled(path));
    const row = endpoints.find((one) => `${one.method} ${one.path}` === name);
    expect(found?.endpoint.permissions).toEqual(row?.permissions);
  });

  test('R13 an unlisted route, method or length matches nothing', () => {
    expect(matchEndpoint('GET', '/api/v4/projects/1/wikis')).toBeUndefined();
    expect(matchEndpoint('BREW', '/api/v4/projects/1')).toBeUndefined();
    expect(matchEndpoint('GET', '/api/v4/projects/1/repository/tree/x')).toBeUndefined();
    expect(matchEndpoint('GET', '/api/v5/projects/1')).toBeUndefined();
  });

  test('HEAD is judged as GET, parameters are decoded once', () => {
    const found = matchEndpoint('HEAD', '/api/v4/projects/a%2Fb/repository/branches/feat%2Fx');
    expect(found?.endpoint.permissions).toEqual(['branch:read']);
    expect([...(found?.params ?? [])]).toEqual([
      ['id', 'a/b'],
      ['branch', 'feat/x'],
    ]);
  });
});

describe('R5 never', () => {
  const cases = neverAllowed.flatMap((row) => row.methods.flatMap((method) => row.paths.map((path) => [method, path] as const)));

  test('A9 every pattern is refused, itself and, where it is open, whatever follows', () => {
    for (const [method, path] of cases) {
      expect([method, path, isNeverAllowed(method, filled(path))]).toEqual([method, path, true]);
      if (path.endsWith('*')) expect([method, path, isNeverAllowed(method, `${filled(path)}/7/rotate`)]).toEqual([method, path, true]);
    }
  });

  test.each([
    'POST /api/v4/personal_access_tokens/self/rotate',
    'POST /api/v4/projects/g%2Fp/access_tokens',
    'POST /api/v4/projects/1/access_tokens/3/rotate',
    'GET /api/v4/projects/1/triggers',
    'POST /api/v4/projects/1/export_relations',
    'POST /api/v4/projects/remote-import-s3',
    'POST /api/v4/projects/import-relation',
    'GET /api/v4/geo_nodes',
    'POST /api/v4/user/runners',
    'POST /api/v4/jobs/request',
    'PUT /api/v4/projects/1',
    'PUT /api/v4/projects/1/repository/branches/main/protect',
    'POST /api/v4/groups/1/security/policy_store',
    'POST /api/graphql',
    'HEAD /api/v4/users/1/impersonation_tokens',
    'POST /api/v4/projects/1/%68ooks',
    'OPTIONS /api/v4/version',
  ])('R5 A9 %s', (request) => {
    const [method = '', path = ''] = request.split(' ');
    expect(isNeverAllowed(method, path)).toBe(true);
  });

  test('R5 no row that a pass may use is on the list, and every listed row carries a permission that is never for a pass', () => {
    for (const row of apiRows) {
      const never = row.permissions.every((permission) => permissionRule(permission).pass === 'never');
      if (isNeverAllowed(row.method, filled(row.path))) expect([row.method, row.path, never]).toEqual([row.method, row.path, true]);
    }
  });
});
