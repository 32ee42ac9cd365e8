import { JobpassError } from '../../base/errors.ts';
import { type JobId, parseId, type PipelineId, type UserId } from '../../base/ids.ts';
import type { PipelineSource, PipelineVariable } from '../../ports/jobs.ts';
import { descendingOf, rangesOf } from './list-params.ts';
import { pageHeaders, pageOf } from './pagination.ts';
import type { Params } from './params.ts';
import { askAbove } from './ask-above.ts';
import { inputsOf } from './inputs.ts';
import { scopeOf, statuses } from './job-scope.ts';
import { type Presenter, presenter } from './job-presenter.ts';
import { pipeline } from './present.ts';
import { type Answer, type ApiDeps, type Call, nobody, type RouteTable } from './route.ts';
import { sentFile } from './sent-file.ts';
import { namedVariable } from './named-variable.ts';

const P = '/api/v4/projects/:id';
const orders = { id: 'id', status: 'status', ref: 'ref', updated_at: 'updatedAt', user_id: 'userId' } as const;
const sources = [
  'push',
  'api',
  'web',
  'trigger',
  'schedule',
  'pipeline',
  'parent_pipeline',
  'merge_request_event',
  'external',
] as const satisfies readonly PipelineSource[];

/** @see GitLab REST API, "Pipelines" and "Jobs" */
export function pipelineRoutes(deps: ApiDeps): RouteTable {
  const { pipelines } = deps.jobs;
  const show = presenter(deps);
  const pipelineId = (call: Call): PipelineId => parseId<PipelineId>(call.path('pipeline_id')) ?? gone();
  const one = async (call: Call) => (await pipelines.one(call.grant, call.project.id, pipelineId(call))) ?? gone();
  return {
    [`POST ${P}/pipeline`]: async (call) => {
      const variables = variablesOf(call.params);
      const inputs = inputsOf(call.params);
      const made = await pipelines.create(call.grant, call.project.id, { ref: call.params.text('ref'), variables, inputs });
      return { body: await show.pipeline(call, made) };
    },
    [`GET ${P}/pipelines`]: async (call) => {
      const page = pageOf(call.params);
      const [ref, sha] = [call.params.optionalText('ref'), call.params.optionalText('sha')];
      const status = call.params.oneOf('status', statuses);
      const source = call.params.oneOf('source', sources);
      const [name, username] = [call.params.optionalText('name'), call.params.optionalText('username')];
      const user = username === undefined ? undefined : ((await deps.directory.userByName(null, username))?.id ?? (nobody as UserId));
      const found = await pipelines.list(
        call.grant,
        call.project.id,
        {
          ...(ref === undefined ? {} : { ref }),
          ...(sha === undefined ? {} : { sha }),
          ...(status === undefined ? {} : { status }),
          ...(source === undefined ? {} : { source }),
          ...(name === undefined ? {} : { name }),
          ...(user === undefined ? {} : { userId: user }),
          ...rangesOf(call.params),
          ...descendingOf(call.params),
          orderBy: orders[call.params.oneOf('order_by', ['id', 'status', 'ref', 'updated_at', 'user_id']) ?? 'id'],
        },
        page,
      );
      return { body: found.rows.map((each) => pipeline(show.web(call), each)), headers: pageHeaders(page, found.total, call.url) };
    },
    [`GET ${P}/pipelines/latest`]: async (call) => {
      const ref = call.params.optionalText('ref') ?? call.project.defaultBranch;
      const [latest] = (await pipelines.list(call.grant, call.project.id, { ref }, { page: 1, perPage: 1 })).rows;
      return { body: await show.pipeline(call, latest ?? gone()) };
    },
    [`GET ${P}/pipelines/:pipeline_id`]: async (call) => ({ body: await show.pipeline(call, await one(call)) }),
    [`GET ${P}/pipelines/:pipeline_id/jobs`]: async (call) => {
      const page = pageOf(call.params);
      const all = (await pipelines.jobsOf(call.grant, call.project.id, pipelineId(call))).filter(
        (each) => each.kind === 'build' && (each.retriedById === null || call.params.flag('include_retried') === true),
      );
      const wanted = scopeOf(call.params);
      const rows = all.filter((each) => wanted.length === 0 || wanted.includes(each.status));
      return {
        body: await show.jobs(call, rows.slice((page.page - 1) * page.perPage, page.page * page.perPage)),
        headers: pageHeaders(page, rows.length, call.url),
      };
    },
    [`GET ${P}/pipelines/:pipeline_id/variables`]: async (call) => ({
      body: (await one(call)).variables.map(({ key, value }) => ({ key, value, variable_type: 'env_var', raw: false })),
    }),
    [`POST ${P}/pipelines/:pipeline_id/cancel`]: async (call) => ({
      status: 200,
      body: await show.pipeline(call, await pipelines.cancel(call.grant, call.project.id, pipelineId(call))),
    }),
    [`POST ${P}/pipelines/:pipeline_id/retry`]: async (call) => ({
      body: await show.pipeline(call, await pipelines.retry(call.grant, call.project.id, pipelineId(call), askAbove(call))),
    }),
    ...jobRoutes(deps, show),
  };
}

function jobRoutes(deps: ApiDeps, show: Presenter): RouteTable {
  const { pipelines } = deps.jobs;
  const jobId = (call: Call): JobId => parseId<JobId>(call.path('job_id')) ?? gone();
  const readable = async ({ grant, project, admit }: Call, id: JobId): Promise<void> => {
    const access = await pipelines.artifactsAccess(grant, project.id, id);
    if (access === 'none')
      throw new JobpassError('access_denied', 'The job keeps its artifacts for jobs that depend on it (artifacts:access).');
    if (access !== 'all') await admit([{ permission: `artifact:read_${access}`, resource: { kind: 'project', id: project.id } }]);
  };
  const archive = async (call: Call, id: JobId): Promise<Answer> => {
    await readable(call, id);
    const found = (await pipelines.artifacts(call.grant, call.project.id, id)) ?? gone();
    return sentFile(found.filename, found);
  };
  const file = async (call: Call, id: JobId): Promise<Answer> => {
    await readable(call, id);
    const path = call.path('*');
    return sentFile(path, (await pipelines.artifactFile(call.grant, call.project.id, id, path)) ?? gone());
  };
  const newest = async (call: Call): Promise<JobId> =>
    (await pipelines.latest(call.grant, call.project.id, call.path('ref_name'), call.params.text('job')))?.id ?? gone();
  return {
    'GET /api/v4/job': async (call) => {
      const own = await pipelines.ownJob(call.grant);
      const facts = await deps.directory.project(null, own.projectId);
      return { body: await show.ownJob(call.grant, `${deps.externalUrl}/${facts?.path ?? ''}`, own) };
    },
    [`GET ${P}/jobs`]: async (call) => {
      const page = pageOf(call.params);
      const found = await pipelines.listJobs(call.grant, call.project.id, scopeOf(call.params), page);
      return { body: await show.jobs(call, found.rows), headers: pageHeaders(page, found.total, call.url) };
    },
    [`GET ${P}/jobs/:job_id`]: async (call) => ({
      body: await show.job(call, (await pipelines.job(call.grant, call.project.id, jobId(call))) ?? gone()),
    }),
    [`GET ${P}/jobs/:job_id/trace`]: async (call) => ({
      stream: await pipelines.trace(call.grant, call.project.id, jobId(call)),
      headers: { 'content-type': 'text/plain; charset=utf-8' },
    }),
    [`GET ${P}/jobs/:job_id/artifacts`]: (call) => archive(call, jobId(call)),
    [`GET ${P}/jobs/:job_id/artifacts/*`]: (call) => file(call, jobId(call)),
    [`GET ${P}/jobs/artifacts/:ref_name/download`]: async (call) => archive(call, await newest(call)),
    [`GET ${P}/jobs/artifacts/:ref_name/raw/*`]: async (call) => file(call, await newest(call)),
    [`POST ${P}/jobs/:job_id/cancel`]: async (call) => ({
      body: await show.job(call, await pipelines.cancelJob(call.grant, call.project.id, jobId(call), call.params.flag('force') ?? false)),
    }),
    [`POST ${P}/jobs/:job_id/retry`]: async (call) => ({
      body: await show.job(call, await pipelines.retryJob(call.grant, call.project.id, jobId(call), askAbove(call))),
    }),
    [`POST ${P}/jobs/:job_id/play`]: async (call) => ({
      status: 200,
      body: await show.job(
        call,
        await pipelines.playJob(
          call.grant,
          call.project.id,
          jobId(call),
          variablesOf(call.params, 'job_variables_attributes'),
          askAbove(call),
        ),
      ),
    }),
  };
}

/** `[{key, value}]`. */
function variablesOf(params: Params, field = 'variables'): PipelineVariable[] {
  return params.list(field).map((variable) => {
    if (variable.oneOf('variable_type', ['env_var', 'file']) === 'file')
      throw new JobpassError('unsupported', 'Variables of the type file are not given with a pipeline: keep one for the project.');
    return namedVariable(variable.text('key'), variable.optionalText('value') ?? '');
  });
}

function gone(): never {
  throw new JobpassError('not_found', {});
}
