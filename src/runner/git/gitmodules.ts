import { JobpassError } from '../../base/errors.ts';
import { runAs } from '../run-as.ts';
import { gitEnvironment } from './environment.ts';
import type { Mirror } from './mirror.ts';
import { plainText } from './urls.ts';

export interface Submodule {
  readonly name: string;
  readonly path: string;
  /** As committed; relative or absolute. */
  readonly url: string;
  readonly sha: string;
}

const maxFileBytes = 256 * 1024;
/** Limit over all levels of one job. */
export const maxSubmodules = 200;

/**
 * The submodules of a commit, read from the mirror and not from a work tree.
 * @throws invalid_input for names, paths or addresses that git or a file system could read as something else (A18, A20, CVE-2025-48384)
 */
export async function submodulesOf(mirror: Mirror): Promise<readonly Submodule[]> {
  const env = gitEnvironment(mirror.home);
  const git = async (collectBytes: number, ...args: readonly string[]): Promise<string> =>
    (await runAs(undefined, 'git', args, { cwd: mirror.dir, env, collectBytes })).stdout;
  const listed = await git(4096, 'ls-tree', '-z', mirror.sha, '--', '.gitmodules');
  if (!/^100(?:644|755) blob /.test(listed)) return [];
  const found = parseGitmodules(await git(maxFileBytes, 'config', `--blob=${mirror.sha}:.gitmodules`, '--no-includes', '-z', '--list'));
  const submodules: Submodule[] = [];
  for (const { name, path, url } of found) {
    // Only where the tree has a gitlink there is something to fetch.
    const entry = await git(4096, '--literal-pathspecs', 'ls-tree', '-z', mirror.sha, '--', path);
    const sha = /^160000 commit ([0-9a-f]{40,64})\t/.exec(entry)?.[1];
    if (sha !== undefined) submodules.push({ name, path, url, sha });
  }
  return submodules;
}

/**
 * Reads `git config -z --list` of a `.gitmodules`.
 * @throws invalid_input, too_large
 */
export function parseGitmodules(listing: string): readonly Omit<Submodule, 'sha'>[] {
  const found = new Map<string, { readonly path?: string; readonly url?: string }>();
  for (const record of listing.split('\0')) {
    const split = record.indexOf('\n');
    const match = /^submodule\.(.+)\.(path|url)$/s.exec(split < 0 ? record : record.slice(0, split));
    if (match === null) continue;
    const [, name = '', field = ''] = match;
    found.set(name, { ...found.get(name), [field]: split < 0 ? '' : record.slice(split + 1) });
  }
  if (found.size > maxSubmodules) throw new JobpassError('too_large', `There are more than ${maxSubmodules} submodules.`);
  const submodules: Omit<Submodule, 'sha'>[] = [];
  for (const [name, { path, url }] of found) {
    if (path === undefined || url === undefined) continue;
    if (!safePath(name) || !safePath(path))
      throw new JobpassError('invalid_input', 'A submodule has a name or a path that is not allowed.');
    if (!plainText(url) || url.startsWith('-'))
      throw new JobpassError('invalid_input', `The address of the submodule at ${path} is not allowed.`);
    submodules.push({ name, path, url });
  }
  return submodules;
}

/** Relative, of plain characters, and nowhere near a `.git`. */
export function safePath(path: string): boolean {
  if (path.length > 512 || !/^[^\u0000-\u001f\u007f\\:*?"<>|]+$/.test(path) || /^[-~]/.test(path)) return false;
  return path
    .split('/')
    .every((part) => part !== '' && part !== '.' && part !== '..' && !/^\.?git(?:~\d+)?[. ]*$/i.test(part) && !/\s$/.test(part));
}
