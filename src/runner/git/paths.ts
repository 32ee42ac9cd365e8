import { matchesGlob } from 'node:path';
import { JobpassError } from '../../base/errors.ts';

/** Which submodules of the top level a job wants. */
export type SubmoduleFilter = (path: string) => boolean;

const maxPaths = 200;

/**
 * `GIT_SUBMODULE_PATHS`: paths and globs, apart by white space; `:(exclude)path`, `:!path` and `:^path` leave out. Unset = all.
 * @throws invalid_input for any other magic of git's pathspecs
 */
export function submoduleFilter(text: string | undefined): SubmoduleFilter {
  const words = (text ?? '').split(/\s+/).filter((word) => word !== '');
  if (words.length > maxPaths) throw new JobpassError('invalid_input', `GIT_SUBMODULE_PATHS has more than ${maxPaths} paths.`);
  const wanted: string[] = [];
  const unwanted: string[] = [];
  for (const word of words) {
    const exclusion = /^:(?:\(exclude\)|[!^])(.+)$/.exec(word)?.[1];
    const path = (exclusion ?? word).replace(/^\.\//, '').replace(/\/+$/, '');
    if (path === '' || /^[:-]/.test(path) || path.startsWith('/') || path.split('/').includes('..'))
      throw new JobpassError(
        'invalid_input',
        `GIT_SUBMODULE_PATHS: ${JSON.stringify(word.slice(0, 100))} is not a path in the project, nor one with :(exclude) before it.`,
      );
    (exclusion === undefined ? wanted : unwanted).push(path);
  }
  const hits = (paths: readonly string[], path: string): boolean =>
    paths.some((one) => one === '.' || path === one || path.startsWith(`${one}/`) || matchesGlob(path, one));
  return (path) => (wanted.length === 0 || hits(wanted, path)) && !hits(unwanted, path);
}
