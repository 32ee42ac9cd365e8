import type { Branded, EpochMillis, Oid, ProjectId, UserId } from '../base/ids.ts';
import type { Descending, TimeRanges } from '../base/listing.ts';
import type { Page, Paged } from '../base/page.ts';
import type { MaybeTx, Tx } from './tx.ts';

export type MergeRequestId = Branded<number, 'MergeRequestId'>;
export type NoteId = Branded<number, 'NoteId'>;
export type MergeRequestState = 'opened' | 'closed' | 'merged';

export interface NewMergeRequest {
  /** Where it is to be merged. */
  readonly projectId: ProjectId;
  readonly sourceProjectId: ProjectId;
  /** Short names. */
  readonly sourceBranch: string;
  readonly targetBranch: string;
  readonly title: string;
  readonly description: string;
  readonly authorId: UserId;
  /** Everybody who wrote what jobs read of it: title, description, labels (R3). The author is the first. */
  readonly writers: readonly UserId[];
  readonly labels: readonly string[];
  readonly assigneeIds: readonly UserId[];
  readonly removeSourceBranch: boolean;
  readonly squash: boolean;
  /** The source branch's tip, as last heard of; `refs/merge-requests/:iid/head` of the project stands there. */
  readonly headSha: Oid;
  readonly createdAt: EpochMillis;
}
export interface MergeRequestRecord extends NewMergeRequest {
  readonly id: MergeRequestId;
  /** Counts up in each project. */
  readonly iid: number;
  readonly state: MergeRequestState;
  readonly mergeCommitSha: Oid | null;
  /** Where the target stood before the merge; null = as the merge commit says. */
  readonly mergedOnto: Oid | null;
  /** All principals of the merge; the first acts. */
  readonly mergedBy: readonly UserId[];
  readonly mergedAt: EpochMillis | null;
  readonly closedById: UserId | null;
  readonly closedAt: EpochMillis | null;
  readonly updatedAt: EpochMillis;
}
export type MergeRequestChange = Partial<
  Pick<
    MergeRequestRecord,
    | 'title'
    | 'description'
    | 'targetBranch'
    | 'writers'
    | 'labels'
    | 'assigneeIds'
    | 'removeSourceBranch'
    | 'squash'
    | 'headSha'
    | 'state'
    | 'mergeCommitSha'
    | 'mergedOnto'
    | 'mergedBy'
    | 'mergedAt'
    | 'closedById'
    | 'closedAt'
    | 'updatedAt'
  >
>;
export interface MergeRequestFilter extends TimeRanges, Descending {
  readonly state?: MergeRequestState;
  readonly sourceBranch?: string;
  readonly targetBranch?: string;
  readonly iids?: readonly number[];
  readonly authorId?: UserId;
  readonly assigneeId?: UserId;
  /** All of them. */
  readonly labels?: readonly string[];
  /** Stands in title or description, without case. */
  readonly search?: string;
  /** `createdAt` where it is left out; what is equal comes by its id. */
  readonly orderBy?: 'createdAt' | 'updatedAt' | 'title';
}
export interface NoteRecord {
  readonly id: NoteId;
  readonly authorId: UserId;
  readonly body: string;
  /** Written by the server about what was done. */
  readonly system: boolean;
  readonly createdAt: EpochMillis;
}

export interface MergeRequestStore {
  /** @throws conflict where the same branches have an open one */
  insert(tx: Tx, request: NewMergeRequest): Promise<MergeRequestRecord>;
  byId(tx: MaybeTx, id: MergeRequestId): Promise<MergeRequestRecord | undefined>;
  byIid(tx: MaybeTx, project: ProjectId, iid: number): Promise<MergeRequestRecord | undefined>;
  /** In a transaction: nobody else changes it before the transaction ends. */
  lock(tx: Tx, id: MergeRequestId): Promise<MergeRequestRecord | undefined>;
  /** Newest first. */
  list(tx: MaybeTx, project: ProjectId, filter: MergeRequestFilter, page: Page): Promise<Paged<MergeRequestRecord>>;
  /** Open ones of a branch; oldest first. */
  openFrom(tx: MaybeTx, source: ProjectId, branch: string): Promise<readonly MergeRequestRecord[]>;
  openInto(tx: MaybeTx, target: ProjectId, branch: string): Promise<readonly MergeRequestRecord[]>;
  /** @throws conflict where it is opened again beside another */
  change(tx: Tx, id: MergeRequestId, change: MergeRequestChange): Promise<void>;
  /** In place of those that it held. */
  holdCommits(tx: Tx, id: MergeRequestId, commits: readonly Oid[]): Promise<void>;
  /** Those of the project that hold the commit, or were merged by it; newest first. */
  ofCommit(tx: MaybeTx, project: ProjectId, commit: Oid): Promise<readonly MergeRequestRecord[]>;
  addNote(tx: Tx, id: MergeRequestId, note: Omit<NoteRecord, 'id'>): Promise<NoteRecord>;
  note(tx: MaybeTx, id: MergeRequestId, note: number): Promise<NoteRecord | undefined>;
  changeNote(tx: Tx, id: MergeRequestId, note: number, body: string): Promise<void>;
  removeNote(tx: Tx, id: MergeRequestId, note: number): Promise<void>;
  /** Newest first. */
  notes(tx: MaybeTx, id: MergeRequestId, page: Page): Promise<Paged<NoteRecord>>;
  noteCount(tx: MaybeTx, id: MergeRequestId): Promise<number>;
}
