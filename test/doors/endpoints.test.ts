import { describe, expect, test } from 'vitest';
import { silentLog } from '../../src/base/log.ts';
import { makeApiDoor } from '../../src/doors/api/api-door.ts';
import type { ApiDeps } from '../../src/doors/api/route.ts';
import type { Door } from '../../src/doors/door.ts';
import { makeOauthDoor, type OauthDeps } from '../../src/doors/oauth/oauth-door.ts';
import { makeMetrics, makeOpsDoor } from '../../src/doors/ops/ops-door.ts';
import { endpoints, openRoutes } from '../../src/policy/endpoints.ts';
import { isNeverAllowed, matchEndpoint } from '../../src/policy/match.ts';

/** What a door registers, taken down by an app that does nothing else. */
function routesOf(door: Door): string[] {
  const found: string[] = [];
  const note = (method: string) => (path: string) => void found.push(`${method} ${path}`);
  const app: unknown = new Proxy(
    {
      get: note('GET'),
      post: note('POST'),
      put: note('PUT'),
      patch: note('PATCH'),
      delete: note('DELETE'),
      route: ({ method, url }: { method: string; url: string }) => void found.push(`${method} ${url}`),
      // Routes whose bodies are read otherwise stand in a scope of their own.
      register: (scope: (inner: unknown, options: object, done: () => void) => void) => scope(app, {}, () => undefined),
    },
    { get: (target, name) => (Object.hasOwn(target, name) ? target[name as 'get'] : () => undefined) },
  );
  if (door.kind === 'routes') door.register(app as never);
  return found;
}

const deps = {
  log: silentLog,
  externalUrl: 'http://x',
  version: 'test',
  forge: { projects: {}, groups: {}, users: {}, releases: {}, repository: {}, registry: {} },
  jobs: { pipelines: {}, runners: {}, bounds: {}, ceilings: {}, trust: {} },
} as unknown as ApiDeps & OauthDeps;
const rows = endpoints.map((endpoint) => `${endpoint.method} ${endpoint.path}`);
const doors = [makeApiDoor(deps), makeOauthDoor(deps), makeOpsDoor({ metrics: makeMetrics(() => 0), ping: () => Promise.resolve() })];

describe('R13 the endpoint table', () => {
  test('R13 A11 every route of every door stands in the table, or is open to all on purpose', () => {
    const routes = doors.flatMap(routesOf);
    expect(routes.length).toBeGreaterThan(80);
    expect(routes.filter((route) => !rows.includes(route) && !openRoutes.includes(route))).toEqual([]);
  });

  test('R13 every row of the table has a route, or is served by a raw door', () => {
    const served = new Set(doors.flatMap(routesOf));
    const raw =
      /^(?:\w+ \/\*\.git\/|\w+ \/v2(?:\/|$)|GET \/jwt\/auth|(?:POST|PUT|PATCH|GET) \/api\/v4\/jobs\/|POST \/api\/v4\/runners(?:\/verify|\/reset_authentication_token)?$|DELETE \/api\/v4\/runners(?:\/managers)?$|GET \/api\/v4\/runners\/router)/;
    expect(rows.filter((row) => !served.has(row) && !raw.test(row))).toEqual([]);
    expect(new Set(rows).size).toBe(rows.length);
  });

  test('R5 rows whose permission is never for a pass stand in the never list too, and none of the others does', () => {
    expect(isNeverAllowed('POST', '/api/v4/projects/1/hooks')).toBe(true);
    expect(isNeverAllowed('GET', '/api/v4/projects/1/triggers')).toBe(true);
    expect(isNeverAllowed('GET', '/api/v4/projects/1/repository/tree')).toBe(false);
    expect(isNeverAllowed('POST', '/api/v4/projects/1/releases')).toBe(false);
    expect(isNeverAllowed('BREW', '/api/v4/version')).toBe(true);
    expect(matchEndpoint('HEAD', '/api/v4/projects/a%2Fb')?.endpoint.path).toBe('/api/v4/projects/:id');
    expect(matchEndpoint('GET', '/api/v4/projects/1/wikis')).toBeUndefined();
  });
});
