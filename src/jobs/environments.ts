import { JobpassError } from '../base/errors.ts';
import type { EnvironmentId, JobId, ProjectId } from '../base/ids.ts';
import type { Page, Paged } from '../base/page.ts';
import { type Grant, type Permission, verifyGrant } from '../pass/grant.ts';
import type { EnvironmentRecord } from '../ports/environments.ts';
import type { JobRecord } from '../ports/jobs.ts';
import { starter } from './actions.ts';
import type { JobsDeps } from './deps.ts';
import { playStop, stopJobsOf } from './stop-environment.ts';

/** Where jobs deploy to, as people see and change it. A deployment is the job that made it. */
export interface EnvironmentSettings {
  /** environment:read. */
  list(
    grant: Grant,
    project: ProjectId,
    filter: { readonly name?: string; readonly search?: string; readonly state?: EnvironmentRecord['state'] },
    page: Page,
  ): Promise<Paged<EnvironmentRecord>>;
  /** environment:read, environment:write. */
  one(grant: Grant, project: ProjectId, id: EnvironmentId): Promise<EnvironmentRecord | undefined>;
  /** How many jobs (`on_stop`) would end what is deployed there. environment:write. @throws not_found */
  stopJobs(grant: Grant, project: ProjectId, id: EnvironmentId): Promise<number>;
  /**
   * Starts the jobs that end what is deployed there, in the name of who asks; where there is none, or none may be started, only marks it stopped.
   * environment:write.
   * @param run a grant of job:run: without it no job is started
   * @throws not_found, access_denied
   */
  stop(grant: Grant, project: ProjectId, id: EnvironmentId, run: Grant | undefined): Promise<EnvironmentRecord>;
  /** environment:write. @throws not_found, access_denied while it is available */
  remove(grant: Grant, project: ProjectId, id: EnvironmentId): Promise<void>;
  /** deployment:read. */
  deployments(grant: Grant, project: ProjectId, filter: { readonly environment?: string }, page: Page): Promise<Paged<JobRecord>>;
  /** deployment:read. */
  deployment(grant: Grant, project: ProjectId, id: JobId): Promise<JobRecord | undefined>;
  /** The environments of these jobs; deployment:read. */
  environmentsOf(grant: Grant, project: ProjectId, jobs: readonly JobRecord[]): Promise<ReadonlyMap<EnvironmentId, EnvironmentRecord>>;
}

export function makeEnvironments(deps: JobsDeps): EnvironmentSettings {
  const { environments, transactor, clock } = deps;
  const check = (grant: Grant, permission: Permission, project: ProjectId): void =>
    verifyGrant(grant, permission, { kind: 'project', id: project });
  const found = async (project: ProjectId, id: EnvironmentId): Promise<EnvironmentRecord> => {
    const one = await environments.byId(null, project, id);
    if (one === undefined) throw new JobpassError('not_found', { what: 'Environment' });
    return one;
  };
  return {
    list(grant, project, filter, page) {
      check(grant, 'environment:read', project);
      return environments.list(null, project, filter, page);
    },
    one(grant, project, id) {
      check(grant, 'environment:read', project);
      return environments.byId(null, project, id);
    },
    async stopJobs(grant, project, id) {
      check(grant, 'environment:write', project);
      const { state } = await found(project, id);
      return state === 'stopped' ? 0 : (await stopJobsOf(deps, null, id)).length;
    },
    async stop(grant, project, id, run) {
      check(grant, 'environment:write', project);
      if (run !== undefined) check(run, 'job:run', project);
      const one = await found(project, id);
      const pipeline = (await stopJobsOf(deps, null, id))[0]?.job.pipelineId;
      const change = await transactor.write(async (tx) => {
        if (pipeline !== undefined) await deps.jobs.lockPipeline(tx, pipeline);
        await grant.confirm(tx);
        await run?.confirm(tx);
        const stops = run === undefined || one.state === 'stopped' ? [] : await stopJobsOf(deps, tx, id);
        for (const stop of stops) await playStop(deps, tx, stop, await starter(deps, tx, run ?? grant, stop.job));
        const state = stops.length > 0 ? 'stopping' : 'stopped';
        const made = { state, autoStopAt: null, updatedAt: clock.now() } as const;
        await environments.change(tx, id, made);
        return made;
      });
      deps.wakeup.changed();
      return { ...one, ...change };
    },
    async remove(grant, project, id) {
      check(grant, 'environment:write', project);
      if ((await found(project, id)).state !== 'stopped') throw new JobpassError('access_denied', 'Stop the environment first.');
      await transactor.write(async (tx) => {
        await grant.confirm(tx);
        await environments.remove(tx, id);
      });
    },
    deployments(grant, project, filter, page) {
      check(grant, 'deployment:read', project);
      return environments.deployments(null, project, filter, page);
    },
    deployment(grant, project, id) {
      check(grant, 'deployment:read', project);
      return environments.deployment(null, project, id);
    },
    async environmentsOf(grant, project, jobs) {
      check(grant, 'deployment:read', project);
      const ids = new Set(jobs.flatMap(({ environmentId }) => environmentId ?? []));
      const rows = await Promise.all([...ids].map((id) => environments.byId(null, project, id)));
      return new Map(rows.flatMap((row) => (row === undefined ? [] : [[row.id, row] as const])));
    },
  };
}
