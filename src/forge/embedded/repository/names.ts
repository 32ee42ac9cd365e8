import { JobpassError } from '../../../base/errors.ts';
import { parseRefName, type RefName } from '../../../base/ids.ts';

/** @throws invalid_input for a name that git would not take, or could read as an option */
export function branchRef(name: string): RefName {
  return checked('heads', name, 'Branch name is invalid');
}

export function tagRef(name: string): RefName {
  return checked('tags', name, 'Tag name invalid');
}

function checked(kind: 'heads' | 'tags', name: string, message: string): RefName {
  const ref = /^(?:HEAD|refs\/.*)?$|^-/s.test(name) ? undefined : parseRefName(`refs/${kind}/${name}`);
  if (ref === undefined) throw new JobpassError('invalid_input', message);
  return ref;
}

/**
 * A path inside a repository that may be written: relative, no `.`/`..`/`.git` part in any spelling that a file system could fold
 * together, no NUL or control bytes.
 * @throws invalid_input
 */
export function checkPath(path: string): string {
  const parts = path.split('/');
  const bad = parts.some(
    (part) =>
      part === '' ||
      part === '.' ||
      part === '..' ||
      /^(?:\.git|git~1)[. ]*(?::.*)?$/i.test(part.replaceAll(/[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]/g, '')),
  );
  if (bad || path.length > 4096 || /[\u0000-\u001f\u007f\\]/.test(path))
    throw new JobpassError('invalid_input', 'file_path is invalid: it must be a relative path without `..` or `.git`');
  return path;
}

/** A path to read, without final slashes. Nothing is made of it, so an odd one is only "not there": undefined. */
export function readablePath(path: string): string | undefined {
  if (path.length > 4096 || path.includes('\0') || path.startsWith('/') || path.split('/').includes('..')) return undefined;
  return path.replace(/\/+$/, '');
}
