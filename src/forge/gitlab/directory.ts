import type { GroupId, ProjectId, UserId } from '../../base/ids.ts';
import { type AccessLevel, parseAccessLevel, type Visibility } from '../../base/levels.ts';
import type { Directory, GroupFacts, ProjectFacts, ProjectPart, ProtectedRef, UserFacts } from '../../ports/directory.ts';
import type { UpstreamUsers, UpstreamPower } from '../../ports/gateway.ts';
import { Cache } from './cache.ts';
import type { UpstreamClient } from './client.ts';
import { type Fields, fieldsOf, idOf, listOf, textOf } from './json.ts';

/** How long an answer of the forge counts, in milliseconds; the table in docs/gateway.md gives the reason for each. */
export const lookupTtl = {
  user: 2000,
  settings: 2000,
  project: 2000,
  path: 2000,
  group: 5000,
  root: 60_000,
  level: 2000,
  protection: 5000,
} as const;

interface KnownUser extends UserFacts {
  readonly power: UpstreamPower;
}
interface Protections {
  readonly rules: readonly ProtectedRef[];
  /** One of them names administrators. */
  readonly adminRules: boolean;
}
interface KnownProject extends ProjectFacts {
  readonly ownerId: UserId | undefined;
}

/** Who may do what, as GitLab's API tells an administrator. Only explicit membership counts, never the user's own power (R1). */
export interface GitlabDirectory extends Directory, UpstreamUsers {
  /** Drops what is kept: of who is what in this project, or of everything but numbers that never change. */
  forget(project?: ProjectId): void;
}

/** @param chainDepths how deep jobs that passes start may nest, of projects where an admin said so (R5) */
export function makeGitlabDirectory(client: UpstreamClient, chainDepths: ReadonlyMap<ProjectId, number> = new Map()): GitlabDirectory {
  const users = new Cache<KnownUser>(lookupTtl.user);
  const projects = new Cache<KnownProject>(lookupTtl.project);
  const groups = new Cache<GroupFacts>(lookupTtl.group);
  const roots = new Cache<GroupId>(lookupTtl.root);
  const levels = new Cache<AccessLevel>(lookupTtl.level);
  const protections = new Cache<Protections>(lookupTtl.protection);
  const adminModes = new Cache<'on' | 'off'>(lookupTtl.settings);

  const user = (userId: UserId): Promise<KnownUser | undefined> =>
    users.get(String(userId), async () => userOf(await client.find(`/users/${userId}`)));
  const rootOf = async (path: string, own: GroupId): Promise<GroupId> => {
    const [first = ''] = path.split('/');
    if (!path.includes('/')) return own;
    return (
      (await roots.get(first, async () => idOf<GroupId>(fieldsOf(await client.find(`/groups/${encodeURIComponent(first)}`))['id']))) ?? own
    );
  };
  const projectAt = (key: string): Promise<KnownProject | undefined> =>
    projects.get(key.toLowerCase(), async () => {
      const found = projectOf(await client.find(`/projects/${encodeURIComponent(key)}`), chainDepths);
      if (found === undefined) return undefined;
      const namespace = found.path.slice(0, found.path.lastIndexOf('/'));
      return { ...found, rootGroupId: await rootOf(namespace, found.namespaceId) };
    });
  const group = (key: string): Promise<GroupFacts | undefined> =>
    groups.get(key.toLowerCase(), async () => {
      const found = groupOf(await client.find(`/groups/${encodeURIComponent(key)}`));
      return found === undefined ? undefined : { ...found, rootGroupId: await rootOf(found.path, found.id) };
    });
  const level = (kind: 'projects' | 'groups', target: number, member: UserId): Promise<AccessLevel | undefined> =>
    levels.get(`${kind}:${target}:${member}`, async () => levelOf(await client.find(`/${kind}/${target}/members/all/${member}`)));
  const protectionsOf = (projectId: ProjectId): Promise<Protections | undefined> =>
    protections.get(String(projectId), async () => {
      const [branches, tags] = await Promise.all([protectedOf(client, projectId, 'branch'), protectedOf(client, projectId, 'tag')]);
      return { rules: [...branches.rules, ...tags.rules], adminRules: branches.adminRules || tags.adminRules };
    });
  const levelsOf = async (kind: 'projects' | 'groups', target: number, members: readonly UserId[]) => {
    const found = new Map<UserId, AccessLevel>();
    const ask = async (member: UserId): Promise<void> => {
      const one = await level(kind, target, member);
      if (one !== undefined) found.set(member, one);
    };
    await Promise.all([...new Set(members)].map(ask));
    return found;
  };

  return {
    async users(_tx, ids) {
      const found = await Promise.all([...new Set(ids)].map(user));
      return new Map(found.filter((one) => one !== undefined).map((one) => [one.id, one]));
    },
    async userByName(_tx, username) {
      const [found] = listOf(await client.find(`/users?username=${encodeURIComponent(username)}`));
      return found === undefined ? undefined : userOf(found);
    },
    project: (_tx, projectId) => projectAt(String(projectId)),
    projectByPath: (_tx, path) => (path.includes('/') ? projectAt(path) : Promise.resolve(undefined)),
    group: (_tx, groupId) => group(String(groupId)),
    groupByPath: (_tx, path) => group(path),
    async projectLevels(_tx, members, projectId) {
      const found = await levelsOf('projects', projectId, members);
      const owner = (await projectAt(String(projectId)))?.ownerId;
      if (owner !== undefined && members.includes(owner)) found.set(owner, 50);
      return found;
    },
    groupLevels: (_tx, members, groupId) => levelsOf('groups', groupId, members),
    async protectedRefs(_tx, projectId) {
      return (await protectionsOf(projectId))?.rules ?? [];
    },
    forget(project) {
      if (project === undefined) for (const cache of [users, projects, groups, levels, protections, adminModes]) cache.drop();
      else levels.drop(`projects:${project}:`);
    },
    async powerOf(userId) {
      return (await user(userId))?.power ?? 'unknown';
    },
    async adminModeOn() {
      const ask = async () => (fieldsOf(await client.find('/application/settings'))['admin_mode'] === true ? 'on' : 'off');
      return (await adminModes.get('', ask)) === 'on';
    },
    async roleOf(userId, projectId) {
      if ((await projectAt(String(projectId)))?.ownerId === userId) return 50;
      return (await level('projects', projectId, userId)) ?? 0;
    },
    async hasAdminRules(projectId) {
      return (await protectionsOf(projectId))?.adminRules ?? true;
    },
  };
}

function userOf(value: unknown): KnownUser | undefined {
  const fields = fieldsOf(value);
  const userId = idOf<UserId>(fields['id']);
  const username = textOf(fields['username']);
  if (userId === undefined || username === undefined) return undefined;
  return {
    id: userId,
    username,
    name: textOf(fields['name']) ?? username,
    // Deactivated, blocked, banned, or a word that came later: not active.
    state: fields['state'] === 'active' && fields['locked'] !== true ? 'active' : 'blocked',
    isAdmin: false,
    isExternal: fields['external'] === true,
    power: powerIn(fields),
  };
}

/** The forge tells these to administrators only; told nothing, nobody knows (R13). */
function powerIn(fields: Fields): UpstreamPower {
  if (fields['is_admin'] === true) return 'admin';
  if (fields['is_auditor'] === true) return 'auditor';
  return fields['is_admin'] === false ? 'none' : 'unknown';
}

function projectOf(value: unknown, chainDepths: ReadonlyMap<ProjectId, number>): KnownProject | undefined {
  const fields = fieldsOf(value);
  const namespace = fieldsOf(fields['namespace']);
  const [projectId, namespaceId] = [idOf<ProjectId>(fields['id']), idOf<GroupId>(namespace['id'])];
  const path = textOf(fields['path_with_namespace']);
  if (projectId === undefined || namespaceId === undefined || path === undefined) return undefined;
  return {
    id: projectId,
    path,
    visibility: visibilityOf(fields['visibility']),
    archived: fields['archived'] !== false,
    membersOnly: membersOnlyIn(fields),
    namespaceId,
    rootGroupId: namespaceId,
    defaultBranch: textOf(fields['default_branch']) ?? '',
    chainDepth: chainDepths.get(projectId) ?? 0,
    ownerId: idOf<UserId>(fieldsOf(fields['owner'])['id']),
  };
}

/** Names of GitLab's features, each with a level of its own: what several people read as one of them must be open to each. */
const features: Readonly<Record<ProjectPart, string>> = {
  code: 'repository',
  merge_requests: 'merge_requests',
  jobs: 'builds',
  work_items: 'issues',
  releases: 'releases',
  packages: 'package_registry',
  images: 'container_registry',
};

/** Parts for members only, or for nobody. @see GitLab API, "Project feature visibility level"; `public_jobs` */
function membersOnlyIn(fields: Fields): ReadonlySet<ProjectPart> {
  const parts = (Object.keys(features) as ProjectPart[]).filter((part) => {
    const level = fields[`${features[part]}_access_level`];
    return level !== undefined && level !== 'enabled' && level !== 'public';
  });
  return new Set(fields['public_jobs'] === false ? [...parts, 'jobs'] : parts);
}

function groupOf(value: unknown): GroupFacts | undefined {
  const fields = fieldsOf(value);
  const groupId = idOf<GroupId>(fields['id']);
  const path = textOf(fields['full_path']);
  if (groupId === undefined || path === undefined) return undefined;
  return { id: groupId, kind: 'group', path, visibility: visibilityOf(fields['visibility']), rootGroupId: groupId, ownerUserId: null };
}

/** An unknown word hides most. */
function visibilityOf(value: unknown): Visibility {
  return value === 'public' || value === 'internal' ? value : 'private';
}

function levelOf(value: unknown): AccessLevel | undefined {
  const { access_level: level, state, membership_state: membership } = fieldsOf(value);
  if ((state !== undefined && state !== 'active') || (membership !== undefined && membership !== 'active')) return undefined;
  return typeof level === 'number' ? parseAccessLevel(level) : undefined;
}

/** Of a protection that is for administrators, whatever their role. @see GitLab API, protected branches */
const adminLevel = 60;

/** @throws upstream_failed where it is not told: a ref that only seems unprotected would ask fewer people (R3, R13) */
async function protectedOf(client: UpstreamClient, project: ProjectId, kind: 'branch' | 'tag'): Promise<Protections> {
  const path = `/projects/${project}/${kind === 'branch' ? 'protected_branches' : 'protected_tags'}`;
  const rows = await client.list(path, 1000);
  const adminRules = rows.some((row) =>
    ['push_access_levels', 'merge_access_levels', 'create_access_levels', 'unprotect_access_levels'].some((name) =>
      listOf(row[name]).some((one) => one['access_level'] === adminLevel),
    ),
  );
  const rules = rows.flatMap((row) => {
    const pattern = textOf(row['name']);
    // Who may push is the forge's to say; here it only counts that the ref is protected.
    return pattern === undefined ? [] : [{ kind, pattern, pushLevel: 40, mergeLevel: 40, allowForcePush: false } as const];
  });
  return { rules, adminRules };
}
