import { type Endpoint, endpoints, type Method } from './endpoints.ts';
import { gatewayEndpoints } from './gateway-endpoints.ts';
import { neverAllowed } from './never.ts';

/** HEAD reads what GET reads; anything else that is none of GitLab's methods is unknown. */
export function normalMethod(method: string): Method | undefined {
  const upper = method.toUpperCase();
  if (upper === 'HEAD') return 'GET';
  return upper === 'GET' || upper === 'POST' || upper === 'PUT' || upper === 'PATCH' || upper === 'DELETE' ? upper : undefined;
}

/**
 * The segments of a path, split at its raw slashes and each decoded once, so that `%2F` stays inside its segment (A22).
 * @param path as on the request line, without the query
 * @returns undefined for anything that two readers could read in two ways: an empty, `.` or `..` part, `;`, a backslash, a control byte,
 * a broken or double encoding
 */
export function pathSegments(path: string): readonly string[] | undefined {
  if (!path.startsWith('/')) return undefined;
  const segments = path.slice(1).split('/').map(decodeOnce);
  const clean = segments.filter((segment) => segment !== undefined && isPlain(segment));
  return clean.length === segments.length ? clean.map(String) : undefined;
}

function decodeOnce(segment: string): string | undefined {
  try {
    return decodeURIComponent(segment);
  } catch {
    return undefined;
  }
}

function isPlain(segment: string): boolean {
  if (/[\u0000-\u001f\u007f;\\]|%[0-9A-Fa-f]{2}/.test(segment)) return false;
  return segment.split('/').every((part) => part !== '' && part !== '.' && part !== '..');
}

/** True for what no pass may ever do, and for whatever cannot be read with certainty (R5, R13). */
export function isNeverAllowed(method: string, path: string): boolean {
  const normal = normalMethod(method);
  const segments = pathSegments(path);
  if (normal === undefined || segments === undefined) return true;
  return neverAllowed.some((row) => row.methods.includes(normal) && row.paths.some((pattern) => matches(pattern, segments)));
}

export interface EndpointMatch {
  readonly endpoint: Endpoint;
  /** Path parameters by name, decoded once. */
  readonly params: ReadonlyMap<string, string>;
}

/** The endpoint row of a request; undefined = unlisted, so a pass may not use it (R13). */
export function matchEndpoint(method: string, path: string): EndpointMatch | undefined {
  return matchIn(endpoints, method, path);
}

/** As `matchEndpoint`, with the rows beside that a GitLab behind the gateway serves. */
export function matchGatewayEndpoint(method: string, path: string): EndpointMatch | undefined {
  return matchIn(endpoints, method, path) ?? matchIn(gatewayEndpoints, method, path);
}

function matchIn(table: readonly Endpoint[], method: string, path: string): EndpointMatch | undefined {
  const normal = normalMethod(method);
  const segments = pathSegments(path);
  if (normal === undefined || segments === undefined) return undefined;
  const endpoint = table.find((row) => row.method === normal && matches(row.path, segments));
  if (endpoint === undefined) return undefined;
  const params = new Map<string, string>();
  for (const [index, part] of partsOf(endpoint.path).entries()) if (part.startsWith(':')) params.set(part.slice(1), segments[index] ?? '');
  return { endpoint, params };
}

function partsOf(pattern: string): readonly string[] {
  return pattern.slice(1).split('/');
}

/** `:x` stands for one segment; a final `*` for any end of its segment and everything below. */
function matches(pattern: string, segments: readonly string[]): boolean {
  const open = pattern.endsWith('*');
  const wanted = partsOf(open ? pattern.slice(0, -1) : pattern);
  if (open ? segments.length < wanted.length : segments.length !== wanted.length) return false;
  return wanted.every((part, index) => {
    const segment = segments[index] ?? '';
    if (part.startsWith(':')) return true;
    return open && index === wanted.length - 1 ? segment.startsWith(part) : segment === part;
  });
}
