import { JobpassError } from '../base/errors.ts';
import type { JobId, PipelineId, ProjectId, UserId } from '../base/ids.ts';
import { type Grant, type Permission, verifyGrant } from '../pass/grant.ts';
import type { PlanJob } from '../pipeline/plan.ts';
import type { JobRecord, NewJob } from '../ports/jobs.ts';
import type { Tx } from '../ports/tx.ts';
import { advance } from './advance.ts';
import { childrenOf } from './auto-cancel.ts';
import { cancelAll, canceled, cancelOne } from './cancel.ts';
import { checkVariables } from './given.ts';
import type { JobsDeps } from './deps.ts';
import type { Pipelines } from './jobs.ts';
import { mayRunOn, refText } from './ref-rights.ts';
import { reopenAbove } from './reopen.ts';
import { hasEnded, readyStatus } from './state.ts';

type Actions = Pick<Pipelines, 'cancelJob' | 'retryJob' | 'playJob' | 'cancel' | 'retry'>;

/** What changes jobs that exist. Each asks its grant again, and looks at the job again, under the pipeline's lock. */
export function makeActions(deps: JobsDeps): Actions {
  const { jobs, transactor, clock } = deps;

  /** One change under the lock of the job's pipeline. */
  async function onJob<Result>(
    grant: Grant,
    permission: Permission,
    project: ProjectId,
    id: JobId,
    work: (tx: Tx, job: JobRecord) => Promise<Result>,
  ): Promise<Result> {
    verifyGrant(grant, permission, { kind: 'project', id: project });
    const known = await jobs.job(null, id);
    if (known?.projectId !== project) throw notFound();
    return transactor.write(async (tx) => {
      // The pipeline first, everywhere: a confirm locks the row of the job behind a pass.
      await jobs.lockPipeline(tx, known.pipelineId);
      await grant.confirm(tx);
      const job = (await jobs.job(tx, id)) ?? known;
      const result = await work(tx, job);
      await advance(deps, tx, job.pipelineId);
      return result;
    });
  }

  async function onPipeline(
    grant: Grant,
    project: ProjectId,
    id: PipelineId,
    work: (tx: Tx, live: readonly JobRecord[]) => Promise<void>,
  ): Promise<void> {
    verifyGrant(grant, 'pipeline:update', { kind: 'project', id: project });
    await transactor.write(async (tx) => {
      const row = await jobs.lockPipeline(tx, id);
      if (row?.projectId !== project) throw notFound();
      await grant.confirm(tx);
      await work(
        tx,
        (await jobs.jobsOfPipeline(tx, id)).filter((job) => job.retriedById === null),
      );
      await advance(deps, tx, id);
    });
  }

  /** After the commit: long polls hear of it, and what the passes of an ended job have in flight is cut. */
  async function afterwards(id: JobId): Promise<JobRecord> {
    deps.wakeup.changed();
    const row = await jobs.job(null, id);
    if (row === undefined) throw notFound();
    if (hasEnded(row.status)) deps.revoker.jobEnded(id);
    return row;
  }

  async function replace(tx: Tx, job: JobRecord, userId: UserId, status: 'created' | ReturnType<typeof readyStatus>): Promise<JobRecord> {
    const [made] = await jobs.insertJobs(tx, [{ ...newJobOf(job), userId, status, createdAt: clock.now() }]);
    if (made === undefined) throw new JobpassError('internal');
    await jobs.changeJob(tx, job.id, [job.status], { retriedById: made.id });
    return made;
  }

  /** What was skipped gets another chance; who retries lends the rights, not who made the pipeline (A56). */
  async function reviveSkipped(tx: Tx, live: readonly JobRecord[], userId: UserId): Promise<void> {
    for (const job of live) if (job.status === 'skipped') await replace(tx, job, userId, 'created');
  }

  return {
    async cancelJob(grant, project, id, force) {
      await onJob(grant, 'job:update', project, id, async (tx, job) => {
        if (hasEnded(job.status)) throw new JobpassError('unprocessable', 'Job cannot be canceled: it has ended');
        await cancelOne(deps, tx, job, force);
      });
      return afterwards(id);
    },
    async retryJob(grant, project, id, above) {
      const made = await onJob(grant, 'job:run', project, id, async (tx, job) => {
        const actor = await starter(deps, tx, grant, job);
        if (!retryable(job)) throw new JobpassError('unprocessable', 'Job is not retryable');
        const live = (await jobs.jobsOfPipeline(tx, job.pipelineId)).filter((other) => other.retriedById === null);
        const retried = await replace(tx, job, actor, readyStatus(job));
        await reviveSkipped(tx, live, actor);
        return retried;
      });
      await reopenAbove(deps, grant, made.pipelineId, made.userId, replace, above);
      return afterwards(made.id);
    },
    async playJob(grant, project, id, given, above) {
      checkVariables(given);
      const played = await onJob(grant, 'job:run', project, id, async (tx, job) => {
        const userId = await starter(deps, tx, grant, job);
        // A bridge that shows `manual` for its downstream pipeline: played, it would trigger a second one.
        if (job.downstreamId !== null) throw new JobpassError('invalid_input', 'Unplayable Job');
        const status = readyStatus(job);
        const done = await jobs.changeJob(tx, id, ['manual', 'scheduled'], {
          status,
          userId,
          ...(status === 'pending' ? { queuedAt: clock.now() } : {}),
          ...(given.length === 0 ? {} : { variables: given, variablesBy: userId }),
        });
        if (!done) throw new JobpassError('invalid_input', 'Unplayable Job');
        return { pipelineId: job.pipelineId, userId };
      });
      await reopenAbove(deps, grant, played.pipelineId, played.userId, replace, above);
      return afterwards(id);
    },
    async cancel(grant, project, id) {
      const line = [id];
      for (let next = line.shift(); next !== undefined; next = line.shift()) {
        let ended: readonly JobId[] = [];
        await onPipeline(grant, project, next, async (tx, live) => {
          ended = await cancelAll(deps, tx, live, false);
          await deps.commitStatuses.cancelOpen(tx, next, clock.now());
        });
        await canceled(deps, ended);
        // Child pipelines go with their parent (GitLab); those of other projects are theirs.
        line.push(...(await childrenOf(deps, next)).map((child) => child.id));
      }
      return (await jobs.pipeline(null, id)) ?? missing();
    },
    async retry(grant, project, id, above) {
      let by: UserId | undefined;
      await onPipeline(grant, project, id, async (tx, live) => {
        const again = live.filter((job) => job.status === 'failed' || job.status === 'canceled');
        const [first] = again;
        if (first === undefined) return;
        const actor = await starter(deps, tx, grant, first);
        // In their order again, as at first: what waits for another job goes on waiting for it.
        for (const job of again) await replace(tx, job, actor, 'created');
        await reviveSkipped(tx, live, actor);
        by = actor;
      });
      if (by !== undefined) await reopenAbove(deps, grant, id, by, replace, above);
      deps.wakeup.changed();
      return (await jobs.pipeline(null, id)) ?? missing();
    },
  };
}

function retryable(job: JobRecord): boolean {
  return job.retriedById === null && (job.status === 'success' || job.status === 'failed' || job.status === 'canceled');
}

function notFound(): JobpassError {
  return new JobpassError('not_found', {});
}
function missing(): never {
  throw notFound();
}

/** The job as it was planned, without anything that happened to it: a failure that was forgiven counts anew. */
export function newJobOf(job: JobRecord): Omit<NewJob, 'userId' | 'status' | 'createdAt'> {
  const { pipelineId, projectId, name, stage, stageIndex, ref, tag, sha, when, tags, timeoutSeconds, plan, needs } = job;
  const { kind, mirrors, resourceGroup, variables, variablesBy, environmentId, environmentAction } = job;
  const planned: { job: PlanJob } = JSON.parse(plan);
  return {
    pipelineId,
    projectId,
    name,
    stage,
    stageIndex,
    ref,
    tag,
    sha,
    when,
    tags,
    timeoutSeconds,
    plan,
    needs,
    kind,
    mirrors,
    resourceGroup,
    variables,
    variablesBy,
    environmentId,
    environmentAction,
    allowFailure: planned.job.allowFailure,
    retriedById: null,
  };
}

/** Who starts a job that exists; what they may do is asked again when a runner takes it. */
export async function starter(deps: JobsDeps, tx: Tx, grant: Grant, job: JobRecord): Promise<UserId> {
  const [actor] = grant.principals;
  if (actor === undefined) throw new JobpassError('credential_missing');
  // The job would stand in a pipeline that knows nothing of the pass, its principals and its depth (R5, A58).
  if (grant.identity.kind === 'pass')
    throw new JobpassError('access_denied', 'A pass may not retry or play jobs: that would be a job started by a job (R5).');
  if (!(await mayRunOn(deps, tx, [actor], job.projectId, { name: job.ref, tag: job.tag }, true)))
    throw new JobpassError('access_denied', refText);
  return actor;
}
