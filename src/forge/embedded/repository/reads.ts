import { JobpassError } from '../../../base/errors.ts';
import { type Oid, parseOid, parseRefName, type RefName } from '../../../base/ids.ts';
import type { Commit, Page, Paged } from '../../forge.ts';
import type { GitRunner } from '../git/processes.ts';
import { commitOf, looseBranch, readRefs } from '../git/refs.ts';

/** Resolves a name as GitLab does: branch, tag, full ref, then a sha of at least 4 digits. No ref has the name of a whole sha (A39): it is not looked for. */
export async function resolveCommit(
  git: GitRunner,
  repository: string,
  name: string,
): Promise<{ readonly oid: Oid; readonly ref: RefName | null } | undefined> {
  const whole = parseOid(name);
  if (whole !== undefined) {
    const oid = await commitOf(git, repository, whole);
    return oid === undefined ? undefined : { oid, ref: null };
  }
  const names = [`refs/heads/${name}`, `refs/tags/${name}`, ...(/^refs\/(?:heads|tags)\//.test(name) ? [name] : [])];
  const refs = names.flatMap((text) => parseRefName(text) ?? []);
  const [first] = refs;
  const branch = first === undefined ? undefined : await looseBranch(repository, first);
  // It would be the first one found in any case.
  if (first !== undefined && branch !== undefined) return { oid: branch, ref: first };
  const tips = await readRefs(git, repository, refs);
  for (const ref of refs) {
    const oid = tips.get(ref)?.commit;
    if (oid !== undefined) return { oid, ref };
  }
  if (!/^[0-9a-f]{4,64}$/.test(name)) return undefined;
  const oid = await commitOf(git, repository, name);
  return oid === undefined ? undefined : { oid, ref: null };
}

const commitFormat = ['%H', '%P', '%an', '%ae', '%aI', '%cn', '%ce', '%cI', '%B'];

/** @param args options, and revisions as whole object ids @param codes exit codes that are an answer */
export async function readCommits(
  git: GitRunner,
  repository: string,
  args: readonly string[],
  codes: readonly number[] = [0],
): Promise<Commit[]> {
  const { output } = await git.known(repository, ['log', '-z', `--format=${commitFormat.join('%x00')}`, ...args], {
    maxBytes: 32 * 1024 * 1024,
    codes,
  });
  const fields = output.toString('utf8').split('\0');
  const commits: Commit[] = [];
  for (let at = 0; at + commitFormat.length <= fields.length; at += commitFormat.length) {
    const [hash = '', parents = '', authorName = '', authorEmail = '', authoredDate = '', ...rest] = fields.slice(at);
    const [committerName = '', committerEmail = '', committedDate = '', body = ''] = rest;
    const id = parseOid(hash);
    if (id === undefined) throw new JobpassError('upstream_failed', {}, new Error('git log printed something else than commits'));
    const message = body.replace(/\n$/, '');
    commits.push({
      id,
      parentIds: parents.split(' ').flatMap((oid) => parseOid(oid) ?? []),
      title: message.split('\n')[0] ?? '',
      message,
      authorName,
      authorEmail,
      authoredDate,
      committerName,
      committerEmail,
      committedDate,
    });
  }
  return commits;
}

/** @param oid of anything; undefined where it is there but is no commit, or is not there at all */
export async function findCommit(git: GitRunner, repository: string, oid: Oid): Promise<Commit | undefined> {
  return (await readCommits(git, repository, ['--max-count=1', oid], [0, 128]))[0];
}

/** @throws not_found */
export async function readCommit(git: GitRunner, repository: string, oid: Oid): Promise<Commit> {
  const [commit] = await readCommits(git, repository, ['--max-count=1', oid]);
  if (commit === undefined) throw new JobpassError('not_found', { what: 'Commit' });
  return commit;
}

/** What `ls-tree` tells of one entry. */
export interface Entry {
  readonly mode: string;
  readonly type: 'blob' | 'tree' | 'commit';
  readonly oid: Oid;
  readonly path: string;
}

/** Parses the output of `ls-tree -z`. */
export function parseEntries(output: Buffer): Entry[] {
  const entries: Entry[] = [];
  for (const line of output.toString('utf8').split('\0')) {
    const [, mode = '', type = '', name = '', path = ''] = /^(\d{6}) (blob|tree|commit) ([0-9a-f]+)\t(.+)$/s.exec(line) ?? [];
    const oid = parseOid(name);
    if (oid !== undefined && (type === 'blob' || type === 'tree' || type === 'commit')) entries.push({ mode, type, oid, path });
  }
  return entries;
}

/** An entry at a path of a commit. @param path as `readablePath` gives it */
export async function entryAt(git: GitRunner, repository: string, commit: Oid, path: string): Promise<Entry | undefined> {
  if (path === '') return undefined;
  const { code, output } = await git.known(repository, ['ls-tree', '-z', '--full-tree', commit, '--', `:(literal)${path}`], {
    codes: [0, 128],
  });
  return code === 0 ? parseEntries(output).find((entry) => entry.path === path) : undefined;
}

/** The rows of one page. */
export function pageOf<Row>(rows: readonly Row[], page: Page): Paged<Row> {
  return { rows: rows.slice((page.page - 1) * page.perPage, page.page * page.perPage), total: rows.length };
}
