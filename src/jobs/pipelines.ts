import { JobpassError } from '../base/errors.ts';
import { type JobId, type PipelineId, type ProjectId, zeroOid } from '../base/ids.ts';
import { type Grant, jobBehind, type Permission, verifyGrant } from '../pass/grant.ts';
import type { JobRecord } from '../ports/jobs.ts';
import type { Tx } from '../ports/tx.ts';
import { makeActions } from './actions.ts';
import { chainDepthFor, createPipeline, everybodyBehind, pipelinesOfPush, startsNothing } from './create.ts';
import type { JobsDeps } from './deps.ts';
import { checkInputs, checkVariables } from './given.ts';
import { readGrowing } from './held-back.ts';
import { artifactKey, traceKey } from './keys.ts';
import type { Pipelines } from './jobs.ts';
import { hasEnded } from './state.ts';
import type { PlanJob } from '../pipeline/plan.ts';
import type { Watched } from './watched.ts';
import { pipelinesOfHeads } from './merge-request-pipelines.ts';
import { zipEntry } from './zip-entry.ts';
import { openRequests } from './open-requests.ts';
import { mayRunOn, refText } from './ref-rights.ts';

/** Whoever may act on a job or read it sees its pipeline as well: the answers show both. */
const besideRead: readonly Permission[] = ['job:read', 'job:run', 'job:update', 'job:erase', 'pipeline:update', 'pipeline:create'];

/** Jobs and pipelines as the doors read and make them; what changes a job that exists stands in `actions.ts`. */
export function makePipelines(deps: JobsDeps, watched: Watched): Pipelines {
  const { jobs } = deps;
  const check = (grant: Grant, permission: Permission, project: ProjectId): void =>
    verifyGrant(grant, permission, { kind: 'project', id: project });
  const pipelineIn = async (project: ProjectId, id: PipelineId) => {
    const row = await jobs.pipeline(null, id);
    return row?.projectId === project ? row : undefined;
  };
  const jobIn = async (project: ProjectId, id: JobId): Promise<JobRecord> => {
    const row = await jobs.job(null, id);
    if (row?.projectId !== project) throw new JobpassError('not_found', {});
    return row;
  };
  const archiveOf = async (project: ProjectId, id: JobId) => {
    const { artifactsFile, artifactsSizeBytes, artifactsExpireAt } = await jobIn(project, id);
    if (artifactsFile === null || (artifactsExpireAt !== null && deps.clock.now() >= artifactsExpireAt)) return undefined;
    return { filename: artifactsFile, sizeBytes: artifactsSizeBytes ?? 0 };
  };

  return {
    async pushed(event) {
      await pipelinesOfPush(deps, event);
      await pipelinesOfHeads(deps, event);
    },
    async create(grant, project, request) {
      check(grant, 'pipeline:create', project);
      checkVariables(request.variables);
      checkInputs(request.inputs);
      const facts = await deps.directory.project(null, project);
      if (facts === undefined) throw new JobpassError('not_found', { what: 'Project' });
      const { identity } = grant;
      const byJob = jobBehind(identity);
      const depth = byJob === undefined ? 0 : await chainDepthFor(deps, byJob, facts);
      if (depth === undefined) throw new JobpassError('access_denied', startsNothing);
      const found = await deps.forge.repository.resolve(grant, project, request.ref);
      if (found?.ref === null || found === undefined)
        throw new JobpassError('invalid_input', { fields: { base: ['Reference not found'] } });
      const ref = { name: found.ref.replace(/^refs\/(?:heads|tags)\//, ''), tag: found.ref.startsWith('refs/tags/') };
      const confirm = async (tx: Tx): Promise<void> => {
        await grant.confirm(tx);
        if (request.source === 'trigger' && identity.kind === 'user')
          await deps.triggers.change(tx, identity.tokenId, { lastUsedAt: deps.clock.now() });
        if (!(await mayRunOn(deps, tx, grant.principals, project, ref, byJob === undefined)))
          throw new JobpassError('access_denied', refText);
      };
      const made = await createPipeline(deps, {
        confirm,
        project: facts,
        ref: ref.name,
        tag: ref.tag,
        sha: found.oid,
        beforeSha: zeroOid,
        source: request.source ?? 'api',
        creators: byJob === undefined ? grant.principals : await everybodyBehind(deps, byJob, grant.principals),
        parentJobId: byJob ?? null,
        passId: identity.kind === 'pass' ? identity.passId : null,
        chainDepth: depth,
        variables: request.variables,
        inputs: request.inputs,
        sourceVariables: {
          ...(ref.tag ? {} : await openRequests(deps, project, ref.name)),
          ...(request.source === 'trigger' ? { CI_PIPELINE_TRIGGERED: 'true' } : {}),
        },
      });
      if (made === undefined) throw new JobpassError('invalid_input', { fields: { base: ['Missing CI config file: .gitlab-ci.yml'] } });
      if (made.yamlErrors !== null) throw new JobpassError('invalid_input', { fields: { base: made.yamlErrors.split('\n') } });
      return made;
    },
    async one(grant, project, id) {
      if (grant.accesses.some(({ permission }) => permission === 'job:self')) {
        // A job that asks about itself has no project in its grant: its own it is.
        verifyGrant(grant, 'job:self', { kind: 'instance' });
        const { identity } = grant;
        if ((identity.kind !== 'job' && identity.kind !== 'pass') || identity.pipelineId !== id) return undefined;
      } else {
        const held = besideRead.find((wanted) => grant.accesses.some(({ permission }) => permission === wanted));
        check(grant, held ?? 'pipeline:read', project);
      }
      return pipelineIn(project, id);
    },
    async list(grant, project, filter, page) {
      check(grant, 'pipeline:read', project);
      return jobs.listPipelines(null, project, filter, page);
    },
    async jobsOf(grant, project, id) {
      check(grant, 'job:read', project);
      if ((await pipelineIn(project, id)) === undefined) throw new JobpassError('not_found', {});
      return jobs.jobsOfPipeline(null, id);
    },
    async bridgesOf(grant, project, id) {
      check(grant, 'job:read', project);
      if ((await pipelineIn(project, id)) === undefined) throw new JobpassError('not_found', {});
      const found = (await jobs.jobsOfPipeline(null, id)).filter(({ kind }) => kind === 'bridge');
      return Promise.all(
        found.map(async (bridge) => ({
          bridge,
          downstream: bridge.downstreamId === null || watches(bridge) ? undefined : await jobs.pipeline(null, bridge.downstreamId),
        })),
      );
    },
    async listJobs(grant, project, statuses, page) {
      check(grant, 'job:read', project);
      return jobs.listJobs(null, project, statuses, page);
    },
    async job(grant, project, id) {
      check(grant, 'job:read', project);
      return jobIn(project, id);
    },
    async latest(grant, project, ref, name) {
      check(grant, 'artifact:read', project);
      return deps.flow.latestSuccess(null, project, ref, name);
    },
    async passes(grant, project, id) {
      check(grant, 'job:read', project);
      const job = await jobIn(project, id);
      return { rights: await deps.jobRights.of(null, job.id), passes: await deps.passes.forJob(null, job.id) };
    },
    async ownJob(grant) {
      verifyGrant(grant, 'job:self', { kind: 'instance' });
      const own = jobBehind(grant.identity);
      const row = own === undefined ? undefined : await jobs.job(null, own);
      if (row === undefined) throw new JobpassError('not_found', { what: 'Job' });
      return row;
    },
    async trace(grant, project, id) {
      check(grant, 'job:read', project);
      const job = await jobIn(project, id);
      if (hasEnded(job.status)) return deps.traces.read(traceKey(id));
      watched.look(id);
      return readGrowing(deps.traces, traceKey(id));
    },
    coverage: ({ id }) => jobs.coverageOf(null, id),
    async artifactsAccess(grant, project, id) {
      check(grant, 'artifact:read', project);
      const { job: plan }: { job?: PlanJob } = JSON.parse((await jobIn(project, id)).plan);
      return plan?.artifacts?.access ?? 'all';
    },
    async artifacts(grant, project, id) {
      check(grant, 'artifact:read', project);
      const kept = await archiveOf(project, id);
      return kept === undefined ? undefined : { filename: kept.filename, ...(await deps.blobs.open(artifactKey(id))) };
    },
    async artifactFile(grant, project, id, path) {
      check(grant, 'artifact:read', project);
      const kept = await archiveOf(project, id);
      if (kept === undefined) return undefined;
      return zipEntry((from, end) => deps.blobs.part(artifactKey(id), from, end), kept.sizeBytes, path);
    },
    ...makeActions(deps),
  };
}

/** It shows a pipeline that it did not trigger. */
function watches({ plan }: JobRecord): boolean {
  const { job }: { job: PlanJob } = JSON.parse(plan);
  return job.upstreamProject !== undefined;
}
