import { isoTime } from '../../base/clock.ts';
import { JobpassError } from '../../base/errors.ts';
import { millis, parseId } from '../../base/ids.ts';
import type { MergeRequestDetail } from '../../forge/merge-requests.ts';
import type { MergeRequestId } from '../../ports/merge-requests.ts';
import { pageHeaders, pageOf } from './pagination.ts';
import { commit } from './present.ts';
import { fileDiff } from './present-merge-request.ts';
import type { ApiDeps, Call, RouteTable } from './route.ts';

const M = '/api/v4/projects/:id/merge_requests';
/** As many as the comparison shows at once. */
const most = { page: 1, perPage: 100 };

/** What a merge request would bring now, in the form in which clients ask for each push to it. @see GitLab REST API, "Merge request diff versions" */
export function versionRoutes(deps: ApiDeps): RouteTable {
  const { mergeRequests } = deps.forge;
  return {
    [`GET ${M}/:iid/versions`]: async (call) => {
      const page = pageOf(call.params);
      const rows = [version(await oneOf(deps, call))];
      return { body: page.page === 1 ? rows : [], headers: pageHeaders(page, rows.length, call.url) };
    },
    [`GET ${M}/:iid/versions/:version_id`]: async (call) => {
      const request = await oneOf(deps, call);
      const shown = version(request);
      // Earlier ones are not kept.
      if (call.path('version_id') !== String(shown.id)) throw new JobpassError('not_found', { what: 'Version' });
      const commits = (await mergeRequests.commits(call.grant, call.project.id, request.iid, most)) ?? gone();
      const diffs = (await mergeRequests.diffs(call.grant, call.project.id, request.iid, most)) ?? gone();
      const web = `${deps.externalUrl}/${call.project.path}`;
      return { body: { ...shown, commits: commits.rows.map((each) => commit(web, each)), diffs: diffs.rows.map(fileDiff) } };
    },
  };
}

/** Of what this forge has not, but clients ask for on their way: that there is none. A 404 would end them. */
export function absentRoutes(deps: ApiDeps): RouteTable {
  return {
    [`GET ${M}/:iid/approvals`]: async (call) => {
      await oneOf(deps, call);
      return { body: { user_has_approved: false, user_can_approve: false, approved: false, approved_by: [] } };
    },
    'GET /api/v4/projects/:id/issues': (call) => Promise.resolve({ body: [], headers: pageHeaders(pageOf(call.params), 0, call.url) }),
  };
}

async function oneOf(deps: ApiDeps, call: Call): Promise<MergeRequestDetail> {
  const iid = parseId<MergeRequestId>(call.path('iid')) ?? gone();
  return (await deps.forge.mergeRequests.one(call.grant, call.project.id, iid)) ?? gone();
}

function version(one: MergeRequestDetail) {
  return {
    id: one.id,
    head_commit_sha: one.headSha,
    base_commit_sha: one.baseSha,
    start_commit_sha: one.targetSha,
    created_at: isoTime(millis(one.updatedAt)),
    merge_request_id: one.id,
    state: 'collected',
    real_size: String(one.changes),
  };
}

function gone(): never {
  throw new JobpassError('not_found', { what: 'Merge request' });
}
