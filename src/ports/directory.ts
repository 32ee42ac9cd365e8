import type { EpochMillis, GroupId, ProjectId, UserId } from '../base/ids.ts';
import type { AccessLevel, Visibility } from '../base/levels.ts';
import type { MaybeTx } from './tx.ts';

export type { AccessLevel, Visibility };

export interface UserFacts {
  readonly id: UserId;
  readonly username: string;
  readonly name: string;
  readonly state: 'active' | 'blocked';
  readonly isAdmin: boolean;
  /** Sees nothing because it is internal; left out where there are no such users. */
  readonly isExternal?: boolean;
}

/** Parts of a project that can be narrower than the project. */
export type ProjectPart = 'code' | 'merge_requests' | 'jobs' | 'work_items' | 'releases' | 'packages' | 'images';

export interface ProjectFacts {
  readonly id: ProjectId;
  /** Full path, `group/sub/project`. */
  readonly path: string;
  readonly visibility: Visibility;
  readonly archived: boolean;
  /** Parts that only those with a role see, though the project is public or internal; left out where a project is all of one piece. */
  readonly membersOnly?: ReadonlySet<ProjectPart>;
  readonly namespaceId: GroupId;
  /** The top-level group (or user namespace) that it belongs to. */
  readonly rootGroupId: GroupId;
  readonly defaultBranch: string;
  /** How deep jobs started by a pass may nest here (R5); 0 = a pass's writes start nothing. */
  readonly chainDepth: number;
}

export interface GroupFacts {
  readonly id: GroupId;
  readonly kind: 'group' | 'user';
  readonly path: string;
  readonly visibility: Visibility;
  readonly rootGroupId: GroupId;
  /** The user whose own namespace this is, else null. */
  readonly ownerUserId: UserId | null;
}

/** A protection rule for branches or tags; `pattern` is a name or has `*` wildcards. 0 = no one. */
export interface ProtectedRef {
  readonly kind: 'branch' | 'tag';
  readonly pattern: string;
  /** Lowest level that may push to it (branch) or create it (tag). */
  readonly pushLevel: AccessLevel;
  /** Lowest level that may merge into it (branches; equals pushLevel for tags). */
  readonly mergeLevel: AccessLevel;
  readonly allowForcePush: boolean;
}

/**
 * Where renamed projects were: an old path leads to its project until anything takes it. For addresses alone: no ceiling, include or bridge
 * is bound by one (R14).
 */
export interface FormerPaths {
  /** @param path a full path, compared without case; asked where nothing has it now */
  projectAt(tx: MaybeTx, path: string): Promise<ProjectFacts | undefined>;
}

/** Who may do what, read strongly on every request (R1). The embedded forge answers from its store, the gateway from GitLab. */
export interface Directory {
  users(tx: MaybeTx, ids: readonly UserId[]): Promise<ReadonlyMap<UserId, UserFacts>>;
  userByName(tx: MaybeTx, username: string): Promise<UserFacts | undefined>;
  project(tx: MaybeTx, id: ProjectId): Promise<ProjectFacts | undefined>;
  /** @param path a full path, compared without case; a bare name is not looked up. */
  projectByPath(tx: MaybeTx, path: string): Promise<ProjectFacts | undefined>;
  group(tx: MaybeTx, id: GroupId): Promise<GroupFacts | undefined>;
  groupByPath(tx: MaybeTx, path: string): Promise<GroupFacts | undefined>;
  /** Highest level over direct and inherited memberships that have not expired at `now`; 50 for the owner of the user namespace; never counts admin power. */
  projectLevels(tx: MaybeTx, users: readonly UserId[], project: ProjectId, now: EpochMillis): Promise<ReadonlyMap<UserId, AccessLevel>>;
  groupLevels(tx: MaybeTx, users: readonly UserId[], group: GroupId, now: EpochMillis): Promise<ReadonlyMap<UserId, AccessLevel>>;
  protectedRefs(tx: MaybeTx, project: ProjectId): Promise<readonly ProtectedRef[]>;
}
