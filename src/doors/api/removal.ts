import { JobpassError } from '../../base/errors.ts';
import { type JobId, parseId, type PipelineId } from '../../base/ids.ts';
import { presenter } from './job-presenter.ts';
import type { ApiDeps, Call, RouteTable } from './route.ts';

const P = '/api/v4/projects/:id';
const nameLength = 255;

/** What pipelines and jobs left behind, and what a pipeline is called. @see GitLab REST API, "Pipelines" and "Jobs" */
export function removalRoutes(deps: ApiDeps): RouteTable {
  const { removal } = deps.jobs;
  const show = presenter(deps);
  const gone = (): never => {
    throw new JobpassError('not_found', {});
  };
  const pipelineId = (call: Call): PipelineId => parseId<PipelineId>(call.path('pipeline_id')) ?? gone();
  return {
    [`DELETE ${P}/pipelines/:pipeline_id`]: async (call) => {
      await removal.remove(call.grant, call.project.id, pipelineId(call));
      return { status: 204 };
    },
    [`PUT ${P}/pipelines/:pipeline_id/metadata`]: async (call) => {
      const name = call.params.optionalText('name') ?? '';
      if (name.length > nameLength) throw new JobpassError('invalid_input', `A name has at most ${nameLength} characters.`);
      const renamed = await removal.rename(call.grant, call.project.id, pipelineId(call), name === '' ? null : name);
      return { body: await show.pipeline(call, renamed) };
    },
    [`POST ${P}/jobs/:job_id/erase`]: async (call) => ({
      body: await show.job(call, await removal.erase(call.grant, call.project.id, parseId<JobId>(call.path('job_id')) ?? gone())),
    }),
  };
}
