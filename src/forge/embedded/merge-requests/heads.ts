import { limits } from '../../../base/limits.ts';
import { type Oid, parseOid, zeroOid } from '../../../base/ids.ts';
import type { Log } from '../../../base/log.ts';
import type { MergeRequestId, MergeRequestRecord, MergeRequestStore } from '../../../ports/merge-requests.ts';
import type { Clock } from '../../../base/clock.ts';
import type { Transactor } from '../../../ports/tx.ts';
import type { RefsUpdated } from '../../forge.ts';
import type { GitRunner } from '../git/processes.ts';
import { readRefs } from '../git/refs.ts';
import type { Repositories } from '../git/repositories.ts';
import type { PushLogStore } from '../ports.ts';
import { branchRef } from '../repository/names.ts';

export interface HeadDeps {
  readonly git: GitRunner;
  readonly repositories: Repositories;
  readonly mergeRequests: MergeRequestStore;
  readonly pushLog: PushLogStore;
  readonly transactor: Transactor;
  readonly clock: Clock;
  readonly log: Log;
}

/** Commits that a merge request is found by; later ones are left out. */
const heldCommits = 1000;

/** Only we move it, where a branch has moved that was decided: git's hooks, which decide pushes, are not asked. */
const withoutHooks = ['-c', 'core.hooksPath=/dev/null'];

/**
 * Puts `refs/merge-requests/:iid/head` of the target where the source's branch stands. The commits of a fork come along, and with them who
 * pushed them there: the target's jobs are judged by that (R3).
 */
export async function setHead(
  deps: HeadDeps,
  { projectId, sourceProjectId, iid }: Pick<MergeRequestRecord, 'projectId' | 'sourceProjectId' | 'iid'>,
  sha: Oid,
): Promise<void> {
  const { git, repositories, pushLog, transactor } = deps;
  const repository = await repositories.existing(projectId);
  const ref = `refs/merge-requests/${iid}/head`;
  if (sourceProjectId === projectId) return void (await git.run(repository, [...withoutHooks, 'update-ref', ref, sha]));
  const source = await repositories.existing(sourceProjectId);
  await git.run(repository, [...withoutHooks, 'fetch', '--quiet', '--no-tags', '--no-write-fetch-head', source, `+${sha}:${ref}`]);
  const limit = limits.recordedCommitsPerPush;
  const args = ['rev-list', `--max-count=${limit + 1}`, sha, '--not', '--branches', '--tags'];
  const commits = oidsIn((await git.run(repository, args)).output);
  // Past the limit nobody is known to have pushed them, so jobs on them fetch their own project only.
  if (commits.length <= limit) await transactor.write((tx) => pushLog.share(tx, sourceProjectId, projectId, commits));
}

/** What the request brings: reachable from its head and not from its target, newest first. */
export async function commitsOf(git: GitRunner, repository: string, head: Oid, target: Oid | undefined): Promise<readonly Oid[]> {
  const args = ['rev-list', `--max-count=${heldCommits}`, head, ...(target === undefined ? [] : [`^${target}`])];
  return oidsIn((await git.run(repository, args)).output);
}

export function oidsIn(output: Buffer): Oid[] {
  return output
    .toString('utf8')
    .split('\n')
    .flatMap((line) => parseOid(line) ?? []);
}

export async function branchTip(git: GitRunner, repository: string, branch: string): Promise<Oid | undefined> {
  const ref = branchRef(branch);
  return (await readRefs(git, repository, [ref])).get(ref)?.commit;
}

/**
 * After a push: heads of open requests follow their branches, and a request whose commits all stand in its target is merged, by whoever pushed.
 * @returns those whose head moved
 */
export async function followPush(deps: HeadDeps, event: Omit<RefsUpdated, 'mergeRequests'>): Promise<readonly MergeRequestId[]> {
  const moved: MergeRequestId[] = [];
  for (const change of event.changes) {
    const branch = /^refs\/heads\/(.+)$/.exec(change.ref)?.[1];
    if (branch === undefined || change.newOid === zeroOid) continue;
    for (const request of await deps.mergeRequests.openFrom(null, event.projectId, branch)) {
      if (await followed(deps, request, change.newOid)) moved.push(request.id);
    }
    // Whatever is wrong here, the push stands, and its pipelines start.
    await settleMerged(deps, event, branch, change.newOid).catch((error: unknown) =>
      deps.log.error('merge_request.not_settled', { project: event.projectId }, error),
    );
  }
  return moved;
}

/** One request that cannot follow (its target is gone) must not hold up the push. */
async function followed(deps: HeadDeps, request: MergeRequestRecord, sha: Oid): Promise<boolean> {
  if (request.headSha === sha) return false;
  try {
    await setHead(deps, request, sha);
    await hold(deps, request, sha);
    return true;
  } catch (error) {
    deps.log.error('merge_request.not_followed', { mergeRequest: request.id }, error);
    return false;
  }
}

async function hold(deps: HeadDeps, request: MergeRequestRecord, headSha: Oid): Promise<void> {
  const { git, repositories, mergeRequests, transactor, clock } = deps;
  const repository = await repositories.existing(request.projectId);
  const commits = await commitsOf(git, repository, headSha, await branchTip(git, repository, request.targetBranch));
  await transactor.write(async (tx) => {
    await mergeRequests.change(tx, request.id, { headSha, updatedAt: clock.now() });
    await mergeRequests.holdCommits(tx, request.id, commits);
  });
}

async function settleMerged(
  deps: HeadDeps,
  { projectId, pushers }: Pick<RefsUpdated, 'projectId' | 'pushers'>,
  branch: string,
  tip: Oid,
): Promise<void> {
  const { git, repositories, mergeRequests, transactor, clock } = deps;
  const open = await mergeRequests.openInto(null, projectId, branch);
  if (open.length === 0) return;
  const repository = await repositories.existing(projectId);
  for (const { id, headSha } of open) {
    const { code } = await git.run(repository, ['merge-base', '--is-ancestor', headSha, tip], { codes: [0, 1, 128] });
    if (code !== 0) continue;
    const now = clock.now();
    await transactor.write(async (tx) => {
      if ((await mergeRequests.lock(tx, id))?.state !== 'opened') return;
      await mergeRequests.change(tx, id, { state: 'merged', mergedBy: pushers, mergedAt: now, mergeCommitSha: tip, updatedAt: now });
    });
  }
}
