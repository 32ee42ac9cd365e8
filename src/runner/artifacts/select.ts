import { opendir, realpath } from 'node:fs/promises';
import { join, matchesGlob } from 'node:path';
import { JobpassError } from '../../base/errors.ts';

export interface Selection {
  /** Globs or folders, relative to the build folder; expanded already. */
  readonly paths: readonly string[];
  readonly exclude: readonly string[];
  /** Further files, by their exact paths. */
  readonly literal?: readonly string[];
}

/** What is chosen, relative to the build folder. */
export interface Chosen {
  readonly path: string;
  readonly kind: 'file' | 'link' | 'folder';
}

const maxEntries = 200_000;

/**
 * Lists what the patterns choose. A chosen folder brings all that is in it; links are listed and never followed, and `.git` is never looked into.
 * @throws too_large
 */
export async function selectFiles(root: string, selection: Selection): Promise<readonly Chosen[]> {
  // The job may have laid a link in the place of its folder.
  if ((await realpath(root)) !== root) throw new JobpassError('invalid_input', 'The build folder is not where it was.');
  const patterns = selection.paths.map(clean).filter((path) => path !== undefined);
  const literal = new Set(selection.literal);
  const chosen: Chosen[] = [];
  let seen = 0;
  const walk = async (folder: string, inside: boolean): Promise<void> => {
    const dir = await opendir(join(root, folder));
    for await (const entry of dir) {
      seen += 1;
      if (seen > maxEntries) throw new JobpassError('too_large', `There are more than ${maxEntries} files to look at for artifacts.`);
      if (folder === '' && entry.name === '.git') continue;
      const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
      const hit = inside || literal.has(path) || patterns.some((pattern) => pattern === '.' || matchesGlob(path, pattern));
      const excluded = selection.exclude.some((pattern) => matchesGlob(path, pattern));
      if (entry.isDirectory()) {
        if (hit && !excluded) chosen.push({ path, kind: 'folder' });
        if (hit || literal.size > 0 || patterns.some((pattern) => couldBeBelow(path, pattern))) await walk(path, hit);
      } else if (hit && !excluded && entry.isFile()) chosen.push({ path, kind: 'file' });
      else if (hit && !excluded && entry.isSymbolicLink()) chosen.push({ path, kind: 'link' });
    }
  };
  if (patterns.length > 0 || literal.size > 0) await walk('', false);
  return chosen.toSorted((one, other) => (one.path < other.path ? -1 : 1));
}

/** @returns undefined for a pattern that points outside */
function clean(pattern: string): string | undefined {
  const parts = pattern.split('/').filter((part) => part !== '' && part !== '.');
  if (pattern.startsWith('/') || parts.includes('..')) return undefined;
  return parts.length === 0 ? '.' : parts.join('/');
}

/** Could the pattern match something in this folder? Errs towards yes. */
function couldBeBelow(folder: string, pattern: string): boolean {
  const [have, want] = [folder.split('/'), pattern.split('/')];
  for (const [index, part] of have.entries()) {
    const wanted = want[index];
    if (wanted === undefined) return false;
    if (wanted === '**') return true;
    if (!matchesGlob(part, wanted)) return false;
  }
  return true;
}
