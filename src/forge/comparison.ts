import type { Readable } from 'node:stream';
import type { Oid, ProjectId } from '../base/ids.ts';
import type { Grant } from '../pass/grant.ts';

export interface Commit {
  readonly id: Oid;
  readonly parentIds: readonly Oid[];
  readonly title: string;
  readonly message: string;
  readonly authorName: string;
  readonly authorEmail: string;
  /** RFC 3339 with the author's offset. */
  readonly authoredDate: string;
  readonly committerName: string;
  readonly committerEmail: string;
  readonly committedDate: string;
}

/** One file that differs. */
export interface FileDiff {
  readonly oldPath: string;
  readonly newPath: string;
  /** git's six digits; zeros where the file is not there. */
  readonly oldMode: string;
  readonly newMode: string;
  readonly kind: 'added' | 'deleted' | 'renamed' | 'modified';
  /** From the first `@@`; empty for binary files. null = over what is told of one comparison. */
  readonly text: string | null;
}

export interface Comparison {
  /** Of `to` and not of `from`, oldest first; at most 1,000, the newest. */
  readonly commits: readonly Commit[];
  readonly diffs: readonly FileDiff[];
  readonly sameRef: boolean;
}

export type ArchiveFormat = 'tar.gz' | 'zip';

/** What two commits have between them, and all of one. */
export interface ComparisonForge {
  /**
   * @param query.fromProject where `from` is, undefined = the project itself; repository:read on both
   * @param query.straight from `from` itself, not from where the two histories parted
   * @throws not_found {what: 'Ref'}, too_large past 3,000 files
   */
  compare(
    grant: Grant,
    project: ProjectId,
    query: { readonly from: string; readonly to: string; readonly straight: boolean; readonly fromProject?: ProjectId },
  ): Promise<Comparison>;
  /** What a commit changed against its first parent, or all of it where it has none. commit:read. @throws not_found {what: 'Commit'}, too_large past 3,000 files */
  commitDiff(grant: Grant, project: ProjectId, sha: string): Promise<readonly FileDiff[]>;
  /** The best common ancestor. repository:read. @returns undefined where there is none @throws not_found {what: 'Ref'} */
  mergeBase(grant: Grant, project: ProjectId, refs: readonly string[]): Promise<Commit | undefined>;
  /**
   * The files of a commit, packed; large files of Git LFS are their pointers. code:download.
   * @param query.ref undefined = the default branch @param query.path a folder or file alone
   * @throws not_found {what: 'File'}; the stream fails past `limits.archiveBytes`
   */
  archive(
    grant: Grant,
    project: ProjectId,
    query: { readonly ref: string | undefined; readonly path: string; readonly format: ArchiveFormat },
  ): Promise<{ readonly name: string; readonly body: Readable }>;
}
