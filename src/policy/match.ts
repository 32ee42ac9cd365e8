import { type Endpoint, endpoints, type Method } from './endpoints.ts';
import { neverAllowed } from './never.ts';

/** HEAD reads what GET reads; anything else that is none of GitLab's methods is unknown. */
export function normalMethod(method: string): Method | undefined {
  const upper = method.toUpperCase();
  if (upper === 'HEAD') return 'GET';
  return upper === 'GET' || upper === 'POST' || upper === 'PUT' || upper === 'PATCH' || upper === 'DELETE' ? upper : undefined;
}

/** @param path raw path, checked before: segments are compared as they stand, so `%2F` never splits one */
export function isNeverAllowed(method: string, path: string): boolean {
  const normal = normalMethod(method);
  if (normal === undefined) return true;
  return neverAllowed.some((row) => row.methods.includes(normal) && row.paths.some((pattern) => matches(pattern, path)));
}

/** The endpoint row of a request under the API; undefined = unlisted, so a pass may not use it (R13). */
export function endpointOf(method: string, path: string): Endpoint | undefined {
  const normal = normalMethod(method);
  return endpoints.find((endpoint) => endpoint.method === normal && matches(endpoint.path, path));
}

function matches(pattern: string, path: string): boolean {
  const open = pattern.endsWith('*');
  const wanted = (open ? pattern.slice(0, -1) : pattern).split('/');
  const given = path.split('/');
  if (open ? given.length < wanted.length : given.length !== wanted.length) return false;
  return wanted.every((part, index) => {
    const segment = given[index] ?? '';
    if (part.startsWith(':')) return segment !== '';
    // `/hooks*` stands for /hooks and everything below; `/downloads/*` for everything below.
    return segment === part || (open && index === wanted.length - 1 && part === '');
  });
}
