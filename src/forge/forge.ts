import type { Page, Paged } from '../base/page.ts';
import type { Readable } from 'node:stream';
import type { EpochMillis, GroupId, JobId, Oid, PassId, ProjectId, PushId, RefName, TokenId, UserId } from '../base/ids.ts';
import type { AccessLevel, Visibility } from '../base/levels.ts';
import type { DecideRefs } from '../base/refs.ts';
import type { Secret } from '../base/secret.ts';
import type { Grant } from '../pass/grant.ts';
import type { Commit } from './comparison.ts';
import type { EventForge } from './events.ts';
import type { ImpersonationForge } from './impersonation.ts';
import type { LfsForge } from './lfs.ts';
import type { MergeRequestForge } from './merge-requests.ts';
import type { PackageForge } from './packages.ts';
import type { RegistryForge } from './registry.ts';
import type { RepositoryForge } from './repository.ts';
export type { Commit, Page, Paged };
/**
 * Who holds the users and the resources. Every method takes a grant that covers what it does, verifies it, and asks it again
 * (`grant.confirm`) at the moment a write takes effect (R2). Shapes here are the domain's; doors give them GitLab's JSON.
 */
export interface Forge {
  readonly git: GitForge;
  readonly repository: RepositoryForge;
  readonly projects: ProjectForge;
  readonly groups: GroupForge;
  readonly users: UserForge & ImpersonationForge;
  readonly events: EventForge;
  readonly releases: ReleaseForge;
  readonly mergeRequests: MergeRequestForge;
  readonly packages: PackageForge;
  readonly registry: RegistryForge;
  readonly lfs: LfsForge;
}

export type GitService = 'git-upload-pack' | 'git-receive-pack';

export interface GitForge {
  /** Body of `info/refs` for the service, pkt-line header included. @param protocol value of `Git-Protocol`, checked by the door's grammar */
  advertise(grant: Grant, project: ProjectId, service: GitService, protocol: string | undefined): Promise<Readable>;
  /** Streams a fetch both ways; ends early when `grant.signal` aborts. Needs code:download. */
  uploadPack(grant: Grant, project: ProjectId, protocol: string | undefined, body: Readable): Promise<Readable>;
  /**
   * Streams a push both ways. Every ref is asked of `decide` from quarantine; one refusal refuses the push with a `GitLab:` message.
   * Each ref's update asks `grant.confirm` while git holds its lock. Needs code:push.
   */
  receivePack(
    grant: Grant,
    project: ProjectId,
    protocol: string | undefined,
    body: Readable,
    decide: DecideRefs,
  ): Promise<{ readonly output: Readable; readonly done: Promise<PushOutcome> }>;
}
export interface PushOutcome {
  readonly outcome: 'done' | 'refused' | 'failed';
  /** Refs that moved. */
  readonly moved: readonly RefName[];
}

/** Told once for each push, web edit or API write that moved refs, after the fact; pipelines start from here. */
export interface RefsUpdated {
  readonly pushId: PushId;
  readonly projectId: ProjectId;
  readonly changes: readonly { readonly ref: RefName; readonly oldOid: Oid; readonly newOid: Oid }[];
  /** All principals of the write; the first acts. */
  readonly pushers: readonly UserId[];
  readonly passId: PassId | null;
  readonly jobId: JobId | null;
  /** `ci.skip` push option or `[skip ci]`. */
  readonly skipCi: boolean;
  /** Open merge requests, by number, whose head it moved. */
  readonly mergeRequests?: readonly number[];
}

export interface Project {
  readonly id: ProjectId;
  readonly name: string;
  readonly slug: string;
  readonly path: string;
  readonly description: string;
  readonly visibility: Visibility;
  readonly archived: boolean;
  readonly defaultBranch: string;
  readonly mergeMethod?: 'merge' | 'ff';
  readonly emptyRepo: boolean;
  /** What it was copied from; null for one that was not, and where that is gone. */
  readonly forkedFromId: ProjectId | null;
  readonly namespace: GroupSummary;
  readonly creatorId: UserId;
  readonly createdAt: EpochMillis;
  readonly lastActivityAt: EpochMillis;
}
export interface GroupSummary {
  readonly id: GroupId;
  readonly kind: 'group' | 'user';
  readonly name: string;
  readonly slug: string;
  readonly path: string;
  readonly parentId: GroupId | null;
}
export interface Group extends GroupSummary {
  readonly description: string;
  readonly visibility: Visibility;
  readonly createdAt: EpochMillis;
}
export interface User {
  readonly id: UserId;
  readonly username: string;
  readonly name: string;
  readonly email: string;
  readonly state: 'active' | 'blocked';
  readonly isAdmin: boolean;
  readonly namespaceId: GroupId;
  readonly createdAt: EpochMillis;
}
export interface MemberEntry {
  readonly userId: UserId;
  readonly username: string;
  readonly name: string;
  readonly state: 'active' | 'blocked';
  readonly accessLevel: AccessLevel;
  readonly expiresAt: EpochMillis | null;
  readonly createdAt: EpochMillis;
}
export interface ProtectionRule {
  readonly kind: 'branch' | 'tag';
  readonly pattern: string;
  readonly pushLevel: AccessLevel;
  readonly mergeLevel: AccessLevel;
  readonly allowForcePush: boolean;
}

/** Membership of a project or group: the same calls for both. */
export interface MemberForge<Id> {
  members(grant: Grant, id: Id, inherited: boolean, page: Page): Promise<Paged<MemberEntry>>;
  member(grant: Grant, id: Id, inherited: boolean, user: UserId): Promise<MemberEntry | undefined>;
  /** Nobody gives more than their own level. */
  addMember(grant: Grant, id: Id, user: UserId, level: AccessLevel, expiresAt: EpochMillis | null): Promise<MemberEntry>;
  changeMember(grant: Grant, id: Id, user: UserId, level: AccessLevel, expiresAt: EpochMillis | null): Promise<MemberEntry | undefined>;
  removeMember(grant: Grant, id: Id, user: UserId): Promise<boolean>;
}

export interface ProjectForge extends MemberForge<ProjectId> {
  one(grant: Grant, id: ProjectId): Promise<Project>;
  /** project:list (or group:read with `groupId`), filtered by the grant's filter. */
  list(
    grant: Grant,
    filter: {
      readonly search?: string;
      readonly visibility?: Visibility;
      readonly archived?: boolean;
      readonly groupId?: GroupId;
      /** Copies of this project; with project:read on it. */
      readonly forkedFromId?: ProjectId;
      readonly ownedBy?: UserId;
      readonly minLevel?: AccessLevel;
    },
    page: Page,
  ): Promise<Paged<Project>>;
  /** Makes the repository, protects its default branch for maintainers, and makes the creator owner where nothing inherited does. project:create on the namespace. */
  create(
    grant: Grant,
    request: {
      readonly name: string;
      readonly slug: string;
      readonly namespaceId: GroupId;
      readonly description: string;
      readonly visibility: Visibility;
      readonly defaultBranch: string;
      readonly creatorId: UserId;
    },
  ): Promise<Project>;
  /**
   * Copies branches, tags, large files, and who is known to have pushed what (R3). project:fork on the source, project:create on the namespace.
   * @throws conflict, too_large
   */
  fork(
    grant: Grant,
    source: ProjectId,
    request: { readonly name: string; readonly slug: string; readonly namespaceId: GroupId; readonly creatorId: UserId },
  ): Promise<Project>;
  change(
    grant: Grant,
    id: ProjectId,
    change: {
      readonly name?: string;
      readonly slug?: string;
      readonly description?: string;
      readonly visibility?: Visibility;
      readonly defaultBranch?: string;
      readonly chainDepth?: number;
      readonly mergeMethod?: 'merge' | 'ff';
    },
  ): Promise<Project>;
  setArchived(grant: Grant, id: ProjectId, archived: boolean): Promise<Project>;
  remove(grant: Grant, id: ProjectId): Promise<void>;
  /** Direct and inherited levels of one user, for `permissions` in GitLab's JSON. project:read. */
  levelsOf(
    grant: Grant,
    id: ProjectId,
    user: UserId,
  ): Promise<{ readonly project: AccessLevel | null; readonly group: AccessLevel | null }>;
  protections(grant: Grant, id: ProjectId, kind: 'branch' | 'tag'): Promise<readonly ProtectionRule[]>;
  protect(grant: Grant, id: ProjectId, rule: ProtectionRule): Promise<ProtectionRule>;
  unprotect(grant: Grant, id: ProjectId, kind: 'branch' | 'tag', pattern: string): Promise<boolean>;
}

export interface GroupForge extends MemberForge<GroupId> {
  one(grant: Grant, id: GroupId): Promise<Group>;
  list(
    grant: Grant,
    filter: { readonly search?: string; readonly parentId?: GroupId; readonly minLevel?: AccessLevel },
    page: Page,
  ): Promise<Paged<Group>>;
  /** group:create on the instance, or subgroup:create on the parent; the creator becomes owner. */
  create(
    grant: Grant,
    request: {
      readonly name: string;
      readonly slug: string;
      readonly description: string;
      readonly visibility: Visibility;
      readonly parentId: GroupId | null;
      readonly creatorId: UserId;
    },
  ): Promise<Group>;
}

export interface PersonalTokenEntry {
  readonly id: TokenId;
  readonly userId: UserId;
  readonly name: string;
  readonly scopes: readonly string[];
  readonly createdAt: EpochMillis;
  readonly lastUsedAt: EpochMillis | null;
  readonly expiresAt: EpochMillis | null;
  readonly revoked: boolean;
}

export interface UserForge {
  /** user:read, user:list or self:read */
  one(grant: Grant, id: UserId): Promise<User>;
  list(grant: Grant, filter: { readonly username?: string; readonly search?: string }, page: Page): Promise<Paged<User>>;
  create(
    grant: Grant,
    request: { readonly username: string; readonly name: string; readonly email: string; readonly isAdmin: boolean },
  ): Promise<User>;
  setState(grant: Grant, id: UserId, state: 'active' | 'blocked'): Promise<User>;
  tokens(grant: Grant, user: UserId, page: Page): Promise<Paged<PersonalTokenEntry>>;
  token(grant: Grant, id: TokenId): Promise<PersonalTokenEntry | undefined>;
  /** The secret is shown this once. token:create on the user itself, or user:update. */
  createToken(
    grant: Grant,
    user: UserId,
    request: { readonly name: string; readonly scopes: readonly string[]; readonly expiresAt: EpochMillis | null },
  ): Promise<{ readonly token: PersonalTokenEntry; readonly secret: Secret }>;
  revokeToken(grant: Grant, id: TokenId): Promise<void>;
}

export interface ReleaseLinkInput {
  readonly name: string;
  readonly url: string;
  readonly directAssetPath: string | null;
  readonly linkType: 'other' | 'runbook' | 'image' | 'package';
}
export interface ReleaseLinkEntry extends ReleaseLinkInput {
  readonly id: number;
}
export interface Release {
  readonly tag: string;
  readonly name: string;
  readonly description: string;
  readonly sha: Oid;
  readonly author: User;
  readonly commit: Commit | null;
  readonly createdAt: EpochMillis;
  readonly releasedAt: EpochMillis;
  readonly links: readonly ReleaseLinkEntry[];
}

export interface ReleaseForge {
  list(
    grant: Grant,
    project: ProjectId,
    order: { readonly by: 'released_at' | 'created_at'; readonly descending: boolean },
    page: Page,
  ): Promise<Paged<Release>>;
  one(grant: Grant, project: ProjectId, tag: string): Promise<Release | undefined>;
  /** The tag must exist (the door makes it first, with tag:write). @throws conflict, not_found {what: 'Tag'} */
  create(
    grant: Grant,
    project: ProjectId,
    request: {
      readonly tag: string;
      readonly name: string;
      readonly description: string;
      readonly authorId: UserId;
      readonly releasedAt: EpochMillis;
      readonly links: readonly ReleaseLinkInput[];
    },
  ): Promise<Release>;
  change(
    grant: Grant,
    project: ProjectId,
    tag: string,
    change: { readonly name?: string; readonly description?: string; readonly releasedAt?: EpochMillis },
  ): Promise<Release | undefined>;
  /** Keeps the tag. */
  remove(grant: Grant, project: ProjectId, tag: string): Promise<Release | undefined>;
  addLink(grant: Grant, project: ProjectId, tag: string, link: ReleaseLinkInput): Promise<ReleaseLinkEntry>;
  changeLink(
    grant: Grant,
    project: ProjectId,
    tag: string,
    id: number,
    change: Partial<ReleaseLinkInput>,
  ): Promise<ReleaseLinkEntry | undefined>;
  removeLink(grant: Grant, project: ProjectId, tag: string, id: number): Promise<ReleaseLinkEntry | undefined>;
}
