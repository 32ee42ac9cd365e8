import { isJobpassError, JobpassError } from '../../base/errors.ts';
import { parseId, type PipelineId } from '../../base/ids.ts';
import type { ProjectFacts } from '../../ports/directory.ts';
import type { PipelineRecord } from '../../ports/jobs.ts';
import { presenter } from './job-presenter.ts';
import { scopeOf } from './job-scope.ts';
import { pageHeaders, pageOf } from './pagination.ts';
import { pipeline } from './present.ts';
import type { ApiDeps, Call, RouteTable } from './route.ts';

const path = '/api/v4/projects/:id/pipelines/:pipeline_id/bridges';

/** @see GitLab REST API, "List all trigger jobs for a pipeline" */
export function bridgeRoutes(deps: ApiDeps): RouteTable {
  const show = presenter(deps);

  /** Another project's pipeline, for those who may read pipelines there; for the others there is none. */
  async function downstreamOf(call: Call, one: PipelineRecord | undefined, known: Map<number, Promise<ProjectFacts | undefined>>) {
    if (one === undefined) return null;
    const { projectId } = one;
    const seen = known.get(projectId) ?? seenProject(call, projectId);
    known.set(projectId, seen);
    const project = await seen;
    return project === undefined ? null : pipeline(`${deps.externalUrl}/${project.path}`, one);
  }

  async function seenProject(call: Call, id: PipelineRecord['projectId']): Promise<ProjectFacts | undefined> {
    if (id === call.project.id) return call.project;
    try {
      await call.admit([{ permission: 'pipeline:read', resource: { kind: 'project', id } }]);
    } catch (error) {
      if (isJobpassError(error, 'not_found') || isJobpassError(error, 'access_denied') || isJobpassError(error, 'credential_missing'))
        return undefined;
      throw error;
    }
    return deps.directory.project(null, id);
  }

  return {
    [`GET ${path}`]: async (call) => {
      const id = parseId<PipelineId>(call.path('pipeline_id'));
      if (id === undefined) throw new JobpassError('not_found', {});
      const page = pageOf(call.params);
      const { grant } = call;
      const found = await deps.jobs.pipelines.bridgesOf(grant, call.project.id, id);
      const wanted = scopeOf(call.params);
      const rows = found.filter(({ bridge }) => bridge.retriedById === null && (wanted.length === 0 || wanted.includes(bridge.status)));
      const shown = rows.slice((page.page - 1) * page.perPage, page.page * page.perPage);
      const jobs = await show.jobs(
        call,
        shown.map(({ bridge }) => bridge),
      );
      const known = new Map<number, Promise<ProjectFacts | undefined>>();
      const body: unknown[] = [];
      for (const [index, { downstream }] of shown.entries())
        body.push({
          ...jobs[index],
          downstream_pipeline: await downstreamOf(call, downstream, known),
        });
      return { body, headers: pageHeaders(page, rows.length, call.url) };
    },
  };
}
