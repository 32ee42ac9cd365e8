import { isJobpassError } from '../../../base/errors.ts';
import { type Oid, parseOid } from '../../../base/ids.ts';
import type { Page, Paged } from '../../../base/page.ts';
import type { FileDiff } from '../../merge-requests.ts';
import type { GitRunner } from '../git/processes.ts';
import { pageOf } from '../repository/reads.ts';

/** Where two commits part. @returns undefined where they have nothing in common */
export async function mergeBase(git: GitRunner, repository: string, one: Oid, other: Oid): Promise<Oid | undefined> {
  const { code, output } = await git.known(repository, ['merge-base', one, other], { codes: [0, 1, 128] });
  return code === 0 ? parseOid(output.toString('utf8').trim()) : undefined;
}

/** Files that are listed; a larger change shows its first ones. */
const maxFiles = 1000;
const diffBytes = 4 * 1024 * 1024;

type Changed = Omit<FileDiff, 'diff' | 'tooLarge'>;

/** Which files differ between two commits, renames found. */
export async function changedFiles(git: GitRunner, repository: string, from: Oid, to: Oid): Promise<readonly Changed[]> {
  const { output } = await git.known(repository, ['diff-tree', '-r', '-M', '-z', '--raw', '--no-abbrev', from, to], {
    maxBytes: 64 * 1024 * 1024,
  });
  const words = output.toString('utf8').split('\0');
  const files: Changed[] = [];
  for (let at = 0; at < words.length && files.length < maxFiles;) {
    const [, oldMode, newMode, letter] = /^:(\d{6}) (\d{6}) [0-9a-f]+ [0-9a-f]+ ([A-Z])/.exec(words[at] ?? '') ?? [];
    const oldPath = words[at + 1];
    if (oldMode === undefined || newMode === undefined || letter === undefined || oldPath === undefined) break;
    const moves = letter === 'R' || letter === 'C';
    const newPath = moves ? (words[at + 2] ?? oldPath) : oldPath;
    files.push({
      oldPath,
      newPath,
      oldMode,
      newMode,
      kind: letter === 'A' ? 'added' : letter === 'D' ? 'deleted' : moves ? 'renamed' : 'changed',
    });
    at += moves ? 3 : 2;
  }
  return files;
}

/** A page of the files, with their hunks. */
export async function diffsOf(git: GitRunner, repository: string, from: Oid, to: Oid, page: Page): Promise<Paged<FileDiff>> {
  const { rows, total } = pageOf(await changedFiles(git, repository, from, to), page);
  if (rows.length === 0) return { rows: [], total };
  const paths = [...new Set(rows.flatMap(({ oldPath, newPath }) => [oldPath, newPath]))].map((path) => `:(top,literal)${path}`);
  const args = ['diff-tree', '-r', '-M', '-p', '--no-color', '--no-ext-diff', '--no-textconv', from, to, '--', ...paths];
  const found = await git.run(repository, args, { maxBytes: diffBytes }).catch((error: unknown) => {
    if (isJobpassError(error, 'too_large')) return undefined;
    throw error;
  });
  // Lines of a diff begin with a space, `+`, `-`, `@` or `\`: nothing in a file can look like the start of the next.
  const texts =
    found?.output
      .toString('utf8')
      .split(/^diff --git .*\n/m)
      .slice(1) ?? [];
  const whole = texts.length === rows.length;
  return {
    total,
    rows: rows.map((file, index) => ({ ...file, diff: whole ? hunksOf(texts[index] ?? '') : '', tooLarge: !whole })),
  };
}

function hunksOf(text: string): string {
  const at = text.search(/^@@ /m);
  return at < 0 ? '' : text.slice(at);
}
