import { isoTime, isoTimeOrNull } from '../../base/clock.ts';
import { JobpassError } from '../../base/errors.ts';
import { type EnvironmentId, type JobId, parseId } from '../../base/ids.ts';
import type { EnvironmentRecord } from '../../ports/environments.ts';
import type { JobRecord, JobStatus } from '../../ports/jobs.ts';
import { presenter } from './job-presenter.ts';
import { pageHeaders, pageOf } from './pagination.ts';
import type { ApiDeps, Call, RouteTable } from './route.ts';

const P = '/api/v4/projects/:id';
const states = ['available', 'stopping', 'stopped'] as const;

/** GitLab's words for a deployment by the state of the job that makes it. */
const deploymentStatus: Readonly<Record<JobStatus, string>> = {
  created: 'created',
  scheduled: 'created',
  waiting_for_resource: 'created',
  pending: 'created',
  manual: 'created',
  running: 'running',
  canceling: 'running',
  success: 'success',
  failed: 'failed',
  canceled: 'canceled',
  skipped: 'skipped',
};

/** @see GitLab REST API, "Environments" and "Deployments" */
export function environmentRoutes(deps: ApiDeps): RouteTable {
  const { environments } = deps.jobs;
  const show = presenter(deps);
  const gone = (): never => {
    throw new JobpassError('not_found', {});
  };
  const environmentId = (call: Call): EnvironmentId => parseId<EnvironmentId>(call.path('environment_id')) ?? gone();

  async function deployments(call: Call, rows: readonly JobRecord[]): Promise<readonly unknown[]> {
    const places = await environments.environmentsOf(call.grant, call.project.id, rows);
    const jobs = await show.jobs(call, rows);
    return rows.map((row, index) => {
      const place = row.environmentId === null ? undefined : places.get(row.environmentId);
      const deployable = jobs[index] ?? {};
      return {
        id: row.id,
        iid: row.id,
        ref: row.ref,
        sha: row.sha,
        created_at: isoTime(row.createdAt),
        updated_at: isoTime(row.finishedAt ?? row.startedAt ?? row.createdAt),
        status: deploymentStatus[row.status],
        user: 'user' in deployable ? deployable.user : null,
        environment: place === undefined ? null : brief(place),
        deployable,
      };
    });
  }

  return {
    [`GET ${P}/environments`]: async (call) => {
      const page = pageOf(call.params);
      const [name, search] = [call.params.optionalText('name'), call.params.optionalText('search')];
      const state = call.params.oneOf('states', states);
      const filter = {
        ...(name === undefined ? {} : { name }),
        ...(search === undefined ? {} : { search }),
        ...(state === undefined ? {} : { state }),
      };
      const found = await environments.list(call.grant, call.project.id, filter, page);
      return { body: found.rows.map(full), headers: pageHeaders(page, found.total, call.url) };
    },
    [`GET ${P}/environments/:environment_id`]: async (call) => ({
      body: full((await environments.one(call.grant, call.project.id, environmentId(call))) ?? gone()),
    }),
    [`POST ${P}/environments/:environment_id/stop`]: async (call) => {
      const { grant, project } = call;
      const id = environmentId(call);
      const jobs = call.params.flag('force') === true ? 0 : await environments.stopJobs(grant, project.id, id);
      const run = jobs === 0 ? undefined : await call.admit([{ permission: 'job:run', resource: { kind: 'project', id: project.id } }]);
      return { status: 200, body: full(await environments.stop(grant, project.id, id, run)) };
    },
    [`DELETE ${P}/environments/:environment_id`]: async (call) => {
      await environments.remove(call.grant, call.project.id, environmentId(call));
      return { status: 204 };
    },
    [`GET ${P}/deployments`]: async (call) => {
      const page = pageOf(call.params);
      const environment = call.params.optionalText('environment');
      const filter = environment === undefined ? {} : { environment };
      const found = await environments.deployments(call.grant, call.project.id, filter, page);
      return { body: await deployments(call, found.rows), headers: pageHeaders(page, found.total, call.url) };
    },
    [`GET ${P}/deployments/:deployment_id`]: async (call) => {
      const id = parseId<JobId>(call.path('deployment_id')) ?? gone();
      const [shown] = await deployments(call, [(await environments.deployment(call.grant, call.project.id, id)) ?? gone()]);
      return { body: shown };
    },
  };
}

function brief(one: EnvironmentRecord) {
  return { id: one.id, name: one.name, slug: one.slug, external_url: one.externalUrl };
}

function full(one: EnvironmentRecord) {
  return {
    ...brief(one),
    description: null,
    created_at: isoTime(one.createdAt),
    updated_at: isoTimeOrNull(one.updatedAt),
    tier: one.tier,
    state: one.state,
    auto_stop_at: isoTimeOrNull(one.autoStopAt),
  };
}
