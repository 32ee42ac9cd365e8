import { isoTime } from '../../base/clock.ts';
import { JobpassError } from '../../base/errors.ts';
import type { ResourceGroup } from '../../ports/jobs.ts';
import { ParamError } from './errors.ts';
import { presenter } from './job-presenter.ts';
import { pageHeaders, pageOf } from './pagination.ts';
import type { ApiDeps, RouteTable } from './route.ts';

const P = '/api/v4/projects/:id/resource_groups';
const modes = ['unordered', 'oldest_first', 'newest_first', 'newest_ready_first'] as const;

/** @see GitLab REST API, "Resource groups" */
export function resourceGroupRoutes(deps: ApiDeps): RouteTable {
  const { resources } = deps.jobs;
  const show = presenter(deps);
  const gone = (): never => {
    throw new JobpassError('not_found', {});
  };
  return {
    [`GET ${P}`]: async (call) => {
      const page = pageOf(call.params);
      const found = await resources.list(call.grant, call.project.id, page);
      return { body: found.rows.map(shown), headers: pageHeaders(page, found.total, call.url) };
    },
    [`GET ${P}/:key`]: async (call) => ({ body: shown((await resources.one(call.grant, call.project.id, call.path('key'))) ?? gone()) }),
    [`GET ${P}/:key/current_job`]: async (call) => {
      const { holder } = await resources.jobs(call.grant, call.project.id, call.path('key'));
      return holder === undefined ? { body: null } : { body: await show.job(call, holder) };
    },
    [`GET ${P}/:key/upcoming_jobs`]: async (call) => {
      const page = pageOf(call.params);
      const { upcoming } = await resources.jobs(call.grant, call.project.id, call.path('key'));
      return {
        body: await show.jobs(call, upcoming.slice((page.page - 1) * page.perPage, page.page * page.perPage)),
        headers: pageHeaders(page, upcoming.length, call.url),
      };
    },
    [`PUT ${P}/:key`]: async (call) => {
      const mode = call.params.oneOf('process_mode', modes);
      if (mode === undefined) throw new ParamError('process_mode is missing');
      return { body: shown(await resources.setMode(call.grant, call.project.id, call.path('key'), mode)) };
    },
  };
}

function shown(one: ResourceGroup) {
  return {
    id: one.id,
    key: one.key,
    process_mode: one.processMode,
    created_at: isoTime(one.createdAt),
    updated_at: isoTime(one.createdAt),
  };
}
