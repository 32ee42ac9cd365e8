import { opendir, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { newBudget } from '../../base/budget.ts';
import { JobpassError } from '../../base/errors.ts';
import { type Glob, matchesBelow, matchesGlob, readGlob } from '../../base/glob.ts';

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
const maxPatternLength = 4096;

/**
 * Lists what the patterns choose. A chosen folder brings all that is in it; links are listed and never followed, and `.git` is never looked into.
 * Patterns are a job's: what they may cost is bounded, since the runner works for nobody else meanwhile.
 * @throws too_large
 */
export async function selectFiles(root: string, selection: Selection): Promise<readonly Chosen[]> {
  // The job may have laid a link in the place of its folder.
  if ((await realpath(root)) !== root) throw new JobpassError('invalid_input', 'The build folder is not where it was.');
  const plain = (paths: readonly string[]): readonly string[] => paths.map(clean).filter((path) => path !== undefined);
  const patterns = plain(selection.paths);
  const everything = patterns.includes('.');
  const [wanted, unwanted] = [patterns.map(globOf), plain(selection.exclude).map(globOf)];
  const budget = newBudget();
  const literal = new Set(selection.literal);
  const chosen: Chosen[] = [];
  let seen = 0;
  const walk = async (folder: string, inside: boolean): Promise<void> => {
    // Gone into once this one is closed: one open folder for each level would be as many as a job likes, out of those that the runner may have.
    const below: [path: string, inside: boolean][] = [];
    for await (const entry of await opendir(join(root, folder))) {
      seen += 1;
      if (seen > maxEntries) throw new JobpassError('too_large', `There are more than ${maxEntries} files to look at for artifacts.`);
      if (folder === '' && entry.name === '.git') continue;
      const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
      const hit = inside || everything || literal.has(path) || wanted.some((glob) => matchesGlob(glob, path, budget));
      const excluded = unwanted.some((glob) => matchesGlob(glob, path, budget));
      if (entry.isDirectory()) {
        if (hit && !excluded) chosen.push({ path, kind: 'folder' });
        if (hit || literal.size > 0 || wanted.some((glob) => matchesBelow(glob, path, budget))) below.push([path, hit]);
      } else if (hit && !excluded && entry.isFile()) chosen.push({ path, kind: 'file' });
      else if (hit && !excluded && entry.isSymbolicLink()) chosen.push({ path, kind: 'link' });
      if (budget.left < 0) throw new JobpassError('too_large', 'The patterns of paths take too long to match.');
    }
    for (const [path, hit] of below) await walk(path, hit);
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

/** @throws too_large */
function globOf(pattern: string): Glob {
  if (pattern.length > maxPatternLength)
    throw new JobpassError('too_large', `A pattern of paths is longer than ${maxPatternLength} characters.`);
  return readGlob(pattern, true);
}
