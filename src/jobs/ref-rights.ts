import type { ProjectId, UserId } from '../base/ids.ts';
import { matchesPattern, mergeRequestOf } from '../base/refs.ts';
import type { MaybeTx } from '../ports/tx.ts';
import type { JobsDeps } from './deps.ts';

const developer = 30;

/** For people, where `mayRunOn` says no. */
export const refText = 'You may not start jobs on this branch or tag: it is protected.';

/**
 * Whether every one of the users may start jobs on this ref now: developer, and on a protected ref who may push or merge to it
 * (GitLab's rule; A3, A7).
 * For a merge request that is the right on its source branch; in a fork, which has branches of its own, to be developer where it runs. Asked where a job is started, and again where a runner takes it.
 * @param adminCounts false where a pass starts it: never the user's admin power (R1)
 */
export async function mayRunOn(
  deps: Pick<JobsDeps, 'directory' | 'clock' | 'mergeRequests'>,
  tx: MaybeTx,
  users: readonly UserId[],
  project: ProjectId,
  ref: { readonly name: string; readonly tag: boolean },
  adminCounts: boolean,
): Promise<boolean> {
  if (users.length === 0) return false;
  const { directory, clock } = deps;
  const facts = await directory.users(tx, users);
  const levels = await directory.projectLevels(tx, users, project, clock.now());
  const kind = ref.tag ? 'tag' : 'branch';
  const name = await branchBehind(deps, tx, project, ref.name);
  if (name === undefined) return false;
  const rules = (await directory.protectedRefs(tx, project)).filter((rule) => rule.kind === kind && matchesPattern(rule.pattern, name));
  return users.every((user) => {
    const known = facts.get(user);
    if (known === undefined || known.state !== 'active') return false;
    if (adminCounts && known.isAdmin) return true;
    const level = levels.get(user) ?? 0;
    if (level < developer) return false;
    // Several rules may match: as in GitLab the most permissive one counts. 0 = no one.
    return rules.length === 0 || rules.some((rule) => [rule.pushLevel, rule.mergeLevel].some((needed) => needed > 0 && level >= needed));
  });
}

/** @returns the name whose rules count, empty for the head of a fork; undefined for a merge request that is not there */
async function branchBehind(
  { mergeRequests }: Pick<JobsDeps, 'mergeRequests'>,
  tx: MaybeTx,
  project: ProjectId,
  name: string,
): Promise<string | undefined> {
  const iid = mergeRequestOf(name);
  if (iid === undefined) return name;
  const request = await mergeRequests.byIid(tx, project, iid);
  if (request === undefined) return undefined;
  return request.sourceProjectId === project ? request.sourceBranch : '';
}
