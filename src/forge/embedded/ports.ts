import type { Digest } from '../../base/digest.ts';
import type {
  EpochMillis,
  GroupId,
  JobId,
  Oid,
  PassId,
  ProjectId,
  PushId,
  RefName,
  RepositoryId,
  SecretDigest,
  TokenId,
  UserId,
} from '../../base/ids.ts';
import type { PersonalToken } from '../../ports/credentials.ts';
import type { AccessLevel, GroupFacts, ProjectFacts, ProtectedRef, UserFacts, Visibility } from '../../ports/directory.ts';
import type { Page, Paged } from '../../ports/jobs.ts';
import type { MaybeTx, Tx } from '../../ports/tx.ts';

/** What the embedded forge asks of a store. Reads that feed decisions go through `Directory` instead. */

export interface UserRecord extends UserFacts {
  readonly email: string;
  readonly createdAt: EpochMillis;
  /** The user's own namespace. */
  readonly namespaceId: GroupId;
}
export interface UserStore {
  /** Also makes the user's namespace. @throws conflict when the name or e-mail is taken */
  insert(tx: Tx, user: { username: string; name: string; email: string; isAdmin: boolean; createdAt: EpochMillis }): Promise<UserRecord>;
  byId(tx: MaybeTx, id: UserId): Promise<UserRecord | undefined>;
  /** `username` matches exactly, without case; `search` a part of name or user name. */
  list(tx: MaybeTx, filter: { username?: string; search?: string }, page: Page): Promise<Paged<UserRecord>>;
  setState(tx: Tx, id: UserId, state: UserFacts['state']): Promise<void>;
  count(tx: MaybeTx): Promise<number>;
}

export interface GroupRecord extends GroupFacts {
  readonly name: string;
  /** Last segment of the path. */
  readonly slug: string;
  readonly description: string;
  readonly parentId: GroupId | null;
  readonly createdAt: EpochMillis;
}

/** Who looks at a list: a row is in it when every principal may see it (R3); none = anonymous. */
export interface Viewers {
  readonly principals: readonly UserId[];
  /** Only rows in which every principal is a member with at least this level. */
  readonly minLevel?: AccessLevel;
  /** Within all of these. */
  readonly within?: readonly { readonly projectIds: readonly ProjectId[]; readonly groupIds: readonly GroupId[] }[];
  readonly now: EpochMillis;
}

export interface GroupStore {
  /** @throws conflict when the path is taken */
  insert(
    tx: Tx,
    group: { name: string; slug: string; description: string; visibility: Visibility; parentId: GroupId | null; createdAt: EpochMillis },
  ): Promise<GroupRecord>;
  byId(tx: MaybeTx, id: GroupId): Promise<GroupRecord | undefined>;
  list(
    tx: MaybeTx,
    viewers: Viewers,
    filter: { search?: string; parentId?: GroupId; owned?: boolean },
    page: Page,
  ): Promise<Paged<GroupRecord>>;
}

export interface ProjectRecord extends ProjectFacts {
  readonly name: string;
  /** Last segment of the path. */
  readonly slug: string;
  readonly description: string;
  readonly creatorId: UserId;
  readonly createdAt: EpochMillis;
  readonly lastActivityAt: EpochMillis;
  readonly emptyRepo: boolean;
  readonly forkedFromId: ProjectId | null;
  /** How its merge requests are merged: with a merge commit, or by moving the branch to their head. */
  readonly mergeMethod: 'merge' | 'ff';
}
export type ProjectChange = Partial<
  Pick<
    ProjectRecord,
    'name' | 'description' | 'visibility' | 'archived' | 'defaultBranch' | 'chainDepth' | 'mergeMethod' | 'lastActivityAt' | 'emptyRepo'
  >
> & {
  /** Renames the last path segment. */
  readonly slug?: string;
};
export interface ProjectStore {
  /** @throws conflict when the path is taken */
  insert(
    tx: Tx,
    project: {
      name: string;
      slug: string;
      namespaceId: GroupId;
      description: string;
      visibility: Visibility;
      defaultBranch: string;
      creatorId: UserId;
      createdAt: EpochMillis;
      forkedFromId?: ProjectId;
    },
  ): Promise<ProjectRecord>;
  byId(tx: MaybeTx, id: ProjectId): Promise<ProjectRecord | undefined>;
  list(
    tx: MaybeTx,
    viewers: Viewers,
    filter: { search?: string; visibility?: Visibility; archived?: boolean; groupId?: GroupId; ownedBy?: UserId; forkedFromId?: ProjectId },
    page: Page,
  ): Promise<Paged<ProjectRecord>>;
  change(tx: Tx, id: ProjectId, change: ProjectChange): Promise<void>;
  /** Removes the project and all its rows; ids are never used again (R14). */
  remove(tx: Tx, id: ProjectId): Promise<void>;
}

export interface Member {
  readonly userId: UserId;
  readonly username: string;
  readonly name: string;
  readonly state: UserFacts['state'];
  readonly accessLevel: AccessLevel;
  readonly expiresAt: EpochMillis | null;
  readonly createdAt: EpochMillis;
}
export type MemberSource = { readonly kind: 'project'; readonly id: ProjectId } | { readonly kind: 'group'; readonly id: GroupId };
export interface MemberStore {
  /** @throws conflict when already a direct member */
  add(tx: Tx, source: MemberSource, user: UserId, level: AccessLevel, expiresAt: EpochMillis | null, at: EpochMillis): Promise<void>;
  /** @returns false when not a direct member */
  change(tx: Tx, source: MemberSource, user: UserId, level: AccessLevel, expiresAt: EpochMillis | null): Promise<boolean>;
  remove(tx: Tx, source: MemberSource, user: UserId): Promise<boolean>;
  /** `inherited` adds members of all ancestor groups, each user once with the highest level. */
  list(tx: MaybeTx, source: MemberSource, inherited: boolean, page: Page): Promise<Paged<Member>>;
  one(tx: MaybeTx, source: MemberSource, inherited: boolean, user: UserId): Promise<Member | undefined>;
}

export interface TokenStore {
  insert(
    tx: Tx,
    token: {
      userId: UserId;
      name: string;
      scopes: readonly string[];
      digest: SecretDigest;
      expiresAt: EpochMillis | null;
      createdAt: EpochMillis;
      /** Made to act as the user, who does not see it. */
      impersonation: boolean;
    },
  ): Promise<PersonalToken>;
  byId(tx: MaybeTx, id: TokenId): Promise<PersonalToken | undefined>;
  listForUser(tx: MaybeTx, user: UserId, impersonation: boolean, page: Page): Promise<Paged<PersonalToken>>;
  revoke(tx: Tx, id: TokenId, at: EpochMillis): Promise<void>;
}

export interface ProtectedRefStore {
  put(tx: Tx, project: ProjectId, rule: ProtectedRef): Promise<void>;
  remove(tx: Tx, project: ProjectId, kind: ProtectedRef['kind'], pattern: string): Promise<boolean>;
}

/** One push, web edit or API commit: who is answerable for its commits (R3). */
export interface NewPush {
  readonly projectId: ProjectId;
  readonly changes: readonly { readonly ref: RefName; readonly oldOid: Oid; readonly newOid: Oid }[];
  /** All principals of the write; one for a person. */
  readonly pushers: readonly UserId[];
  readonly passId: PassId | null;
  readonly jobId: JobId | null;
  /** Commits that no ref had before, newest first; null = more than the limit, so not recorded (not provable later). */
  readonly commits: readonly Oid[] | null;
  readonly skipCi: boolean;
  readonly at: EpochMillis;
  /** Who makes it. */
  readonly node: number;
}
export interface PushRecord extends Omit<NewPush, 'commits'> {
  readonly id: PushId;
  readonly state: 'prepared' | 'applied' | 'dropped';
  /** Whether pipelines have been made for it. */
  readonly handled: boolean;
}
export interface PushLogStore {
  /** Written before any ref moves; a commit keeps the first push that brought it. */
  prepare(tx: Tx, push: NewPush): Promise<PushId>;
  /** Keeps only the refs that really moved. */
  finish(tx: Tx, id: PushId, state: 'applied' | 'dropped', moved: readonly RefName[]): Promise<void>;
  markHandled(tx: Tx, id: PushId): Promise<void>;
  /** Applied and not handled (crash between push and pipeline), and prepared ones left by a crash. */
  unfinished(tx: MaybeTx): Promise<readonly PushRecord[]>;
  /** Those that were applied, newest first. */
  list(tx: MaybeTx, project: ProjectId, page: Page): Promise<Paged<PushRecord>>;
  /** Pushers of each commit; a commit that is not in the log is missing from the map. */
  pushersOf(tx: MaybeTx, project: ProjectId, commits: readonly Oid[]): Promise<ReadonlyMap<Oid, readonly UserId[]>>;
  /** Of these commits, those that `from` knows the pushers of are known to `to` as well: it got them from there. */
  share(tx: Tx, from: ProjectId, to: ProjectId, commits: readonly Oid[]): Promise<void>;
  /** Everything that `from` knows of its commits and refs, for a copy of it; but for refs that a push may be moving. */
  shareAll(tx: Tx, from: ProjectId, to: ProjectId): Promise<void>;
  /** Who last moved the ref, and whoever may be moving it now; undefined where nobody is known to have moved it before. */
  lastPushers(tx: MaybeTx, project: ProjectId, ref: RefName): Promise<readonly UserId[] | undefined>;
}

export interface ReleaseRecord {
  readonly projectId: ProjectId;
  readonly tag: string;
  readonly name: string;
  readonly description: string;
  readonly sha: Oid;
  readonly authorId: UserId;
  readonly createdAt: EpochMillis;
  readonly releasedAt: EpochMillis;
}
export interface ReleaseLink {
  readonly id: number;
  readonly name: string;
  readonly url: string;
  /** Path below `/-/releases/:tag/downloads`, with leading slash, or null. */
  readonly directAssetPath: string | null;
  readonly linkType: 'other' | 'runbook' | 'image' | 'package';
}
export interface ReleaseStore {
  /** @throws conflict when the tag has a release */
  insert(tx: Tx, release: ReleaseRecord, links: readonly Omit<ReleaseLink, 'id'>[]): Promise<void>;
  byTag(tx: MaybeTx, project: ProjectId, tag: string): Promise<ReleaseRecord | undefined>;
  list(
    tx: MaybeTx,
    project: ProjectId,
    order: { by: 'released_at' | 'created_at'; descending: boolean },
    page: Page,
  ): Promise<Paged<ReleaseRecord>>;
  change(
    tx: Tx,
    project: ProjectId,
    tag: string,
    change: Partial<Pick<ReleaseRecord, 'name' | 'description' | 'releasedAt'>>,
  ): Promise<boolean>;
  remove(tx: Tx, project: ProjectId, tag: string): Promise<boolean>;
  links(tx: MaybeTx, project: ProjectId, tag: string): Promise<readonly ReleaseLink[]>;
  /** @throws conflict when name, url or path is taken within the release */
  addLink(tx: Tx, project: ProjectId, tag: string, link: Omit<ReleaseLink, 'id'>): Promise<ReleaseLink>;
  changeLink(
    tx: Tx,
    project: ProjectId,
    tag: string,
    id: number,
    change: Partial<Omit<ReleaseLink, 'id'>>,
  ): Promise<ReleaseLink | undefined>;
  removeLink(tx: Tx, project: ProjectId, tag: string, id: number): Promise<ReleaseLink | undefined>;
}

export interface ImageRepositoryRecord {
  readonly id: RepositoryId;
  readonly projectId: ProjectId;
  /** Below the project's path; '' = the project's own. */
  readonly name: string;
  readonly createdAt: EpochMillis;
}
export interface ImageManifestRecord {
  readonly digest: Digest;
  readonly mediaType: string;
  /** As it was pushed, byte for byte: UTF-8. */
  readonly content: string;
  readonly sizeBytes: number;
  /** Of all that it names. */
  readonly totalSizeBytes: number;
  readonly subject: Digest | null;
  readonly artifactType: string | null;
  readonly annotations: Readonly<Record<string, string>> | null;
  readonly createdAt: EpochMillis;
}
export interface ImageTagRecord {
  readonly name: string;
  readonly digest: Digest;
  readonly createdAt: EpochMillis;
}
/** Which image repository holds what. Nothing is found by its digest alone (A13), but for `linked`, which collection asks. */
export interface ImageStore {
  repository(tx: MaybeTx, project: ProjectId, name: string): Promise<ImageRepositoryRecord | undefined>;
  repositoryById(tx: MaybeTx, id: RepositoryId): Promise<ImageRepositoryRecord | undefined>;
  /** Makes it where it is missing; nobody removes it before the transaction ends. */
  ensure(tx: Tx, project: ProjectId, name: string, at: EpochMillis): Promise<ImageRepositoryRecord>;
  list(tx: MaybeTx, project: ProjectId, page: Page): Promise<Paged<ImageRepositoryRecord & { readonly tagsCount: number }>>;
  /** With its tags, manifests and links. */
  remove(tx: Tx, id: RepositoryId): Promise<void>;

  blob(tx: MaybeTx, repository: RepositoryId, digest: Digest): Promise<{ readonly sizeBytes: number } | undefined>;
  /** Holds the digest's lock until the transaction ends, beside other links (see `ContentStore`). */
  link(tx: Tx, repository: RepositoryId, digest: Digest, sizeBytes: number, at: EpochMillis): Promise<void>;
  /** @returns false where it was not there. @throws conflict while a manifest of the repository names it */
  unlink(tx: Tx, repository: RepositoryId, digest: Digest): Promise<boolean>;
  /** Those of the digests that this repository holds, as the one or the other; they stay until the transaction ends. */
  held(tx: Tx, repository: RepositoryId, kind: 'blobs' | 'manifests', digests: readonly Digest[]): Promise<ReadonlySet<Digest>>;
  /** Those of the digests that any repository holds as a blob. */
  linked(tx: MaybeTx, digests: readonly Digest[]): Promise<ReadonlySet<Digest>>;
  /** Holds the digest's lock alone, until the transaction ends. */
  lock(tx: Tx, digest: Digest): Promise<void>;

  manifest(tx: MaybeTx, repository: RepositoryId, digest: Digest): Promise<ImageManifestRecord | undefined>;
  /** What lists show of one, without its bytes. */
  manifestFacts(
    tx: MaybeTx,
    repository: RepositoryId,
    digest: Digest,
  ): Promise<Pick<ImageManifestRecord, 'mediaType' | 'totalSizeBytes'> | undefined>;
  manifestByTag(tx: MaybeTx, repository: RepositoryId, tag: string): Promise<ImageManifestRecord | undefined>;
  /** Keeps the row where the digest is there already. */
  putManifest(tx: Tx, repository: RepositoryId, manifest: ImageManifestRecord, targets: readonly Digest[]): Promise<void>;
  /** With its tags. */
  removeManifest(tx: Tx, repository: RepositoryId, digest: Digest): Promise<boolean>;
  putTag(tx: Tx, repository: RepositoryId, tag: ImageTagRecord): Promise<void>;
  removeTag(tx: Tx, repository: RepositoryId, name: string): Promise<boolean>;
  tagNames(tx: MaybeTx, repository: RepositoryId, limit: number, after: string | undefined): Promise<readonly string[]>;
  tags(tx: MaybeTx, repository: RepositoryId, page: Page): Promise<Paged<ImageTagRecord>>;
  tag(tx: MaybeTx, repository: RepositoryId, name: string): Promise<ImageTagRecord | undefined>;
  /** @param filter `bytes`: no more of them than these manifests have together, but one at least */
  referrers(
    tx: MaybeTx,
    repository: RepositoryId,
    subject: Digest,
    filter: { readonly artifactType?: string; readonly last?: Digest; readonly limit: number; readonly bytes: number },
  ): Promise<{ readonly rows: readonly Omit<ImageManifestRecord, 'content'>[]; readonly more: boolean }>;
}

export interface LfsLockRecord {
  readonly id: number;
  readonly path: string;
  readonly ownerId: UserId;
  readonly lockedAt: EpochMillis;
  /** Whose pass or token locked it; null = a person's own token. */
  readonly jobId: JobId | null;
}
/** Which project holds which LFS object, and its locks. */
export interface LfsStore {
  /** Those of the oids that the project holds, with their sizes. */
  held(tx: MaybeTx, project: ProjectId, oids: readonly string[]): Promise<ReadonlyMap<string, number>>;
  /** Whatever `from` holds, for a copy of it. */
  holdAll(tx: Tx, from: ProjectId, to: ProjectId, at: EpochMillis): Promise<void>;
  hold(tx: Tx, project: ProjectId, oid: string, sizeBytes: number, at: EpochMillis): Promise<void>;
  /** The present lock where the path is locked already. */
  lock(
    tx: Tx,
    project: ProjectId,
    path: string,
    owner: UserId,
    at: EpochMillis,
    job: JobId | null,
  ): Promise<{ readonly lock: LfsLockRecord; readonly created: boolean }>;
  /** By id, after the id `after`. */
  locks(
    tx: MaybeTx,
    project: ProjectId,
    filter: { readonly path?: string; readonly id?: number; readonly after?: number; readonly limit: number },
  ): Promise<readonly LfsLockRecord[]>;
  unlock(tx: Tx, project: ProjectId, lock: number): Promise<boolean>;
}

/** All of it; what `store/` hands to `server.ts`. */
export interface ForgeStores {
  readonly users: UserStore;
  readonly groups: GroupStore;
  readonly projects: ProjectStore;
  readonly members: MemberStore;
  readonly tokens: TokenStore;
  readonly protectedRefs: ProtectedRefStore;
  readonly pushLog: PushLogStore;
  readonly releases: ReleaseStore;
  readonly images: ImageStore;
  readonly lfs: LfsStore;
}
