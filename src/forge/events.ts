import type { EpochMillis, Oid, ProjectId, PushId, UserId } from '../base/ids.ts';
import type { Page, Paged } from '../base/page.ts';
import type { Grant } from '../pass/grant.ts';

/** One ref that one push moved. */
export interface PushEvent {
  readonly id: PushId;
  readonly authorId: UserId;
  readonly authorUsername: string;
  readonly refType: 'branch' | 'tag';
  /** Without `refs/heads/`. */
  readonly ref: string;
  /** null = it was made. */
  readonly from: Oid | null;
  /** null = it was removed. */
  readonly to: Oid | null;
  readonly at: EpochMillis;
}

/** Who pushed what, over every way in; newest first. Needs commit:read. @see GitLab, "Events" */
export interface EventForge {
  pushes(grant: Grant, project: ProjectId, page: Page): Promise<Paged<PushEvent>>;
}
