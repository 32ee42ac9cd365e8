import type { Clock } from '../base/clock.ts';
import type { UserId } from '../base/ids.ts';
import type { Access, Resource } from '../policy/access.ts';
import type { AskedAccess, Asker, PrincipalFacts, ResourceFacts } from '../policy/facts.ts';
import type { Permission } from '../policy/permissions.ts';
import type { Directory } from '../ports/directory.ts';
import type { MaybeTx } from '../ports/tx.ts';
import type { Identity, SystemReason } from './grant.ts';

export interface FactDeps {
  readonly directory: Directory;
  readonly clock: Clock;
}

/** What each system subject may do: a closed list, so that no code path can borrow a wider one. */
const systemPermissions: Readonly<Record<SystemReason, readonly Permission[]>> = {
  read_ci_file: ['repository:read', 'commit:read', 'project:read', 'protection:read'],
  job_payload: ['repository:read', 'commit:read', 'project:read', 'protection:read'],
  principals: ['commit:read', 'repository:read'],
  schedule: ['pipeline:create'],
  push_recovery: ['repository:read', 'commit:read'],
  reaper: ['job:update'],
  collection: [],
  bootstrap: ['user:create', 'user:update', 'token:create'],
};

/** Looks up, now, everything that a decision needs. A principal or resource that is gone stays visible as such. */
export async function gatherAsker(deps: FactDeps, tx: MaybeTx, identity: Identity): Promise<Asker> {
  switch (identity.kind) {
    case 'anonymous':
    case 'runner':
      return { kind: identity.kind };
    case 'system':
      return { kind: 'system', permissions: systemPermissions[identity.reason] };
    case 'user':
      return { kind: 'user', principal: await principal(deps, tx, identity.userId), scopes: identity.scopes };
    case 'job':
      return { kind: 'job', principal: await principal(deps, tx, identity.userId), jobId: identity.jobId, projectId: identity.projectId };
    case 'pass':
      return {
        kind: 'pass',
        passKind: identity.passKind,
        principals: await principals(deps, tx, identity.principals),
        projectId: identity.projectId,
        ownProjectOnly: identity.ownProjectOnly,
      };
  }
}

async function principal(deps: FactDeps, tx: MaybeTx, id: UserId): Promise<PrincipalFacts> {
  const [facts] = await principals(deps, tx, [id]);
  return facts ?? gone(id);
}

async function principals(deps: FactDeps, tx: MaybeTx, ids: readonly UserId[]): Promise<readonly PrincipalFacts[]> {
  const users = await deps.directory.users(tx, ids);
  return ids.map((id) => {
    const user = users.get(id);
    return user === undefined ? gone(id) : { id, username: user.username, active: user.state === 'active', admin: user.isAdmin };
  });
}

/** A user that is no longer there has no rights at all. */
function gone(id: UserId): PrincipalFacts {
  return { id, username: `user ${id}`, active: false, admin: false };
}

export async function gatherAccesses(
  deps: FactDeps,
  tx: MaybeTx,
  accesses: readonly Access[],
  users: readonly UserId[],
): Promise<readonly AskedAccess[]> {
  const known = new Map<string, ResourceFacts>();
  const asked: AskedAccess[] = [];
  for (const access of accesses) {
    const key = access.resource.kind === 'instance' ? 'instance' : `${access.resource.kind}:${access.resource.id}`;
    const resource = known.get(key) ?? (await gatherResource(deps, tx, access.resource, users));
    known.set(key, resource);
    asked.push({ permission: access.permission, resource });
  }
  return asked;
}

async function gatherResource(deps: FactDeps, tx: MaybeTx, resource: Resource, users: readonly UserId[]): Promise<ResourceFacts> {
  const now = deps.clock.now();
  switch (resource.kind) {
    case 'instance':
    case 'job':
      return resource;
    case 'user':
      return (await deps.directory.users(tx, [resource.id])).has(resource.id) ? resource : { kind: 'absent', what: 'User' };
    case 'project': {
      const project = await deps.directory.project(tx, resource.id);
      if (project === undefined) return { kind: 'absent', what: 'Project' };
      const levels = users.length === 0 ? new Map() : await deps.directory.projectLevels(tx, users, resource.id, now);
      return { kind: 'project', id: project.id, path: project.path, visibility: project.visibility, archived: project.archived, levels };
    }
    case 'group': {
      const group = await deps.directory.group(tx, resource.id);
      if (group === undefined) return { kind: 'absent', what: 'Group' };
      const levels = users.length === 0 ? new Map() : await deps.directory.groupLevels(tx, users, resource.id, now);
      return { kind: 'group', id: group.id, path: group.path, visibility: group.visibility, levels };
    }
  }
}
