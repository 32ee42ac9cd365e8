import { limits } from '../../../base/limits.ts';
import { type Oid, parseOid, parseRefName, type ProjectId, zeroOid } from '../../../base/ids.ts';
import type { RefChange } from '../../../base/refs.ts';
import type { HookQuestion } from './hooks.ts';
import type { GitRunner } from './processes.ts';

/** What is new in a push, looked up while its objects are still in quarantine. */
export interface PushFacts {
  readonly changes: readonly RefChange[];
  /** Commits that no ref had before; null past the limit. */
  readonly commits: readonly Oid[] | null;
}

/**
 * @param objects the quarantine's object folder, as git's hook named it
 * @returns a sentence where the push is malformed
 */
export async function pushFacts(
  git: GitRunner,
  repository: string,
  project: ProjectId,
  objects: string,
  updates: HookQuestion['updates'],
): Promise<PushFacts | string> {
  if (updates.length > limits.refsPerPush) return `at most ${limits.refsPerPush} refs can be pushed at once`;
  const env = { GIT_OBJECT_DIRECTORY: objects, GIT_ALTERNATE_OBJECT_DIRECTORIES: `${repository}/objects` };
  const changes: RefChange[] = [];
  for (const update of updates) {
    const ref = parseRefName(update.ref);
    const oldOid = parseOid(update.oldOid);
    const newOid = parseOid(update.newOid);
    if (ref === undefined || oldOid === undefined || newOid === undefined) return 'malformed ref update';
    const kind = newOid === zeroOid ? 'delete' : oldOid === zeroOid ? 'create' : 'update';
    const forced = kind === 'update' && !(await isAncestor(git, repository, env, oldOid, newOid));
    const touchesJobpass = kind !== 'delete' && (await touches(git, repository, env, oldOid, newOid));
    changes.push({ projectId: project, ref, oldOid, newOid, kind, forced, touchesJobpass });
  }
  const tips = changes.filter((change) => change.kind !== 'delete').map((change) => change.newOid);
  return { changes, commits: tips.length === 0 ? [] : await newCommits(git, repository, env, tips) };
}

type Env = Readonly<Record<string, string>>;

async function isAncestor(git: GitRunner, repository: string, env: Env, oldOid: Oid, newOid: Oid): Promise<boolean> {
  const { code } = await git.run(repository, ['merge-base', '--is-ancestor', oldOid, newOid], { env, codes: [0, 1, 128] });
  return code === 0;
}

/** Some commit that is new here, or the difference between the tips, changes something below `.jobpass/` (R4, A66). */
async function touches(git: GitRunner, repository: string, env: Env, oldOid: Oid, newOid: Oid): Promise<boolean> {
  const path = ':(icase).jobpass';
  const fresh = await git.run(repository, ['rev-list', '--full-history', '--max-count=1', newOid, '--not', '--all', '--', path], { env });
  if (fresh.output.length > 0) return true;
  if (oldOid === zeroOid) return false;
  const { code } = await git.run(repository, ['diff', '--quiet', '--no-ext-diff', oldOid, newOid, '--', path], { env, codes: [0, 1, 128] });
  return code !== 0;
}

async function newCommits(git: GitRunner, repository: string, env: Env, tips: readonly Oid[]): Promise<readonly Oid[] | null> {
  const limit = limits.recordedCommitsPerPush;
  const { output } = await git.run(repository, ['rev-list', `--max-count=${limit + 1}`, '--stdin'], {
    env,
    stdin: `${tips.join('\n')}\n--not\n--all\n`,
  });
  const commits = output
    .toString('utf8')
    .split('\n')
    .flatMap((line) => parseOid(line) ?? []);
  return commits.length > limit ? null : commits;
}
