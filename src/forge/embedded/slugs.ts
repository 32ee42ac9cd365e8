import { JobpassError } from '../../base/errors.ts';

/** First parts of paths that are ours, not a user's or group's. */
const reserved = new Set([
  '-',
  'api',
  'v2',
  'jwt',
  'users',
  'admin',
  'groups',
  'projects',
  'oauth',
  'explore',
  'help',
  'search',
  'snippets',
  'dashboard',
  'assets',
  'uploads',
  'health',
  'metrics',
  'jobpass',
]);
const reservedProjects = new Set(['-', 'tree', 'blob', 'raw', 'commits', 'refs', 'new', 'edit', 'create', 'badges', 'blame', 'info']);

/**
 * One part of a path, as GitLab takes it: letters, digits, `_`, `-`, `.`; no dash first, no dot or dash last, no `.git` or `.atom`.
 * @throws invalid_input naming the field
 */
export function checkSlug(slug: string, kind: 'namespace' | 'project', field = 'path'): string {
  const shape =
    /^[a-zA-Z0-9_.][a-zA-Z0-9_.-]*$/.test(slug) &&
    !/[.-]$/.test(slug) &&
    !/\.(?:git|atom)$/i.test(slug) &&
    !slug.includes('..') &&
    slug.length <= 255;
  if (!shape) {
    throw new JobpassError('invalid_input', {
      fields: {
        [field]: ["can contain only letters, digits, '_', '-' and '.'. Cannot start with '-', end in '.', '-', '.git' or '.atom'"],
      },
    });
  }
  const taken = kind === 'namespace' ? reserved : reservedProjects;
  if (taken.has(slug.toLowerCase())) throw new JobpassError('invalid_input', { fields: { [field]: ['is a reserved name'] } });
  return slug;
}
