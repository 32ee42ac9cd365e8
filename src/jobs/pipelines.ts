import { assert } from '../base/assert.ts';
import { JobpassError } from '../base/errors.ts';
import type { JobId, PipelineId, ProjectId } from '../base/ids.ts';
import { limits } from '../base/limits.ts';
import { zeroOid } from '../base/ids.ts';
import { type Grant, type Permission, verifyGrant } from '../pass/grant.ts';
import type { JobRecord, JobStatus } from '../ports/jobs.ts';
import type { Tx } from '../ports/tx.ts';
import { advance } from './advance.ts';
import { chainDepthFor, createPipeline, pipelinesOfPush } from './create.ts';
import type { JobsDeps } from './deps.ts';
import { artifactKey, traceKey } from './keys.ts';
import type { Pipelines } from './jobs.ts';
import { hasEnded } from './state.ts';

const readers: readonly Permission[] = [
  'pipeline:read',
  'job:read',
  'pipeline:create',
  'pipeline:update',
  'job:run',
  'job:update',
  'artifact:read',
];

export function makePipelines(deps: JobsDeps): Pipelines {
  const { jobs, transactor, clock } = deps;

  const require = (grant: Grant, project: ProjectId, wanted: readonly Permission[] = readers): void => {
    const held = grant.accesses.find((access) => wanted.includes(access.permission));
    assert(held !== undefined, 'the grant covers no permission of the method');
    if (held.permission !== 'job:self') verifyGrant(grant, held.permission, { kind: 'project', id: project });
  };
  const pipelineIn = async (project: ProjectId, id: PipelineId) => {
    const row = await jobs.pipeline(null, id);
    return row?.projectId === project ? row : undefined;
  };
  const jobIn = async (project: ProjectId, id: JobId): Promise<JobRecord> => {
    const row = await jobs.job(null, id);
    if (row?.projectId !== project) throw new JobpassError('not_found', {});
    return row;
  };

  /** Running → canceling (the runner then runs after_script) or at once; all that waits → canceled. */
  const cancelOne = async (tx: Tx, job: JobRecord, force: boolean): Promise<boolean> => {
    const now = clock.now();
    if (job.status === 'running' && !force) return jobs.changeJob(tx, job.id, ['running'], { status: 'canceling', cancelingSince: now });
    const done = await jobs.changeJob(tx, job.id, ['created', 'pending', 'manual', 'running', 'canceling'], {
      status: 'canceled',
      finishedAt: now,
      failureReason: null,
    });
    // A forced cancel kills the passes in the same commit (R2).
    if (done) await deps.revoker.revokeForJob(tx, job.id, 'the job was canceled');
    return done;
  };
  const afterwards = async (id: JobId): Promise<JobRecord> => {
    deps.wakeup.changed();
    const row = await jobs.job(null, id);
    if (row === undefined) throw new JobpassError('not_found', {});
    if (hasEnded(row.status)) deps.revoker.jobEnded(id);
    return row;
  };
  /** A job that a pass starts counts as started by a pass (R5): only within the chain depth. */
  const checkChain = async (grant: Grant, project: ProjectId): Promise<void> => {
    if (grant.identity.kind !== 'pass') return;
    const target = await deps.directory.project(null, project);
    const depth = target === undefined ? undefined : await chainDepthFor(deps, grant.identity.jobId, target);
    if (depth === undefined) throw new JobpassError('access_denied', chainText);
  };
  const retryOne = async (tx: Tx, grant: Grant, job: JobRecord): Promise<JobRecord> => {
    const [actor] = grant.principals;
    if (actor === undefined) throw new JobpassError('credential_missing');
    if (!hasEnded(job.status) || job.retriedById !== null) throw new JobpassError('unprocessable', 'Job is not retryable');
    const [made] = await jobs.insertJobs(tx, [{ ...newJobOf(job), userId: actor, status: 'pending', createdAt: clock.now() }]);
    if (made === undefined) throw new JobpassError('internal');
    await jobs.changeJob(tx, job.id, [job.status], { retriedById: made.id });
    return made;
  };

  return {
    async pushed(event) {
      await pipelinesOfPush(deps, event);
    },
    async create(grant, project, request) {
      require(grant, project, ['pipeline:create']);
      if (request.variables.length > limits.variablesPerPipeline)
        throw new JobpassError('too_large', `At most ${limits.variablesPerPipeline} variables.`);
      const facts = await deps.directory.project(null, project);
      if (facts === undefined) throw new JobpassError('not_found', { what: 'Project' });
      const { identity } = grant;
      const depth = identity.kind === 'pass' ? await chainDepthFor(deps, identity.jobId, facts) : 0;
      if (depth === undefined) throw new JobpassError('access_denied', chainText);
      const found = await deps.forge.repository.resolve(grant, project, request.ref);
      if (found?.ref === null || found === undefined)
        throw new JobpassError('invalid_input', { fields: { base: ['Reference not found'] } });
      const made = await createPipeline(deps, {
        confirm: (tx) => grant.confirm(tx),
        project: facts,
        ref: found.ref.replace(/^refs\/(?:heads|tags)\//, ''),
        tag: found.ref.startsWith('refs/tags/'),
        sha: found.oid,
        beforeSha: zeroOid,
        source: 'api',
        creators: grant.principals,
        parentJobId: identity.kind === 'pass' ? identity.jobId : null,
        chainDepth: depth,
        variables: request.variables,
      });
      if (made === undefined) throw new JobpassError('invalid_input', { fields: { base: ['Missing CI config file: .gitlab-ci.yml'] } });
      if (made.yamlErrors !== null) throw new JobpassError('invalid_input', { fields: { base: made.yamlErrors.split('\n') } });
      return made;
    },
    async one(grant, project, id) {
      require(grant, project, [...readers, 'job:self']);
      return pipelineIn(project, id);
    },
    async list(grant, project, filter, page) {
      require(grant, project);
      return jobs.listPipelines(null, project, filter, page);
    },
    async jobsOf(grant, project, id) {
      require(grant, project);
      if ((await pipelineIn(project, id)) === undefined) throw new JobpassError('not_found', {});
      return jobs.jobsOfPipeline(null, id);
    },
    async listJobs(grant, project, statuses, page) {
      require(grant, project);
      return jobs.listJobs(null, project, statuses, page);
    },
    async job(grant, project, id) {
      require(grant, project);
      return jobIn(project, id);
    },
    async ownJob(grant) {
      verifyGrant(grant, 'job:self', { kind: 'instance' });
      const { identity } = grant;
      const row = identity.kind === 'job' || identity.kind === 'pass' ? await jobs.job(null, identity.jobId) : undefined;
      if (row === undefined) throw new JobpassError('not_found', { what: 'Job' });
      return row;
    },
    async trace(grant, project, id) {
      require(grant, project);
      return deps.traces.read(traceKey((await jobIn(project, id)).id));
    },
    async artifacts(grant, project, id) {
      require(grant, project, ['artifact:read']);
      const row = await jobIn(project, id);
      if (row.artifactsFile === null) return undefined;
      return { filename: row.artifactsFile, ...(await deps.blobs.open(artifactKey(row.id))) };
    },
    async cancelJob(grant, project, id, force) {
      require(grant, project, ['job:update']);
      const row = await jobIn(project, id);
      const done = await transactor.write(async (tx) => {
        await grant.confirm(tx);
        const changed = await cancelOne(tx, row, force);
        if (changed) await advance(deps, tx, row.pipelineId);
        return changed;
      });
      if (!done) throw new JobpassError('unprocessable', 'Job cannot be canceled: it has ended');
      return afterwards(id);
    },
    async retryJob(grant, project, id) {
      require(grant, project, ['job:run']);
      await checkChain(grant, project);
      const row = await jobIn(project, id);
      const made = await transactor.write(async (tx) => {
        await grant.confirm(tx);
        const retried = await retryOne(tx, grant, row);
        await advance(deps, tx, row.pipelineId);
        return retried;
      });
      return afterwards(made.id);
    },
    async playJob(grant, project, id) {
      require(grant, project, ['job:run']);
      await checkChain(grant, project);
      const row = await jobIn(project, id);
      const [actor] = grant.principals;
      if (actor === undefined) throw new JobpassError('credential_missing');
      await transactor.write(async (tx) => {
        await grant.confirm(tx);
        // Who plays it lends the rights, not who made the pipeline (A56).
        const done = await jobs.changeJob(tx, id, ['manual'], { status: 'pending', userId: actor, queuedAt: clock.now() });
        if (!done) throw new JobpassError('invalid_input', 'Unplayable Job');
        await advance(deps, tx, row.pipelineId);
      });
      return afterwards(id);
    },
    async cancel(grant, project, id) {
      require(grant, project, ['pipeline:update']);
      if ((await pipelineIn(project, id)) === undefined) throw new JobpassError('not_found', {});
      const ended: JobId[] = [];
      await transactor.write(async (tx) => {
        await grant.confirm(tx);
        for (const job of await jobs.jobsOfPipeline(tx, id))
          if (!hasEnded(job.status) && (await cancelOne(tx, job, false))) ended.push(job.id);
        await advance(deps, tx, id);
      });
      for (const job of ended) await afterwards(job);
      return (await pipelineIn(project, id)) ?? gone();
    },
    async retry(grant, project, id) {
      require(grant, project, ['pipeline:update']);
      await checkChain(grant, project);
      if ((await pipelineIn(project, id)) === undefined) throw new JobpassError('not_found', {});
      await transactor.write(async (tx) => {
        await grant.confirm(tx);
        const rows = (await jobs.jobsOfPipeline(tx, id)).filter((job) => job.retriedById === null);
        for (const job of rows) if (job.status === 'failed' || job.status === 'canceled') await retryOne(tx, grant, job);
        for (const job of rows)
          if (job.status === 'skipped')
            await jobs
              .insertJobs(tx, [{ ...newJobOf(job), createdAt: clock.now() }])
              .then(([made]) => (made === undefined ? false : jobs.changeJob(tx, job.id, ['skipped'], { retriedById: made.id })));
        await advance(deps, tx, id);
      });
      deps.wakeup.changed();
      return (await pipelineIn(project, id)) ?? gone();
    },
  };
}

const chainText =
  'A job started by a pass would be a job started by a job: the project does not allow that (jobpass_chain_depth is 0; R5).';

function newJobOf(job: JobRecord) {
  const { pipelineId, projectId, name, stage, stageIndex, ref, tag, sha, userId, allowFailure, when, tags, timeoutSeconds, plan, needs } =
    job;
  const status: JobStatus = 'created';
  return {
    pipelineId,
    projectId,
    name,
    stage,
    stageIndex,
    status,
    ref,
    tag,
    sha,
    userId,
    allowFailure,
    when,
    tags,
    timeoutSeconds,
    plan,
    needs,
    retriedById: null,
  };
}

function gone(): never {
  throw new JobpassError('not_found', {});
}
