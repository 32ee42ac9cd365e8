import { newBudget } from '../../base/budget.ts';
import { JobpassError } from '../../base/errors.ts';
import { matchesGlob, readGlob } from '../../base/glob.ts';

/** Which submodules of the top level a job wants. */
export type SubmoduleFilter = (path: string) => boolean;

const maxPaths = 200;
const maxPathLength = 1024;

/**
 * `GIT_SUBMODULE_PATHS`: paths and globs, apart by white space; `:(exclude)path`, `:!path` and `:^path` leave out. Unset = all.
 * @throws invalid_input for any other magic of git's pathspecs; the filter too_large
 */
export function submoduleFilter(text: string | undefined): SubmoduleFilter {
  const words = (text ?? '').split(/\s+/).filter((word) => word !== '');
  if (words.length > maxPaths) throw new JobpassError('invalid_input', `GIT_SUBMODULE_PATHS has more than ${maxPaths} paths.`);
  const wanted: string[] = [];
  const unwanted: string[] = [];
  for (const word of words) {
    const exclusion = /^:(?:\(exclude\)|[!^])(.+)$/.exec(word)?.[1];
    const path = (exclusion ?? word).replace(/^\.\//, '').replace(/\/+$/, '');
    if (path === '' || path.length > maxPathLength || /^[:-]/.test(path) || path.startsWith('/') || path.split('/').includes('..'))
      throw new JobpassError(
        'invalid_input',
        `GIT_SUBMODULE_PATHS: ${JSON.stringify(word.slice(0, 100))} is not a path in the project, nor one with :(exclude) before it.`,
      );
    (exclusion === undefined ? wanted : unwanted).push(path);
  }
  const budget = newBudget();
  const hits = (paths: readonly string[], path: string): boolean =>
    paths.some((one) => one === '.' || path === one || path.startsWith(`${one}/`) || matchesGlob(readGlob(one, true), path, budget));
  return (path) => {
    const chosen = (wanted.length === 0 || hits(wanted, path)) && !hits(unwanted, path);
    if (budget.left < 0) throw new JobpassError('too_large', 'The patterns of GIT_SUBMODULE_PATHS take too long to match.');
    return chosen;
  };
}
