import { JobpassError } from '../base/errors.ts';
import { type JobId, parseId, type PipelineId, type ProjectId } from '../base/ids.ts';
import { limits } from '../base/limits.ts';
import type { Permission } from '../pass/grant.ts';
import type { Principals } from '../pass/principals.ts';
import type { PlanJob, PlanRemoteNeed } from '../pipeline/plan.ts';
import type { Expander } from '../pipeline/variables.ts';
import type { JobRecord, PipelineRecord } from '../ports/jobs.ts';
import { bridgeIdentity } from './bridge-rights.ts';
import type { JobsDeps } from './deps.ts';
import { hasEnded } from './state.ts';

/**
 * Jobs of other pipelines whose artifacts a job needs: the newest that succeeded on another project's ref, or one of a pipeline of its own tree.
 * What is not there is told like what is hidden, by `remoteRefusal`.
 * @returns one for each need, undefined where there is none
 */
export async function remoteNeeds(
  deps: Pick<JobsDeps, 'jobs' | 'flow' | 'directory' | 'clock'>,
  pipeline: PipelineRecord,
  plan: PlanJob,
  values: Expander,
): Promise<readonly (JobRecord | undefined)[]> {
  const now = deps.clock.now();
  const found = await Promise.all((plan.remoteNeeds ?? []).map((need) => one(deps, pipeline, need, values)));
  return found.map((job) =>
    job === undefined || job.artifactsFile === null || (job.artifactsExpireAt !== null && now >= job.artifactsExpireAt)
      ? undefined
      : // Its archive alone (GitLab).
        { ...job, dotenv: null },
  );
}

async function one(
  { jobs, flow, directory }: Pick<JobsDeps, 'jobs' | 'flow' | 'directory'>,
  pipeline: PipelineRecord,
  need: PlanRemoteNeed,
  values: Expander,
): Promise<JobRecord | undefined> {
  const name = values.text(need.job);
  if ('project' in need) {
    const project = await directory.projectByPath(null, values.text(need.project));
    return project === undefined ? undefined : flow.latestSuccess(null, project.id, values.text(need.ref), name);
  }
  const id = parseId<PipelineId>(values.text(need.pipeline));
  const other = id === undefined ? undefined : await jobs.pipeline(null, id);
  const top = ({ id: own, upstream }: PipelineRecord): PipelineId => upstream?.rootId ?? own;
  if (other === undefined || other.projectId !== pipeline.projectId || top(other) !== top(pipeline)) return undefined;
  const all = await jobs.jobsOfPipeline(null, other.id);
  return all.find((job) => job.name === name && job.kind === 'build' && job.retriedById === null && hasEnded(job.status));
}

/**
 * Whether everybody behind the job may read what it needs of other projects, now; decided and audited for each project (R1, R3).
 * @returns why not
 */
export async function remoteRefusal(
  deps: JobsDeps,
  job: JobRecord,
  pipeline: PipelineRecord,
  principals: Principals,
  needs: readonly (JobRecord | undefined)[],
): Promise<string | undefined> {
  const missing = 'an artifact that it needs of another pipeline is not there, or not for everybody behind the job';
  const asked = new Set<string>();
  for (const need of needs) {
    if (need === undefined || need.projectId === job.projectId) continue;
    const permissions = readersOf(need);
    const key = `${need.projectId} ${permissions?.join(' ') ?? ''}`;
    if (asked.has(key)) continue;
    asked.add(key);
    if (!(await mayRead(deps, job, pipeline, principals, need.projectId, permissions))) return missing;
  }
  return needs.includes(undefined) ? missing : undefined;
}

/** What its archive takes over the API, it takes here (`artifacts:access`). @returns undefined where it is for its own project's jobs alone */
function readersOf({ plan }: JobRecord): readonly Permission[] | undefined {
  const { job }: { job: PlanJob } = JSON.parse(plan);
  const access = job.artifacts?.access ?? 'all';
  if (access === 'none') return undefined;
  return access === 'all' ? ['artifact:read'] : ['artifact:read', `artifact:read_${access}`];
}

async function mayRead(
  deps: JobsDeps,
  job: JobRecord,
  pipeline: PipelineRecord,
  principals: Principals,
  project: ProjectId,
  permissions: readonly Permission[] | undefined,
): Promise<boolean> {
  if (permissions === undefined) return false;
  const identity = await bridgeIdentity(deps, job, pipeline, principals, false);
  const resource = { kind: 'project', id: project } as const;
  const admission = await deps.gatekeeper.admit(
    identity,
    permissions.map((permission) => ({ permission, resource })),
    {
      door: 'jobs',
      endpoint: 'needs:project',
      requestId: `job-${job.id}`,
      secure: true,
    },
  );
  if (admission.ok) await deps.gatekeeper.settle(admission.grant, 'done');
  return admission.ok;
}

/** A job of another pipeline that this one was given when it was taken; asked again, as rights may have gone since (R2). @throws access_denied */
export async function remoteSource(deps: JobsDeps, job: JobRecord, wanted: JobId): Promise<JobRecord | undefined> {
  if (job.remoteNeeds?.includes(wanted) !== true) return undefined;
  const source = await deps.jobs.job(null, wanted);
  const pipeline = await deps.jobs.pipeline(null, job.pipelineId);
  const rights = await deps.jobRights.of(null, job.id);
  if (source === undefined || pipeline === undefined || rights === undefined || source.artifactsFile === null) return undefined;
  if (source.artifactsExpireAt !== null && deps.clock.now() >= source.artifactsExpireAt) return undefined;
  const principals = { list: rights.principals.slice(0, limits.principals), ownProjectOnly: !rights.provable, notes: [] };
  if (source.projectId !== job.projectId && !(await mayRead(deps, job, pipeline, principals, source.projectId, readersOf(source))))
    throw new JobpassError('access_denied', 'Not everybody behind this job may read that artifact any more.');
  return source;
}
