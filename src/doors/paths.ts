import { limits } from '../base/limits.ts';

/**
 * A request path that every part of the server reads the same way (A22): no empty, `.` or `..` segment, no `;`, backslash, NUL or control byte,
 * raw or encoded; nothing encoded twice; `%2F` stays inside its segment.
 * @param path as on the request line, without the query
 * @returns what is wrong, or undefined
 */
export function pathProblem(given: string): string | undefined {
  // The distribution specification's own two paths that end in a slash.
  const path = /^\/v2(?:\/.+\/blobs\/uploads)?\/$/.test(given) ? given.slice(0, -1) : given;
  if (path.length > limits.urlBytes) return 'The URL is too long.';
  if (!path.startsWith('/')) return 'The request target must be a path.';
  if (/[\u0000-\u0020\u007f-\uffff\\;#]/.test(path)) return 'The path holds a character that is not allowed there.';
  const segments = path.slice(1).split('/');
  for (const [index, segment] of segments.entries()) {
    if (segment === '' && index === segments.length - 1 && segments.length > 1) return 'The path ends in a slash.';
    if (segment === '' && segments.length > 1) return 'The path holds an empty segment.';
    const decoded = decodeOnce(segment);
    if (decoded === undefined) return 'The path is not encoded as UTF-8.';
    if (/%[0-9A-Fa-f]{2}/.test(decoded)) return 'The path is encoded twice.';
    if (/[\u0000-\u001f\u007f\\;]/.test(decoded)) return 'The path holds a character that is not allowed there.';
    if (decoded.split('/').some((part) => part === '.' || part === '..')) return 'The path holds `.` or `..`.';
    if (decoded !== segment && decoded.split('/').includes('')) return 'The path holds an empty segment.';
  }
  return undefined;
}

/** @returns undefined for a broken escape or bytes that are not UTF-8 */
export function decodeOnce(segment: string): string | undefined {
  try {
    return decodeURIComponent(segment);
  } catch {
    return undefined;
  }
}

/** What stands behind the first `?` of a request's target; empty where there is nothing. */
export function queryOf(url: string | undefined): string {
  return (url ?? '').split('?').slice(1).join('?');
}
