import type { Readable } from 'node:stream';
import type { Oid, ProjectId, RefName } from '../base/ids.ts';
import type { Page, Paged } from '../base/page.ts';
import type { DecideRefs } from '../base/refs.ts';
import type { Grant } from '../pass/grant.ts';
import type { Commit, ComparisonForge } from './comparison.ts';

export interface TreeEntry {
  readonly id: Oid;
  readonly name: string;
  readonly type: 'tree' | 'blob' | 'commit';
  readonly path: string;
  readonly mode: string;
}
export interface Branch {
  readonly name: string;
  readonly commit: Commit;
  readonly protected: boolean;
  readonly default: boolean;
  readonly merged: boolean;
}
export interface Tag {
  readonly name: string;
  readonly message: string;
  /** The tag object, or the commit of a lightweight tag. */
  readonly target: Oid;
  readonly commit: Commit;
  readonly protected: boolean;
}
export interface RepositoryFile {
  readonly path: string;
  readonly blobId: Oid;
  readonly commitId: Oid;
  readonly lastCommitId: Oid;
  readonly sizeBytes: number;
  readonly executable: boolean;
  readonly sha256: string;
}
export interface CommitAction {
  readonly action: 'create' | 'update' | 'delete' | 'move' | 'chmod';
  readonly path: string;
  readonly previousPath?: string;
  readonly content?: Buffer;
  readonly executable?: boolean;
  /** Refused with conflict when the file's last commit is another. */
  readonly lastCommitId?: string;
}
export interface CommitRequest {
  readonly branch: string;
  readonly message: string;
  /** Branch or sha to start a new `branch` from; undefined = `branch` itself (or the first commit of an empty repository). */
  readonly startRef?: string;
  readonly actions: readonly CommitAction[];
  readonly author: { readonly name: string; readonly email: string };
}

export interface RefEntry {
  readonly type: 'branch' | 'tag';
  readonly name: string;
}

/** Names of branches, tags and shas are checked by the forge: a bad one is invalid_input or not_found, never an argument to git. */
export interface RepositoryForge extends ComparisonForge {
  /** Resolves a branch, tag, full ref or sha to a commit. @returns undefined when there is none. Any read permission of the project. */
  resolve(grant: Grant, project: ProjectId, ref: string): Promise<{ readonly oid: Oid; readonly ref: RefName | null } | undefined>;
  /** repository:read. @throws not_found {what: 'Tree'} */
  tree(
    grant: Grant,
    project: ProjectId,
    query: { readonly ref?: string; readonly path?: string; readonly recursive: boolean },
    page: Page,
  ): Promise<Paged<TreeEntry>>;
  /** repository:read. @throws not_found {what: 'File' | 'Commit'} */
  file(grant: Grant, project: ProjectId, path: string, ref: string | undefined): Promise<RepositoryFile>;
  /** A file's content and last commit, by their ids. @returns undefined when there is no such file */
  fileVersion(
    grant: Grant,
    project: ProjectId,
    sha: Oid,
    path: string,
  ): Promise<{ readonly blobId: Oid; readonly lastCommitId: Oid } | undefined>;
  blob(grant: Grant, project: ProjectId, blobId: Oid): Promise<{ readonly sizeBytes: number; readonly body: Readable }>;
  /** Small text file at a commit, for reading `.gitlab-ci.yml`. @returns undefined when there is none. @throws too_large */
  textFile(grant: Grant, project: ProjectId, sha: Oid, path: string, maxBytes: number): Promise<string | undefined>;
  /** Every file of a commit, sorted; null past `limit`. repository:read. @throws not_found {what: 'Tree'} */
  paths(grant: Grant, project: ProjectId, sha: Oid, limit: number): Promise<readonly string[] | null>;
  /**
   * Files that differ, a moved one under both names; sorted; null past `limit`. repository:read.
   * @param query.sinceFork from where the two histories parted, not from `from` itself
   * @returns `unrelated` where there is no `from` any more, or the two have no commit in common
   */
  changedPaths(
    grant: Grant,
    project: ProjectId,
    query: { readonly from: Oid; readonly to: Oid; readonly sinceFork: boolean },
    limit: number,
  ): Promise<readonly string[] | 'unrelated' | null>;
  branches(grant: Grant, project: ProjectId, search: string | undefined, page: Page): Promise<Paged<Branch>>;
  branch(grant: Grant, project: ProjectId, name: string): Promise<Branch | undefined>;
  createBranch(grant: Grant, project: ProjectId, name: string, ref: string, decide: DecideRefs): Promise<Branch>;
  deleteBranch(grant: Grant, project: ProjectId, name: string, decide: DecideRefs): Promise<void>;
  tags(grant: Grant, project: ProjectId, search: string | undefined, page: Page): Promise<Paged<Tag>>;
  tag(grant: Grant, project: ProjectId, name: string): Promise<Tag | undefined>;
  /** An annotated tag where `message` is given. tag:write. */
  createTag(
    grant: Grant,
    project: ProjectId,
    name: string,
    ref: string,
    message: string | undefined,
    tagger: { readonly name: string; readonly email: string },
    decide: DecideRefs,
  ): Promise<Tag>;
  deleteTag(grant: Grant, project: ProjectId, name: string, decide: DecideRefs): Promise<void>;
  commits(grant: Grant, project: ProjectId, query: { readonly ref?: string; readonly path?: string }, page: Page): Promise<Paged<Commit>>;
  commit(grant: Grant, project: ProjectId, sha: string): Promise<Commit | undefined>;
  /** Branches and tags that have the commit, by name, branches first. Any read permission of the project. */
  refsWith(grant: Grant, project: ProjectId, sha: Oid): Promise<readonly RefEntry[]>;
  /** commit:create or repository:write. @throws conflict, invalid_input, not_found, access_denied (a ref was refused) */
  createCommit(grant: Grant, project: ProjectId, request: CommitRequest, decide: DecideRefs): Promise<Commit>;
  /** Commits reachable from `sha` but from no protected branch or tag, newest first; null past `limit` (R3). System grant `principals` or any read permission. */
  unprotectedCommits(grant: Grant, project: ProjectId, sha: Oid, limit: number): Promise<readonly Oid[] | null>;
  /**
   * Protected branches and tags that have the rest of that history: the default branch alone where it has all of it. None for a history of its own.
   * System grant `principals` or any read permission.
   */
  protectedBases(grant: Grant, project: ProjectId, sha: Oid): Promise<readonly RefName[]>;
}
