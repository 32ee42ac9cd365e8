import type { Oid, ProjectId, UserId } from '../base/ids.ts';
import type { Descending, TimeRanges } from '../base/listing.ts';
import type { Page, Paged } from '../base/page.ts';
import type { DecideRefs } from '../base/refs.ts';
import type { Grant } from '../pass/grant.ts';

/** GitLab's words for what stands in the way of a merge; only those that can be true here. */
export type MergeStatus = 'mergeable' | 'conflict' | 'draft_status' | 'need_rebase' | 'commits_status' | 'not_open' | 'unchecked';

export interface MergeRequest {
  readonly id: number;
  readonly iid: number;
  readonly projectId: ProjectId;
  readonly sourceProjectId: ProjectId;
  readonly sourceBranch: string;
  readonly targetBranch: string;
  readonly title: string;
  readonly description: string;
  readonly state: 'opened' | 'closed' | 'merged';
  readonly authorId: UserId;
  readonly writers: readonly UserId[];
  readonly labels: readonly string[];
  readonly assigneeIds: readonly UserId[];
  readonly removeSourceBranch: boolean;
  readonly squash: boolean;
  readonly headSha: Oid;
  readonly mergeCommitSha: Oid | null;
  readonly mergedBy: readonly UserId[];
  readonly mergedAt: number | null;
  readonly closedById: UserId | null;
  readonly closedAt: number | null;
  readonly createdAt: number;
  readonly updatedAt: number;
}
/** One of them, looked at closely. */
export interface MergeRequestDetail extends MergeRequest {
  readonly status: MergeStatus;
  /** Where the branches part; null where they have nothing in common, or the target is gone. */
  readonly baseSha: Oid | null;
  readonly targetSha: Oid | null;
  /** Files that differ, at most 1,000. */
  readonly changes: number;
  readonly notes: number;
}
export interface MergeRequestNote {
  readonly id: number;
  readonly authorId: UserId;
  readonly body: string;
  readonly system: boolean;
  readonly createdAt: number;
}
export interface FileDiff {
  readonly oldPath: string;
  readonly newPath: string;
  readonly oldMode: string;
  readonly newMode: string;
  readonly kind: 'added' | 'deleted' | 'renamed' | 'changed';
  /** Hunks only; empty where it is too large. */
  readonly diff: string;
  readonly tooLarge: boolean;
}
export interface CommitSummary {
  readonly id: Oid;
  readonly parentIds: readonly Oid[];
  readonly title: string;
  readonly message: string;
  readonly authorName: string;
  readonly authorEmail: string;
  readonly authoredDate: string;
  readonly committerName: string;
  readonly committerEmail: string;
  readonly committedDate: string;
}

export interface MergeRequestTexts {
  readonly title: string;
  readonly description: string;
  readonly labels: readonly string[];
  readonly assigneeIds: readonly UserId[];
  readonly removeSourceBranch: boolean;
  readonly squash: boolean;
}

/**
 * What CI and release tools need of merge requests. A merge is a push: it moves the target as every ref moves (decision 3).
 * Reading: merge_request:read on the target.
 */
export interface MergeRequestForge {
  list(
    grant: Grant,
    project: ProjectId,
    filter: TimeRanges &
      Descending & {
        readonly orderBy?: 'createdAt' | 'updatedAt' | 'title';
        readonly state?: MergeRequest['state'];
        readonly sourceBranch?: string;
        readonly targetBranch?: string;
        readonly iids?: readonly number[];
        readonly authorId?: UserId;
        readonly assigneeId?: UserId;
        readonly labels?: readonly string[];
        readonly search?: string;
      },
    page: Page,
  ): Promise<Paged<MergeRequest>>;
  one(grant: Grant, project: ProjectId, iid: number): Promise<MergeRequestDetail | undefined>;
  /** merge_request:create on the source, merge_request:read and code:download on a target that is another project. @throws invalid_input, conflict, unprocessable */
  create(
    grant: Grant,
    source: ProjectId,
    request: MergeRequestTexts & { readonly targetId: ProjectId; readonly sourceBranch: string; readonly targetBranch: string },
  ): Promise<MergeRequest>;
  /** merge_request:update. @throws invalid_input, conflict, unprocessable */
  change(
    grant: Grant,
    project: ProjectId,
    iid: number,
    change: Partial<MergeRequestTexts> & { readonly targetBranch?: string; readonly event?: 'close' | 'reopen' },
  ): Promise<MergeRequest | undefined>;
  /**
   * merge_request:merge, and branch:write on the source where its branch is to go.
   * @throws conflict (the head is another, or moved meanwhile), unprocessable (cannot be merged), access_denied
   */
  merge(
    grant: Grant,
    project: ProjectId,
    iid: number,
    how: {
      readonly sha: string | undefined;
      readonly message: string | undefined;
      readonly squash: boolean;
      readonly removeSourceBranch: boolean;
      readonly author: { readonly name: string; readonly email: string };
    },
    decide: DecideRefs,
  ): Promise<MergeRequest | undefined>;
  commits(grant: Grant, project: ProjectId, iid: number, page: Page): Promise<Paged<CommitSummary> | undefined>;
  diffs(grant: Grant, project: ProjectId, iid: number, page: Page): Promise<Paged<FileDiff> | undefined>;
  notes(grant: Grant, project: ProjectId, iid: number, page: Page): Promise<Paged<MergeRequestNote> | undefined>;
  /** merge_request:update. */
  addNote(grant: Grant, project: ProjectId, iid: number, body: string): Promise<MergeRequestNote | undefined>;
  /** merge_request:read. */
  note(grant: Grant, project: ProjectId, iid: number, note: number): Promise<MergeRequestNote | undefined>;
  /** merge_request:update, of one's own. @param body null = it is removed @throws access_denied, invalid_input */
  changeNote(grant: Grant, project: ProjectId, iid: number, note: number, body: string | null): Promise<MergeRequestNote | undefined>;
  /** Those that brought a commit; merge_request:read. */
  ofCommit(grant: Grant, project: ProjectId, commit: Oid): Promise<readonly MergeRequest[]>;
}
