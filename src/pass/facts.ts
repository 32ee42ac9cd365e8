import type { Clock } from '../base/clock.ts';
import type { ProjectId, UserId } from '../base/ids.ts';
import type { AccessLevel } from '../base/levels.ts';
import type { Access, Resource } from '../policy/access.ts';
import type { RefFacts } from '../policy/decide-ref.ts';
import type { AskedAccess, Asker, PassAsker, PrincipalFacts, ResourceFacts } from '../policy/facts.ts';
import type { Permission } from '../policy/permissions.ts';
import type { Ceilings } from '../ports/ceilings.ts';
import type { Directory, ProjectPart } from '../ports/directory.ts';
import type { MaybeTx } from '../ports/tx.ts';
import { ceilingsOf } from './ceilings.ts';
import type { Identity, PassIdentity, SystemReason } from './grant.ts';

export interface FactDeps {
  readonly directory: Directory;
  readonly ceilings: Ceilings;
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
    case 'creators':
      return {
        kind: 'creators',
        principals: await principals(deps, tx, identity.userIds),
        ...(identity.pass === undefined ? {} : { pass: await gatherPass(deps, tx, identity.pass) }),
      };
    case 'user':
      return { kind: 'user', principal: await principal(deps, tx, identity.userId), scopes: identity.scopes };
    case 'job':
      return {
        kind: 'job',
        principal: await principal(deps, tx, identity.userId),
        jobId: identity.jobId,
        projectId: identity.projectId,
        ...(identity.assist === undefined ? {} : { assist: await gatherPass(deps, tx, identity.assist) }),
      };
    case 'pass':
      return gatherPass(deps, tx, identity);
    case 'bridge':
      // It may do what a full pass of its job could (R3, R4, R5).
      return gatherPass(deps, tx, { ...identity, passKind: 'full' }, !identity.inside);
  }
}

type Bounded = Pick<PassIdentity, 'passKind' | 'projectId' | 'ownProjectOnly' | 'outsideOnly' | 'principals' | 'limits'> &
  Partial<Pick<PassIdentity, 'chainDepth'>>;

/** @param bounded whether ceilings count */
async function gatherPass(deps: FactDeps, tx: MaybeTx, identity: Bounded, bounded = true): Promise<PassAsker> {
  const { passKind, projectId, ownProjectOnly, outsideOnly = [] } = identity;
  const found = await principals(deps, tx, identity.principals);
  const home = outsideOnly.length === 0 ? undefined : await deps.directory.project(tx, projectId);
  return {
    kind: 'pass',
    passKind,
    principals: found.map((facts) => (outsideOnly.includes(facts.id) ? { ...facts, outsideOnly: true } : facts)),
    projectId,
    homeGroupId: home?.rootGroupId,
    ownProjectOnly,
    ceilings: bounded ? await ceilingsOf(deps, tx, identity) : [],
  };
}

async function principal(deps: FactDeps, tx: MaybeTx, id: UserId): Promise<PrincipalFacts> {
  const [facts] = await principals(deps, tx, [id]);
  return facts ?? gone(id);
}

async function principals(deps: FactDeps, tx: MaybeTx, ids: readonly UserId[]): Promise<readonly PrincipalFacts[]> {
  const users = await deps.directory.users(tx, ids);
  return ids.map((id) => {
    const user = users.get(id);
    if (user === undefined) return gone(id);
    const { username, isAdmin: admin, isExternal: external = false } = user;
    return { id, username, active: user.state === 'active', admin, ...(external ? { external } : {}) };
  });
}

/** A user that is no longer there has no rights at all. */
function gone(id: UserId): PrincipalFacts {
  return { id, username: `user ${id}`, active: false, admin: false };
}

/** What reads each part. */
const readersOf: Readonly<Record<ProjectPart, readonly Permission[]>> = {
  code: ['code:download', 'repository:read', 'commit:read', 'branch:read', 'tag:read', 'ci_config:read'],
  merge_requests: ['merge_request:read'],
  jobs: ['pipeline:read', 'job:read', 'artifact:read', 'schedule:read'],
  work_items: ['work_item:read'],
  releases: ['release:read'],
  packages: ['package:read'],
  images: ['container:read'],
};

function permissionsOf(parts: ReadonlySet<ProjectPart> | undefined): ReadonlySet<Permission> | undefined {
  return parts === undefined || parts.size === 0 ? undefined : new Set([...parts].flatMap((part) => readersOf[part]));
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
      const { id, path, visibility, archived, rootGroupId } = project;
      const membersOnly = permissionsOf(project.membersOnly);
      const levels = users.length === 0 ? new Map() : await deps.directory.projectLevels(tx, users, id, now);
      return {
        kind: 'project',
        id,
        path,
        visibility,
        archived,
        rootGroupId,
        levels,
        ...(membersOnly === undefined ? {} : { membersOnly }),
      };
    }
    case 'group': {
      const group = await deps.directory.group(tx, resource.id);
      if (group === undefined) return { kind: 'absent', what: 'Group' };
      const { id, path, visibility, rootGroupId } = group;
      const levels = users.length === 0 ? new Map() : await deps.directory.groupLevels(tx, users, id, now);
      return { kind: 'group', id, path, visibility, rootGroupId, levels };
    }
  }
}

/** Everybody whose hands are in a job, as it was taken (R3). */
export interface Hands {
  /** All of them: who answers for what it writes. */
  readonly users: readonly UserId[];
  /** Those whose rights count in the job's own project, too; null = not everybody is known. */
  readonly counted: readonly UserId[] | null;
}

async function guardedLevel(
  { directory, clock }: FactDeps,
  { counted }: Hands,
  project: ProjectId,
  own: AccessLevel,
): Promise<AccessLevel> {
  if (counted === null) return 0;
  const users = await directory.users(null, counted);
  const levels = await directory.projectLevels(null, counted, project, clock.now());
  return counted.reduce<AccessLevel>((lowest, user) => {
    const level = users.get(user)?.state === 'active' ? (levels.get(user) ?? 0) : 0;
    return level < lowest ? level : lowest;
  }, own);
}

/** What decides the refs of a project for this identity; undefined where there is no such project, or nobody stands behind the identity. */
export async function gatherRefs(deps: FactDeps, identity: Identity, projectId: ProjectId, hands?: Hands): Promise<RefFacts | undefined> {
  const asker = await gatherAsker(deps, null, identity);
  const project = await deps.directory.project(null, projectId);
  if (project === undefined) return undefined;
  const found = asker.kind === 'pass' ? asker.principals : asker.kind === 'user' || asker.kind === 'job' ? [asker.principal] : [];
  const home = asker.kind === 'pass' && asker.homeGroupId === project.rootGroupId;
  const counted = found.filter((principal) => principal.outsideOnly !== true || !home);
  const levels = await deps.directory.projectLevels(null, usersOf(identity), projectId, deps.clock.now());
  const levelOf = (principal: PrincipalFacts): AccessLevel =>
    !principal.active ? 0 : asker.kind === 'user' && principal.admin ? 50 : (levels.get(principal.id) ?? 0);
  const [first, ...others] = counted;
  if (first === undefined) return undefined;
  const lowest = others.reduce((low, other) => (levelOf(other) < levelOf(low) ? other : low), first);
  return {
    rules: await deps.directory.protectedRefs(null, projectId),
    defaultBranch: project.defaultBranch,
    archived: project.archived,
    lowestLevel: levelOf(lowest),
    ...(lowest === first ? {} : { heldBackBy: lowest.username }),
    ...(hands === undefined ? {} : { guardedLevel: await guardedLevel(deps, hands, projectId, levelOf(lowest)) }),
    byPass: identity.kind === 'pass',
  };
}

/** The users whose rights are asked. */
export function usersOf(identity: Identity): readonly UserId[] {
  if (identity.kind === 'pass' || identity.kind === 'bridge') return identity.principals;
  if (identity.kind === 'job') return [...new Set([identity.userId, ...(identity.assist?.principals ?? [])])];
  if (identity.kind === 'creators') return [...new Set([...identity.userIds, ...(identity.pass?.principals ?? [])])];
  return identity.kind === 'user' ? [identity.userId] : [];
}
