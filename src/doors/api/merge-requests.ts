import { JobpassError } from '../../base/errors.ts';
import { id, parseId, parseRefName, type ProjectId, type UserId } from '../../base/ids.ts';
import type { MergeRequestTexts } from '../../forge/merge-requests.ts';
import type { Grant } from '../../pass/grant.ts';
import type { Access } from '../../pass/subject.ts';
import type { MergeRequestId } from '../../ports/merge-requests.ts';
import { actorId, signatureOf } from './actor.ts';
import { ParamError } from './errors.ts';
import { presenter } from './job-presenter.ts';
import { descendingOf, rangesOf } from './list-params.ts';
import { pageHeaders, pageOf } from './pagination.ts';
import type { Params } from './params.ts';
import { commit, pipeline } from './present.ts';
import { noteRoutes, refuseActions } from './notes.ts';
import { fileDiff, mergeRequest, mergeRequestFull } from './present-merge-request.ts';
import { deciderOf } from './repository.ts';
import { absentRoutes, versionRoutes } from './merge-request-versions.ts';
import { type ApiDeps, type Call, nobody, type RouteTable } from './route.ts';

const P = '/api/v4/projects/:id';
const M = `${P}/merge_requests`;
const orders = { created_at: 'createdAt', updated_at: 'updatedAt', title: 'title' } as const;

/** @see GitLab REST API, "Merge requests", "Notes" */
export function mergeRequestRoutes(deps: ApiDeps): RouteTable {
  const { mergeRequests } = deps.forge;
  const pipelines = deps.jobs.mergeRequests;
  const show = presenter(deps);
  const iidOf = (call: Call): number => parseId<MergeRequestId>(call.path('iid')) ?? gone();
  const one = async (call: Call, grant = call.grant) => (await mergeRequests.one(grant, call.project.id, iidOf(call))) ?? gone();
  const full = async (call: Call, grant = call.grant) => {
    const found = await one(call, grant);
    // A pipeline of a fork is for who may see the fork.
    const head = await pipelines.head(id<MergeRequestId>(found.id));
    const target = parseRefName(`refs/heads/${found.targetBranch}`);
    const canMerge = target !== undefined && (await deps.gatekeeper.mayMerge(grant, call.project.id, target));
    return mergeRequestFull(deps, call.project.path, found, head?.projectId === call.project.id ? head : undefined, canMerge);
  };
  /** `add_labels` and `remove_labels` change those that are there. */
  const labelsOf = async (call: Call) => {
    const [added, removed] = [call.params.words('add_labels'), call.params.words('remove_labels')];
    if (added === undefined && removed === undefined) return undefined;
    const before = call.params.words('labels') ?? (await one(call)).labels;
    return [...new Set([...before, ...(added ?? [])])].filter((label) => removed?.includes(label) !== true);
  };
  return {
    [`GET ${M}`]: async (call) => {
      const page = pageOf(call.params);
      const found = await mergeRequests.list(call.grant, call.project.id, await filterOf(deps, call), page);
      const rows = await Promise.all(found.rows.map((each) => mergeRequest(deps, call.project.path, each)));
      return { body: rows, headers: pageHeaders(page, found.total, call.url) };
    },
    [`POST ${M}`]: async (call) => {
      const { params, project } = call;
      refuseActions(call.grant, params);
      const given = params.optionalText('target_project_id');
      const targetId = given === undefined ? project.id : (parseId<ProjectId>(given) ?? bad('target_project_id'));
      const grant = targetId === project.id ? call.grant : await admitBoth(call, project.id, targetId);
      const made = await mergeRequests.create(grant, project.id, {
        title: params.text('title'),
        description: '',
        labels: [],
        assigneeIds: [],
        removeSourceBranch: false,
        squash: false,
        ...textsOf(params),
        targetId,
        sourceBranch: params.text('source_branch'),
        targetBranch: params.text('target_branch'),
      });
      await pipelines.opened(grant, id<MergeRequestId>(made.id));
      const path = (await deps.directory.project(null, targetId))?.path ?? '';
      return { body: await mergeRequest(deps, path, made) };
    },
    [`GET ${M}/:iid`]: async (call) => ({ body: await full(call) }),
    [`PUT ${M}/:iid`]: async (call) => {
      const { params } = call;
      refuseActions(call.grant, params);
      const targetBranch = params.optionalText('target_branch');
      const event = params.oneOf('state_event', ['close', 'reopen']);
      const labels = await labelsOf(call);
      const change = {
        ...textsOf(params),
        ...(labels === undefined ? {} : { labels }),
        ...(targetBranch === undefined ? {} : { targetBranch }),
        ...(event === undefined ? {} : { event }),
      };
      if (Object.keys(change).length === 0)
        throw new ParamError(
          'title, description, target_branch, labels, assignee_ids, state_event are missing, at least one parameter must be provided',
        );
      if ((await mergeRequests.change(call.grant, call.project.id, iidOf(call), change)) === undefined) return gone();
      return { body: await full(call) };
    },
    [`PUT ${M}/:iid/merge`]: async (call) => {
      const { params, project } = call;
      refuseActions(call.grant, params);
      if (params.flag('merge_when_pipeline_succeeds') === true || params.flag('auto_merge') === true)
        throw new JobpassError('unsupported', 'A merge request is merged at once or not at all: auto-merge is not supported.');
      const request = await mergeRequests.one(call.grant, project.id, iidOf(call));
      if (request === undefined) return gone();
      const removeSourceBranch = params.flag('should_remove_source_branch') ?? request.removeSourceBranch;
      const grant = removeSourceBranch
        ? await call.admit([on('merge_request:merge', project.id), on('branch:write', request.sourceProjectId)])
        : call.grant;
      await mergeRequests.merge(
        grant,
        project.id,
        request.iid,
        {
          sha: params.optionalText('sha'),
          message: params.optionalText('merge_commit_message') ?? params.optionalText('squash_commit_message'),
          squash: params.flag('squash') ?? request.squash,
          removeSourceBranch,
          author: await signatureOf(deps, grant),
        },
        deciderOf(deps, grant),
      );
      return { body: await full(call, grant) };
    },
    [`GET ${M}/:iid/commits`]: async (call) => {
      const page = pageOf(call.params);
      const found = (await mergeRequests.commits(call.grant, call.project.id, iidOf(call), page)) ?? gone();
      return { body: found.rows.map((each) => commit(show.web(call), each)), headers: pageHeaders(page, found.total, call.url) };
    },
    [`GET ${M}/:iid/diffs`]: async (call) => {
      const page = pageOf(call.params);
      const found = (await mergeRequests.diffs(call.grant, call.project.id, iidOf(call), page)) ?? gone();
      return { body: found.rows.map(fileDiff), headers: pageHeaders(page, found.total, call.url) };
    },
    [`GET ${M}/:iid/changes`]: async (call) => {
      const found = (await mergeRequests.diffs(call.grant, call.project.id, iidOf(call), { page: 1, perPage: 100 })) ?? gone();
      return { body: { ...(await full(call)), changes: found.rows.map(fileDiff), overflow: found.total > found.rows.length } };
    },
    ...versionRoutes(deps),
    ...absentRoutes(deps),
    ...noteRoutes(deps),
    // There are no issues here: a client that comments on them after a release finds none to comment on.
    [`GET ${M}/:iid/closes_issues`]: async (call) => {
      await one(call);
      return { body: [], headers: pageHeaders(pageOf(call.params), 0, call.url) };
    },
    [`GET ${M}/:iid/pipelines`]: async (call) => ({
      body: ((await pipelines.list(call.grant, call.project.id, iidOf(call))) ?? gone()).map((each) => pipeline(show.web(call), each)),
    }),
    [`POST ${M}/:iid/pipelines`]: async (call) => ({
      body: await show.pipeline(call, await pipelines.create(call.grant, call.project.id, iidOf(call))),
    }),
    [`GET ${P}/repository/commits/:sha/merge_requests`]: async (call) => {
      const found = await deps.forge.repository.commit(call.grant, call.project.id, call.path('sha'));
      if (found === undefined) throw new JobpassError('not_found', { what: 'Commit' });
      const rows = await mergeRequests.ofCommit(call.grant, call.project.id, found.id);
      return { body: await Promise.all(rows.map((each) => mergeRequest(deps, call.project.path, each))) };
    },
  };
}

const on = (permission: Access['permission'], project: ProjectId): Access => ({ permission, resource: { kind: 'project', id: project } });

/** Source and target are decided together (A12). A hidden target is answered as one that is not there (A41). */
function admitBoth(call: Call, source: ProjectId, target: ProjectId): Promise<Grant> {
  return call.admit([on('merge_request:create', source), on('merge_request:read', target), on('code:download', target)]);
}

function textsOf(params: Params): Partial<MergeRequestTexts> {
  const [title, description] = [params.optionalText('title'), params.optionalText('description')];
  const labels = params.words('labels');
  const assignees = params.numbers('assignee_ids') ?? params.numbers('assignee_id');
  const [removeSourceBranch, squash] = [params.flag('remove_source_branch'), params.flag('squash')];
  return {
    ...(title === undefined ? {} : { title }),
    ...(description === undefined ? {} : { description }),
    ...(labels === undefined ? {} : { labels }),
    ...(assignees === undefined ? {} : { assigneeIds: peopleOf(assignees) }),
    ...(removeSourceBranch === undefined ? {} : { removeSourceBranch }),
    ...(squash === undefined ? {} : { squash }),
  };
}

/** GitLab: 0 = nobody. */
function peopleOf(words: readonly string[]): readonly UserId[] {
  return words.filter((word) => word !== '0').map((word) => parseId<UserId>(word) ?? bad('assignee_ids'));
}

async function filterOf(deps: ApiDeps, { params, grant }: Call) {
  const state = params.oneOf('state', ['opened', 'closed', 'merged', 'all']);
  const scope = params.oneOf('scope', ['all', 'created_by_me', 'assigned_to_me']);
  const [sourceBranch, targetBranch] = [params.optionalText('source_branch'), params.optionalText('target_branch')];
  const iids = params.numbers('iids');
  const [labels, search] = [params.words('labels'), params.optionalText('search')];
  const personOf = async (kind: 'author' | 'assignee', mine: boolean): Promise<UserId | undefined> => {
    const [given, name] = [params.optionalText(`${kind}_id`), params.words(`${kind}_username`)?.[0]];
    if (given !== undefined) return parseId<UserId>(given) ?? bad(`${kind}_id`);
    if (name !== undefined) return (await deps.directory.userByName(null, name))?.id ?? (nobody as UserId);
    return mine ? actorId(grant) : undefined;
  };
  const authorId = await personOf('author', scope === 'created_by_me');
  const assigneeId = await personOf('assignee', scope === 'assigned_to_me');
  return {
    ...(state === undefined || state === 'all' ? {} : { state }),
    ...(sourceBranch === undefined ? {} : { sourceBranch }),
    ...(targetBranch === undefined ? {} : { targetBranch }),
    ...(iids === undefined ? {} : { iids: iids.map((word) => parseId<MergeRequestId>(word) ?? bad('iids')) }),
    ...(authorId === undefined ? {} : { authorId }),
    ...(assigneeId === undefined ? {} : { assigneeId }),
    ...(labels === undefined ? {} : { labels }),
    ...(search === undefined ? {} : { search }),
    ...rangesOf(params),
    ...descendingOf(params),
    orderBy: orders[params.oneOf('order_by', ['created_at', 'updated_at', 'title']) ?? 'created_at'],
  };
}

function bad(name: string): never {
  throw new ParamError(`${name} is invalid`);
}

function gone(): never {
  throw new JobpassError('not_found', { what: 'Merge request' });
}
