import { JobpassError } from '../../base/errors.ts';
import type { ProjectId, UserId } from '../../base/ids.ts';
import type { AccessLevel } from '../../base/levels.ts';
import type { Access } from '../../pass/subject.ts';
import type { UpstreamUsers } from '../../ports/gateway.ts';
import type { Wanted } from './judge.ts';

export interface PowerDeps {
  readonly users: UpstreamUsers;
  /** REST is asked with the administrator's token, whose scopes include Admin Mode. */
  readonly actsBySudo: boolean;
}

/** `held_back`: an administrator whose power Admin Mode keeps out of what a token without scope `admin_mode` asks; `no`: why nothing may be done as this user. */
export type Standing = 'ordinary' | 'held_back' | { readonly no: string };

/** With a role of at least this an administrator reads code and images as a member would (GitLab: Reporter). */
const readerLevel: AccessLevel = 20;

/** Whether a pass may act as this user: forwarded as somebody with power of their own, a request would have it, too (R1, A68). @throws upstream_failed */
export async function standingOf({ users, actsBySudo }: PowerDeps, user: UserId): Promise<Standing> {
  const power = await users.powerOf(user);
  if (power === 'none') return 'ordinary';
  if (power !== 'admin') return { no: `who started the job is an auditor of the forge, or it cannot be told (${power})` };
  if (actsBySudo)
    return { no: 'who started the job is an administrator of the forge, and --acting sudo asks it with a token that has that power' };
  if (!(await users.adminModeOn())) return { no: 'who started the job is an administrator of the forge, which has Admin Mode off' };
  return 'held_back';
}

/** Whether an administrator may have a pass in this project at all: without a role there, its code would be theirs by their power alone. */
export async function isReader({ users }: PowerDeps, user: UserId, project: ProjectId): Promise<boolean> {
  return (await users.roleOf(user, project)) >= readerLevel;
}

/**
 * What Admin Mode does not keep out: git, large files and images, which the forge exempts, and rules that name administrators. There an administrator's
 * own role decides, here. @throws access_denied, upstream_failed
 */
export async function checkOwnRole(deps: PowerDeps, user: UserId, { kind, writes, projectId }: Wanted): Promise<void> {
  if (kind === 'registry_token' || projectId === 0) return;
  if (kind !== 'api' && kind !== 'file') {
    if (await isReader(deps, user, projectId)) return;
    throw new JobpassError(
      'access_denied',
      'Whoever started the job is an administrator, and has no role of their own in the project: no pass fetches by that power.',
    );
  }
  if (writes && (await deps.users.hasAdminRules(projectId)))
    throw new JobpassError(
      'access_denied',
      'Whoever started the job is an administrator, and the project has branches or tags that are kept for those: no pass writes there by that power.',
    );
}

/** Of images an administrator's pass reads those of projects in which they have a role; who may push is said by rules that the forge does not show. */
export async function mayPull(deps: PowerDeps, user: UserId, { permission, resource }: Access): Promise<boolean> {
  return permission === 'container:read' && resource.kind === 'project' && (await isReader(deps, user, resource.id));
}
