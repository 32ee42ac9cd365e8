import { limits } from '../../../base/limits.ts';
import { type Oid, parseOid, parseRefName, type ProjectId, type RefName, zeroOid } from '../../../base/ids.ts';
import type { RefChange } from '../../../base/refs.ts';
import type { HookQuestion } from './hooks.ts';
import type { GitRunner, RunOptions } from './processes.ts';

/** What is new in a push, looked up while its objects are still in quarantine. */
export interface PushFacts {
  readonly changes: readonly RefChange[];
  /** Commits that no ref had before, newest first; null past the limit. */
  readonly commits: readonly Oid[] | null;
}

/** Runs git on the repository with the quarantined objects in sight. */
type Look = (args: readonly string[], options?: RunOptions) => Promise<{ readonly code: number; readonly output: Buffer }>;

/**
 * @param objects the quarantine's object folder, as git's hook named it; empty for a push that only deletes
 * @returns a sentence where the push is malformed
 */
export async function pushFacts(
  git: GitRunner,
  repository: string,
  project: ProjectId,
  objects: string,
  updates: HookQuestion['updates'],
  signal: AbortSignal,
): Promise<PushFacts | string> {
  if (updates.length > limits.refsPerPush) return `at most ${limits.refsPerPush} refs can be pushed at once`;
  const env: Record<string, string> =
    objects === '' ? {} : { GIT_OBJECT_DIRECTORY: objects, GIT_ALTERNATE_OBJECT_DIRECTORIES: `${repository}/objects` };
  const look: Look = (args, options) => git.run(repository, args, { env, signal, ...options });

  const wanted: Pick<RefChange, 'ref' | 'oldOid' | 'newOid' | 'kind'>[] = [];
  for (const update of updates) {
    const ref = plainRef(update.ref);
    const oldOid = parseOid(update.oldOid);
    const newOid = parseOid(update.newOid);
    if (ref === undefined || oldOid === undefined || newOid === undefined) return 'a ref name in this push is not accepted';
    wanted.push({ ref, oldOid, newOid, kind: newOid === zeroOid ? 'delete' : oldOid === zeroOid ? 'create' : 'update' });
  }
  const tips = [...new Set(wanted.filter(({ kind }) => kind !== 'delete').map(({ newOid }) => newOid))];
  const parents = await newCommits(look, tips);
  // What was listed is a commit.
  if (!(await areCommits(look, parents === null ? tips : tips.filter((tip) => !parents.has(tip)))))
    return 'a branch or tag must point to a commit';
  // One question for all tips first: in most pushes no commit touches it.
  const suspicious = (parents === null || parents.size > 0) && (await commitsTouch(look, tips));
  const changes: RefChange[] = [];
  for (const { ref, oldOid, newOid, kind } of wanted) {
    const direct = kind === 'update' && parents !== null && startOf(parents, newOid) === oldOid;
    const forced = kind === 'update' && !direct && !(await isAncestor(look, oldOid, newOid));
    const touchesJobpass =
      kind !== 'delete' &&
      ((suspicious && (await commitsTouch(look, [newOid]))) || (kind === 'update' && !direct && (await tipsDiffer(look, oldOid, newOid))));
    changes.push({ projectId: project, ref, oldOid, newOid, kind, forced, touchesJobpass });
  }
  return { changes, commits: parents === null ? null : [...parents.keys()] };
}

/** @returns the name, unless git or a person could take it for another ref or a commit (A39), or it is not UTF-8 */
function plainRef(text: string): RefName | undefined {
  const confusing = text.includes('\ufffd') || /^refs\/[^/]+\/(?:refs\/|HEAD$|[0-9a-f]{40}$|[0-9a-f]{64}$)/.test(text);
  return confusing ? undefined : parseRefName(text);
}

async function areCommits(look: Look, tips: readonly Oid[]): Promise<boolean> {
  if (tips.length === 0) return true;
  const stdin = tips.map((tip) => `${tip}^{commit}\n`).join('');
  const { output } = await look(['cat-file', '--batch-check=%(objecttype)'], { stdin });
  return output
    .toString('utf8')
    .trimEnd()
    .split('\n')
    .every((type) => type === 'commit');
}

/** Commits that no ref had before, newest first, each with its parents; null past the limit. */
async function newCommits(look: Look, tips: readonly Oid[]): Promise<ReadonlyMap<Oid, readonly string[]> | null> {
  if (tips.length === 0) return new Map();
  const limit = limits.recordedCommitsPerPush;
  const args = ['rev-list', '--parents', `--max-count=${limit + 1}`, '--stdin', '--not', '--all'];
  const { output } = await look(args, { stdin: `${tips.join('\n')}\n` });
  const commits = new Map<Oid, readonly string[]>();
  for (const line of output.toString('utf8').split('\n')) {
    const [name = '', ...parents] = line.split(' ');
    const commit = parseOid(name);
    if (commit !== undefined) commits.set(commit, parents);
  }
  return commits.size > limit ? null : commits;
}

/**
 * Where the new commits below `tip` began, if each has one parent; undefined where there is a merge or a first commit. Where that is the ref's old commit, git
 * need not be asked for what follows: nothing is lost, and the tips differ only by what these commits touch.
 */
function startOf(parents: ReadonlyMap<string, readonly string[]>, tip: Oid): string | undefined {
  for (let commit: string = tip; ;) {
    const its = parents.get(commit);
    if (its === undefined) return commit;
    const [only] = its;
    if (only === undefined || its.length > 1) return undefined;
    commit = only;
  }
}

async function isAncestor(look: Look, oldOid: Oid, newOid: Oid): Promise<boolean> {
  return (await look(['merge-base', '--is-ancestor', oldOid, newOid], { codes: [0, 1, 128] })).code === 0;
}

// Without case: a checkout on a file system that folds case would read `.JobPass/` too.
const jobpassFolder = ':(top,icase).jobpass';

/** Some commit that is new here changes something below `.jobpass/`, on whichever side of a merge (R4, A66). */
async function commitsTouch(look: Look, tips: readonly Oid[]): Promise<boolean> {
  const args = ['rev-list', '--full-history', '--max-count=1', '--stdin', '--not', '--all', '--', jobpassFolder];
  return (await look(args, { stdin: `${tips.join('\n')}\n` })).output.length > 0;
}

/** Also without a new commit: a branch that is set to one which others made (R4). */
async function tipsDiffer(look: Look, oldOid: Oid, newOid: Oid): Promise<boolean> {
  const args = ['diff-tree', '-r', '--quiet', `${oldOid}^{commit}`, `${newOid}^{commit}`, '--', jobpassFolder];
  return (await look(args, { codes: [0, 1, 128] })).code !== 0;
}
