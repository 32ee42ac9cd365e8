import type { GroupId, ProjectId, UserId } from '../base/ids.ts';
import type { ResourceFacts } from './facts.ts';
import { type Permission, permissions } from './permissions.ts';

/** A limit that only narrows (R4): nothing is allowed by being in it, and what is not in it is refused. Ids, not names (R14). */
export interface Ceiling {
  /** Names such as `code:push`, all of one kind (`code:*`), one verb of all kinds (`*:read`), or `*`. */
  readonly permissions: readonly string[];
  /** null = wherever the permissions apply; things that are in no project or group are not bounded by it. */
  readonly places: { readonly projectIds: readonly ProjectId[]; readonly groupIds: readonly GroupId[] } | null;
}

/** A ceiling with who set it, as a refusal tells. */
export interface SetCeiling {
  /** `the project team/app`, `the job`. */
  readonly by: string;
  /** null = it was set, and cannot be read: nothing is allowed (R4). */
  readonly ceiling: Ceiling | null;
  /** R4, or R9 for what a pass gave to its child. */
  readonly rule: 'R4' | 'R9';
  /** Whose it is, where it stands whatever the job says: the instance's, a group's or a project's, or a user's for that user's own rights. */
  readonly standing?: 'place' | UserId;
}

/** The ceiling with the groups' paths as they are now: a group that is gone has none. */
export interface GatheredCeiling extends SetCeiling {
  readonly groupPaths: readonly string[];
}

const names = Object.keys(permissions);

/** True for a name of a permission, or a pattern that some permission matches. */
export function isPermissionPattern(text: string): boolean {
  return text === '*' || names.some((name) => matches(text, name));
}

/** Whether a pattern names a permission. */
export function matches(pattern: string, permission: string): boolean {
  if (pattern === '*' || pattern === permission) return true;
  const [kind, verb] = pattern.split(':');
  const [ownKind, ownVerb] = permission.split(':');
  return (verb === '*' && kind === ownKind) || (kind === '*' && verb === ownVerb);
}

export type Beyond = { readonly what: 'permission' | 'place' | 'unreadable' };

/** What of an access a ceiling does not hold; undefined = it is within. Pure. */
export function beyond({ ceiling, groupPaths }: GatheredCeiling, permission: Permission, resource: ResourceFacts): Beyond | undefined {
  if (ceiling === null) return { what: 'unreadable' };
  if (!ceiling.permissions.some((pattern) => matches(pattern, permission))) return { what: 'permission' };
  if (ceiling.places === null || (resource.kind !== 'project' && resource.kind !== 'group')) return undefined;
  const { projectIds, groupIds } = ceiling.places;
  const named = resource.kind === 'project' ? projectIds.includes(resource.id) : groupIds.includes(resource.id);
  const path = resource.path.toLowerCase();
  return named || groupPaths.some((group) => path.startsWith(`${group.toLowerCase()}/`)) ? undefined : { what: 'place' };
}

/**
 * Whether somebody who answers for it names the permission there (R5): instance, groups or project, or else every user whose rights count. `*` names
 * nothing, and neither does what a job says of itself. Pure.
 */
export function named(
  ceilings: readonly GatheredCeiling[],
  users: readonly UserId[],
  permission: Permission,
  resource: ResourceFacts,
): boolean {
  const kind = permission.split(':')[0] ?? '';
  const names = (one: GatheredCeiling): boolean =>
    one.ceiling?.permissions.some((pattern) => pattern === permission || pattern === `${kind}:*`) === true &&
    beyond(one, permission, resource) === undefined;
  const standing = ceilings.filter(names).map((one) => one.standing);
  return standing.includes('place') || (users.length > 0 && users.every((user) => standing.includes(user)));
}

/** What a stored ceiling says; null where it cannot be read with certainty (R13). */
export function readCeiling(text: string): Ceiling | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  if (typeof value !== 'object' || value === null || !('permissions' in value) || !('places' in value)) return null;
  const { permissions: patterns, places, ...rest } = value as Record<string, unknown>;
  if (Object.keys(rest).length > 0 || !isListOf(patterns, (one) => typeof one === 'string' && isPermissionPattern(one))) return null;
  if (places === null) return { permissions: patterns as string[], places: null };
  if (typeof places !== 'object') return null;
  const { projectIds, groupIds, ...others } = places as Record<string, unknown>;
  if (Object.keys(others).length > 0 || !isListOf(projectIds, isId) || !isListOf(groupIds, isId)) return null;
  return { permissions: patterns as string[], places: { projectIds: projectIds as ProjectId[], groupIds: groupIds as GroupId[] } };
}

function isListOf(value: unknown, fine: (one: unknown) => boolean): boolean {
  return Array.isArray(value) && value.length <= ceilingLimits.entries && value.every(fine);
}

function isId(value: unknown): boolean {
  return Number.isSafeInteger(value) && Number(value) > 0;
}

export const ceilingLimits = { entries: 200, depth: 4, children: 50 } as const;

/** Words of a ceiling as people write them: separated by spaces, commas or new lines. */
export function wordsOf(text: string): readonly string[] {
  return text.split(/[\s,]+/).filter((word) => word !== '');
}
