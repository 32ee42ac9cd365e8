import { present } from '../../../base/assert.ts';
import { JobpassError } from '../../../base/errors.ts';
import { type Oid, type ProjectId, zeroOid } from '../../../base/ids.ts';
import { type Grant, type Permission, verifyGrant } from '../../../pass/grant.ts';
import type { Directory } from '../../../ports/directory.ts';
import type { MergeRequestChange, MergeRequestRecord } from '../../../ports/merge-requests.ts';
import type { MergeRequestForge, MergeRequestTexts, MergeStatus } from '../../merge-requests.ts';
import { branchRef } from '../repository/names.ts';
import { pageOf, readCommits } from '../repository/reads.ts';
import { moveRef, nothing, withScratch, type WriteDeps } from '../repository/writes.ts';
import type { ProjectStore } from '../ports.ts';
import { changedFiles, diffsOf, mergeBase } from './compare.ts';
import { branchTip, commitsOf, type HeadDeps, setHead } from './heads.ts';
import { buildMerge, canMerge } from './merge.ts';
import { checkTexts, invalid, isDraft } from './texts.ts';

export type MergeRequestDeps = HeadDeps & WriteDeps & { readonly directory: Directory; readonly projects: Pick<ProjectStore, 'byId'> };

/** Any of these shows a merge request. */
const shown: readonly Permission[] = ['merge_request:read', 'merge_request:create', 'merge_request:update', 'merge_request:merge'];
const longestNote = 1_000_000;

export function makeMergeRequestForge(deps: MergeRequestDeps): MergeRequestForge {
  const { git, repositories, mergeRequests, transactor, clock, directory } = deps;
  const on = (id: ProjectId) => ({ kind: 'project', id }) as const;
  const reads = (grant: Grant, project: ProjectId): void => {
    const held = shown.find((permission) => grant.accesses.some((access) => access.permission === permission));
    verifyGrant(grant, held ?? 'merge_request:read', on(project));
  };
  const actorOf = (grant: Grant) => grant.principals[0] ?? unnamed();

  /** Both tips, and where they part. */
  async function tipsOf(request: MergeRequestRecord) {
    const repository = await repositories.existing(request.projectId);
    const target = await branchTip(git, repository, request.targetBranch);
    const base = target === undefined ? undefined : await mergeBase(git, repository, target, request.headSha);
    return { repository, target, base };
  }

  async function statusOf(request: MergeRequestRecord, target: Oid | undefined, base: Oid | undefined): Promise<MergeStatus> {
    if (request.state !== 'opened') return 'not_open';
    if (target === undefined || base === request.headSha || !(await sourceStands(request))) return 'commits_status';
    if (isDraft(request.title)) return 'draft_status';
    if (base === undefined) return 'conflict';
    if (base !== target && (await fastForward(request))) return 'need_rebase';
    return (await canMerge(deps, await repositories.existing(request.projectId), target, request.headSha)) ? 'mergeable' : 'conflict';
  }

  /** GitLab's: nothing is merged then that the target has gone on without. */
  async function fastForward({ projectId }: MergeRequestRecord): Promise<boolean> {
    return (await deps.projects.byId(null, projectId))?.mergeMethod === 'ff';
  }

  async function sourceStands({ sourceProjectId, sourceBranch, headSha }: MergeRequestRecord): Promise<boolean> {
    const source = await repositories.existing(sourceProjectId).catch(() => undefined);
    return source !== undefined && (await branchTip(git, source, sourceBranch)) === headSha;
  }

  async function checkPeople(texts: Partial<MergeRequestTexts>): Promise<void> {
    const ids = texts.assigneeIds ?? [];
    const known = await directory.users(null, ids);
    if (ids.some((id) => !known.has(id))) throw invalid('assignee_ids', 'name somebody who is not there');
  }

  return {
    async list(grant, project, filter, page) {
      verifyGrant(grant, 'merge_request:read', on(project));
      return mergeRequests.list(null, project, filter, page);
    },
    async one(grant, project, iid) {
      reads(grant, project);
      const request = await mergeRequests.byIid(null, project, iid);
      if (request === undefined) return undefined;
      const { repository, target, base } = await tipsOf(request);
      const files = base === undefined ? [] : await changedFiles(git, repository, base, request.headSha);
      return {
        ...request,
        status: await statusOf(request, target, base),
        baseSha: base ?? null,
        targetSha: target ?? null,
        changes: files.length,
        notes: await mergeRequests.noteCount(null, request.id),
      };
    },
    async create(grant, source, { targetId, sourceBranch, targetBranch, ...texts }) {
      verifyGrant(grant, 'merge_request:create', on(source));
      if (targetId !== source) {
        verifyGrant(grant, 'merge_request:read', on(targetId));
        verifyGrant(grant, 'code:download', on(targetId));
      }
      checkTexts(texts);
      await checkPeople(texts);
      if (targetId === source && sourceBranch === targetBranch)
        throw new JobpassError('unprocessable', "You can't use same project/branch for source and target");
      const headSha = await branchTip(git, await repositories.existing(source), sourceBranch);
      if (headSha === undefined) throw invalid('source_branch', 'does not exist');
      const target = await branchTip(git, await repositories.existing(targetId), targetBranch);
      if (target === undefined) throw invalid('target_branch', 'does not exist');
      const authorId = actorOf(grant);
      const request = await transactor
        .write(async (tx) => {
          await grant.confirm(tx);
          const fields = { projectId: targetId, sourceProjectId: source, sourceBranch, targetBranch, authorId, headSha };
          // A write made with a pass counts as made by all its principals (R3).
          return mergeRequests.insert(tx, { ...fields, ...texts, writers: grant.principals, createdAt: clock.now() });
        })
        .catch(alreadyOpen);
      await setHead(deps, request, headSha);
      const commits = await commitsOf(git, await repositories.existing(targetId), headSha, target);
      await transactor.write((tx) => mergeRequests.holdCommits(tx, request.id, commits));
      return request;
    },
    async change(grant, project, iid, { event, targetBranch, ...texts }) {
      verifyGrant(grant, 'merge_request:update', on(project));
      checkTexts(texts);
      await checkPeople(texts);
      if (targetBranch !== undefined && (await branchTip(git, await repositories.existing(project), targetBranch)) === undefined)
        throw invalid('target_branch', 'does not exist');
      const known = await mergeRequests.byIid(null, project, iid);
      if (known === undefined) return undefined;
      const changed = await transactor
        .write(async (tx) => {
          await grant.confirm(tx);
          const request = present(await mergeRequests.lock(tx, known.id), 'the merge request');
          const now = clock.now();
          const moved = stateChange(request, event, grant, now);
          // All but that stand in the variables of its jobs (A56).
          const rewritten = targetBranch !== undefined || Object.keys(texts).some((name) => name !== 'removeSourceBranch');
          const writers = rewritten ? { writers: [...new Set([...request.writers, ...grant.principals])] } : {};
          const target = targetBranch === undefined ? {} : { targetBranch };
          await mergeRequests.change(tx, known.id, { ...texts, ...target, ...moved, ...writers, updatedAt: now });
          return present(await mergeRequests.byId(tx, known.id), 'the merge request');
        })
        .catch(alreadyOpen);
      if (event === 'reopen') await catchUp(changed);
      return present(await mergeRequests.byId(null, known.id), 'the merge request');
    },
    async merge(grant, project, iid, how, decide) {
      verifyGrant(grant, 'merge_request:merge', on(project));
      const request = await mergeRequests.byIid(null, project, iid);
      if (request === undefined) return undefined;
      if (how.removeSourceBranch) verifyGrant(grant, 'branch:write', on(request.sourceProjectId));
      const { repository, target, base } = await tipsOf(request);
      if (how.sha !== undefined && how.sha !== request.headSha)
        throw new JobpassError('conflict', 'SHA does not match HEAD of source branch: ' + request.headSha);
      const status = await statusOf(request, target, base);
      if (status !== 'mergeable' || target === undefined) throw new JobpassError('unprocessable', `Branch cannot be merged: ${status}`);
      const ref = branchRef(request.targetBranch);
      const message = how.message ?? (await messageOf(request));
      const merged = await withScratch(deps, repository, async (scratch) => {
        const { squash, author } = how;
        const order = { target, head: request.headSha, message, squash, author };
        const commit = !squash && (await fastForward(request)) ? request.headSha : await buildMerge(git, scratch, order);
        const brought = commit === request.headSha ? nothing : { scratch, bases: [target, request.headSha] };
        await moveRef(deps, grant, project, repository, { ref, oldOid: target, newOid: commit }, brought, decide);
        return commit;
      });
      const now = clock.now();
      // The push itself may have told of it already: then only who and what is set right.
      await transactor.write((tx) =>
        mergeRequests.change(tx, request.id, {
          state: 'merged',
          mergedBy: grant.principals,
          mergedAt: now,
          mergeCommitSha: merged,
          mergedOnto: target,
          updatedAt: now,
        }),
      );
      if (how.removeSourceBranch) {
        const source = await repositories.existing(request.sourceProjectId);
        const change = { ref: branchRef(request.sourceBranch), oldOid: request.headSha, newOid: zeroOid };
        await moveRef(deps, grant, request.sourceProjectId, source, change, nothing, decide);
      }
      return present(await mergeRequests.byId(null, request.id), 'the merge request');
    },
    async commits(grant, project, iid, page) {
      reads(grant, project);
      const request = await mergeRequests.byIid(null, project, iid);
      if (request === undefined) return undefined;
      const repository = await repositories.existing(project);
      const base = request.state === 'opened' ? await branchTip(git, repository, request.targetBranch) : await baseBefore(request);
      const { rows, total } = pageOf(await commitsOf(git, repository, request.headSha, base), page);
      return { rows: rows.length === 0 ? [] : await readCommits(git, repository, ['--no-walk=unsorted', ...rows]), total };
    },
    async diffs(grant, project, iid, page) {
      reads(grant, project);
      const request = await mergeRequests.byIid(null, project, iid);
      if (request === undefined) return undefined;
      const repository = await repositories.existing(project);
      const against = request.state === 'opened' ? await branchTip(git, repository, request.targetBranch) : await baseBefore(request);
      const base = against === undefined ? undefined : await mergeBase(git, repository, against, request.headSha);
      return base === undefined ? { rows: [], total: 0 } : diffsOf(git, repository, base, request.headSha, page);
    },
    async notes(grant, project, iid, page) {
      reads(grant, project);
      const request = await mergeRequests.byIid(null, project, iid);
      return request === undefined ? undefined : mergeRequests.notes(null, request.id, page);
    },
    async addNote(grant, project, iid, body) {
      verifyGrant(grant, 'merge_request:update', on(project));
      checkNote(body);
      const request = await mergeRequests.byIid(null, project, iid);
      if (request === undefined) return undefined;
      return transactor.write(async (tx) => {
        await grant.confirm(tx);
        return mergeRequests.addNote(tx, request.id, { authorId: actorOf(grant), body, system: false, createdAt: clock.now() });
      });
    },
    async note(grant, project, iid, note) {
      reads(grant, project);
      const request = await mergeRequests.byIid(null, project, iid);
      return request === undefined ? undefined : mergeRequests.note(null, request.id, note);
    },
    async changeNote(grant, project, iid, note, body) {
      verifyGrant(grant, 'merge_request:update', on(project));
      if (body !== null) checkNote(body);
      const request = await mergeRequests.byIid(null, project, iid);
      if (request === undefined) return undefined;
      return transactor.write(async (tx) => {
        await grant.confirm(tx);
        const found = await mergeRequests.note(tx, request.id, note);
        if (found === undefined) return undefined;
        // What the forge itself wrote stays, and nobody's words are put in another's mouth.
        if (found.system || found.authorId !== actorOf(grant))
          throw new JobpassError('access_denied', 'A note is changed by the one who wrote it.');
        if (body === null) await mergeRequests.removeNote(tx, request.id, note);
        else await mergeRequests.changeNote(tx, request.id, note, body);
        return { ...found, body: body ?? found.body };
      });
    },
    async ofCommit(grant, project, commit) {
      verifyGrant(grant, 'merge_request:read', on(project));
      return mergeRequests.ofCommit(null, project, commit);
    },
  };

  /** What its branch did while it was closed. */
  async function catchUp(request: MergeRequestRecord): Promise<void> {
    const tip = await branchTip(git, await repositories.existing(request.sourceProjectId), request.sourceBranch);
    if (tip === undefined || tip === request.headSha) return;
    await setHead(deps, request, tip);
    await transactor.write((tx) => mergeRequests.change(tx, request.id, { headSha: tip }));
  }

  /** The target as it was before the merge; of a closed one as it is. */
  async function baseBefore(request: MergeRequestRecord): Promise<Oid | undefined> {
    const repository = await repositories.existing(request.projectId);
    if (request.mergedOnto !== null) return request.mergedOnto;
    if (request.mergeCommitSha === null) return branchTip(git, repository, request.targetBranch);
    const [merge] = await readCommits(git, repository, ['--max-count=1', request.mergeCommitSha]);
    return merge?.parentIds[0];
  }

  async function messageOf({ projectId, iid, sourceBranch, targetBranch, title }: MergeRequestRecord): Promise<string> {
    const path = (await directory.project(null, projectId))?.path ?? '';
    return `Merge branch '${sourceBranch}' into '${targetBranch}'\n\n${title}\n\nSee merge request ${path}!${iid}\n`;
  }
}

/** @throws unprocessable for a move that makes no sense from where it stands */
function stateChange(
  { state }: MergeRequestRecord,
  event: 'close' | 'reopen' | undefined,
  grant: Grant,
  now: ReturnType<MergeRequestDeps['clock']['now']>,
): MergeRequestChange {
  if (event === undefined || (event === 'close' && state === 'closed') || (event === 'reopen' && state === 'opened')) return {};
  if (state === 'merged') throw new JobpassError('unprocessable', 'A merge request that was merged stays as it is.');
  return event === 'close'
    ? { state: 'closed', closedById: grant.principals[0] ?? unnamed(), closedAt: now }
    : { state: 'opened', closedById: null, closedAt: null };
}

function checkNote(body: string): void {
  if (body.trim() === '' || body.length > longestNote) throw invalid('note', `is between 1 and ${longestNote} characters long`);
}

function alreadyOpen(error: unknown): never {
  if (error instanceof JobpassError && error.code === 'conflict')
    throw new JobpassError('conflict', 'Another open merge request already exists for this source branch');
  throw error;
}

function unnamed(): never {
  throw new JobpassError('credential_missing');
}
