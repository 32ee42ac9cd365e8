import { isoTime } from '../../base/clock.ts';
import { millis } from '../../base/ids.ts';
import type { FileDiff, MergeRequest, MergeRequestDetail, MergeRequestNote } from '../../forge/merge-requests.ts';
import type { PipelineRecord } from '../../ports/jobs.ts';
import { briefOf } from './people.ts';
import { pipeline } from './present.ts';
import type { ApiDeps } from './route.ts';

const time = (at: number | null): string | null => (at === null ? null : isoTime(millis(at)));

/** GitLab's marks of a draft. */
function draft(title: string): boolean {
  return /^(?:\[draft\]|\(draft\)|draft:|draft -)\s*/i.test(title.trimStart());
}

/** A merge request in a list. @param path of the project that it is in */
export async function mergeRequest(deps: ApiDeps, path: string, one: MergeRequest, detail?: MergeRequestDetail) {
  const status = detail?.status ?? (one.state === 'opened' ? 'unchecked' : 'not_open');
  const [merger] = one.mergedBy;
  const mergedBy = merger === undefined ? null : await briefOf(deps, merger);
  const assignees = await Promise.all(one.assigneeIds.map((id) => briefOf(deps, id)));
  return {
    id: one.id,
    iid: one.iid,
    project_id: one.projectId,
    title: one.title,
    description: one.description,
    state: one.state,
    created_at: time(one.createdAt),
    updated_at: time(one.updatedAt),
    merged_by: mergedBy,
    merge_user: mergedBy,
    merged_at: time(one.mergedAt),
    closed_by: one.closedById === null ? null : await briefOf(deps, one.closedById),
    closed_at: time(one.closedAt),
    target_branch: one.targetBranch,
    source_branch: one.sourceBranch,
    user_notes_count: detail?.notes ?? 0,
    upvotes: 0,
    downvotes: 0,
    author: await briefOf(deps, one.authorId),
    assignees,
    assignee: assignees[0] ?? null,
    reviewers: [],
    source_project_id: one.sourceProjectId,
    target_project_id: one.projectId,
    labels: one.labels,
    draft: draft(one.title),
    work_in_progress: draft(one.title),
    milestone: null,
    merge_when_pipeline_succeeds: false,
    merge_status: status === 'mergeable' ? 'can_be_merged' : status === 'conflict' ? 'cannot_be_merged' : 'unchecked',
    detailed_merge_status: status,
    has_conflicts: status === 'conflict',
    sha: one.headSha,
    merge_commit_sha: one.mergeCommitSha,
    squash_commit_sha: null,
    should_remove_source_branch: null,
    force_remove_source_branch: one.removeSourceBranch,
    squash: one.squash,
    reference: `!${one.iid}`,
    references: { short: `!${one.iid}`, relative: `!${one.iid}`, full: `${path}!${one.iid}` },
    web_url: `${deps.externalUrl}/${path}/-/merge_requests/${one.iid}`,
    blocking_discussions_resolved: true,
  };
}

/** One of them, with what was looked at closely. */
export async function mergeRequestFull(
  deps: ApiDeps,
  path: string,
  one: MergeRequestDetail,
  head: PipelineRecord | undefined,
  canMerge: boolean,
) {
  const web = `${deps.externalUrl}/${path}`;
  const shown = head === undefined ? null : pipeline(web, head);
  return {
    ...(await mergeRequest(deps, path, one, one)),
    changes_count: String(one.changes),
    diff_refs: { base_sha: one.baseSha, head_sha: one.headSha, start_sha: one.targetSha },
    head_pipeline: shown,
    pipeline: shown,
    user: { can_merge: canMerge },
  };
}

export async function note(
  deps: ApiDeps,
  request: { readonly id: number; readonly iid: number; readonly projectId: number },
  one: MergeRequestNote,
) {
  return {
    id: one.id,
    type: null,
    body: one.body,
    author: await briefOf(deps, one.authorId),
    created_at: time(one.createdAt),
    updated_at: time(one.createdAt),
    system: one.system,
    noteable_id: request.id,
    noteable_iid: request.iid,
    noteable_type: 'MergeRequest',
    project_id: request.projectId,
    resolvable: false,
    confidential: false,
    internal: false,
  };
}

export function fileDiff(one: FileDiff) {
  return {
    old_path: one.oldPath,
    new_path: one.newPath,
    a_mode: one.oldMode,
    b_mode: one.newMode,
    new_file: one.kind === 'added',
    renamed_file: one.kind === 'renamed',
    deleted_file: one.kind === 'deleted',
    diff: one.diff,
    too_large: one.tooLarge,
    collapsed: false,
    generated_file: false,
  };
}
