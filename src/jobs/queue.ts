import { isoTime } from '../base/clock.ts';
import { JobpassError } from '../base/errors.ts';
import { randomBase62, Secret } from '../base/secret.ts';
import { type IssuedPasses, issuePasses } from '../pass/issue.ts';
import type { PlanJob } from '../pipeline/plan.ts';
import type { JobRecord, PipelineRecord, RunnerRecord } from '../ports/jobs.ts';
import type { ProjectFacts, UserFacts } from '../ports/directory.ts';
import type { Exposure, ExtendedJobToken, JobPayload } from '../wire/runner.ts';
import type { Principals } from '../pass/principals.ts';
import { advance } from './advance.ts';
import { systemGrant } from './create.ts';
import type { JobsDeps } from './deps.ts';
import { exposureOf } from './exposure.ts';
import type { Queue, SignedReport } from './jobs.ts';
import { buildPayload, payloadProblem } from './payload.ts';
import { pipelineVariables } from './predefined.ts';
import { principalsOfJob, refProtected } from './whose.ts';

/** Jobs that one request may turn down (their user is gone, their project archived) before it comes away empty. */
const triesPerRequest = 10;

/** Everything about a job that is known before the transaction that starts it: git is slow, a transaction must not be. */
interface Prepared {
  readonly job: JobRecord;
  readonly project: ProjectFacts;
  readonly pipeline: PipelineRecord;
  readonly user: UserFacts;
  readonly plan: PlanJob;
  readonly globals: Readonly<Record<string, string>>;
  readonly predefined: ReadonlyMap<string, string>;
  readonly protected: boolean;
  readonly dependencies: readonly JobRecord[];
  readonly principals: Principals;
  readonly exposure: Exposure;
  readonly why: string;
}

export function makeQueue(deps: JobsDeps): Queue {
  const { jobs, transactor } = deps;

  const candidate = (runner: RunnerRecord, projectIds: readonly JobRecord['projectId'][] | undefined, skip: ReadonlySet<number>) =>
    transactor.write(async (tx) => {
      const filter = {
        runnerId: runner.id,
        tags: runner.tags,
        runUntagged: runner.runUntagged,
        protectedOnly: runner.protectedOnly,
        ...(projectIds === undefined ? {} : { projectIds }),
      };
      return (await jobs.claimCandidates(tx, filter, triesPerRequest + skip.size)).find((job) => !skip.has(job.id));
    });

  async function claim(runner: RunnerRecord, signed: SignedReport | null): Promise<{ payload: JobPayload; job: JobRecord } | undefined> {
    const scope = await scopeOf(deps, runner);
    const skip = new Set<number>();
    for (let tries = 0; tries < triesPerRequest; tries += 1) {
      const job = await candidate(runner, scope, skip);
      if (job === undefined) return undefined;
      skip.add(job.id);
      const prepared = await prepare(deps, runner, signed, job);
      if (prepared === 'unfit') continue;
      if (typeof prepared === 'string') {
        await fail(deps, job, prepared);
        continue;
      }
      const started = await start(deps, runner, prepared);
      if (started !== undefined) return { payload: started, job };
    }
    return undefined;
  }

  return {
    version: () => deps.wakeup.version,
    wait: (_runner, seen, timeoutMs, signal) => deps.wakeup.wait(seen, timeoutMs, signal),
    async claim(runner, signed, secure) {
      if (runner.paused) return undefined;
      // In clear nothing of a pass goes out: the job runs with its ordinary token, as with a runner without trust (R16).
      const claimed = await claim(secure ? runner : { ...runner, trust: 'none' }, signed);
      if (claimed === undefined) return undefined;
      const { payload, job } = claimed;
      return {
        payload,
        async withdraw() {
          await transactor.write(async (tx) => {
            const back = await jobs.changeJob(tx, job.id, ['running'], {
              status: 'pending',
              runnerId: null,
              tokenDigest: null,
              startedAt: null,
              contactAt: null,
            });
            if (!back) return;
            await deps.revoker.revokeForJob(tx, job.id, 'the job was not delivered');
            await advance(deps, tx, job.pipelineId);
          });
          deps.wakeup.changed();
        },
      };
    },
  };
}

/** Projects that a runner of a group or project serves; undefined = all. */
async function scopeOf(deps: JobsDeps, runner: RunnerRecord): Promise<readonly JobRecord['projectId'][] | undefined> {
  if (runner.scope === 'instance') return undefined;
  if (runner.scope === 'project') return [runner.scopeId as JobRecord['projectId']];
  const waiting = await deps.transactor.write((tx) =>
    deps.jobs.claimCandidates(tx, { runnerId: runner.id, tags: runner.tags, runUntagged: runner.runUntagged, protectedOnly: false }, 200),
  );
  const inside: JobRecord['projectId'][] = [];
  for (const id of new Set(waiting.map((job) => job.projectId))) {
    const project = await deps.directory.project(null, id);
    const root = runner.scopeId === null ? undefined : await deps.directory.group(null, runner.scopeId as ProjectFacts['namespaceId']);
    if (project !== undefined && root !== undefined && project.path.toLowerCase().startsWith(`${root.path.toLowerCase()}/`))
      inside.push(id);
  }
  return inside;
}

/** @returns a sentence where the job cannot run, or `unfit` where another runner may take it */
async function prepare(deps: JobsDeps, runner: RunnerRecord, signed: SignedReport | null, job: JobRecord): Promise<Prepared | string> {
  const project = await deps.directory.project(null, job.projectId);
  const pipeline = await deps.jobs.pipeline(null, job.pipelineId);
  const user = (await deps.directory.users(null, [job.userId])).get(job.userId);
  if (project === undefined || pipeline === undefined) return 'its project is gone';
  if (project.archived) return 'its project is archived';
  if (user === undefined || user.state !== 'active') return 'the user who started it is blocked';
  const isProtected = await refProtected(deps, job);
  if (runner.protectedOnly && !isProtected) return 'unfit';
  const { job: plan, globals }: { job: PlanJob; globals: Record<string, string> } = JSON.parse(job.plan);
  const dependencies = await dependenciesOf(deps, job, plan);
  const grant = await systemGrant(deps, 'job_payload', project.id, `job-${job.id}`);
  const commit = await deps.forge.repository.commit(grant, project.id, job.sha);
  await deps.gatekeeper.settle(grant, 'done');
  const predefined = pipelineVariables(deps.instance, {
    project,
    user,
    ref: job.ref,
    tag: job.tag,
    sha: job.sha,
    beforeSha: pipeline.beforeSha,
    source: pipeline.source,
    protected: isProtected,
    commit,
  });
  const principals = await principalsOfJob(deps, project, pipeline, job, runner, dependencies);
  const given = pipeline.variables.findLast((variable) => variable.key === 'JOBPASS_EXPOSE')?.value;
  const { exposure, why } = exposureOf({
    asked: plan.variables['JOBPASS_EXPOSE'] ?? globals['JOBPASS_EXPOSE'],
    given,
    maximum: deps.instance.maxExposure,
    runner,
    signed,
  });
  return { job, project, pipeline, user, plan, globals, predefined, protected: isProtected, dependencies, principals, exposure, why };
}

/** Jobs whose artifacts it fetches. */
async function dependenciesOf(deps: JobsDeps, job: JobRecord, plan: PlanJob): Promise<readonly JobRecord[]> {
  const others = (await deps.jobs.jobsOfPipeline(null, job.pipelineId)).filter(
    (other) => other.retriedById === null && other.artifactsFile !== null,
  );
  if (plan.dependencies !== undefined) return others.filter((other) => plan.dependencies?.includes(other.name) === true);
  if (plan.needs !== undefined)
    return others.filter((other) => plan.needs?.some((need) => need.job === other.name && need.artifacts) === true);
  return others.filter((other) => other.stageIndex < job.stageIndex);
}

/** The one transaction of R2: pending → running, the job token, and the passes; all or nothing, one claimant (A46). */
async function start(deps: JobsDeps, runner: RunnerRecord, prepared: Prepared): Promise<JobPayload | undefined> {
  const { job, project, pipeline, principals, exposure } = prepared;
  const jobToken = new Secret(`glcbt-${randomBase62(40)}`);
  const now = deps.clock.now();
  const started = await deps.transactor.write(async (tx) => {
    const mine = await deps.jobs.changeJob(tx, job.id, ['pending'], {
      status: 'running',
      runnerId: runner.id,
      tokenDigest: jobToken.digest(),
      startedAt: now,
      contactAt: now,
    });
    if (!mine) return undefined;
    const passes =
      runner.trust === 'none'
        ? undefined
        : await issuePasses(deps.passes, tx, {
            jobId: job.id,
            pipelineId: pipeline.id,
            projectId: project.id,
            sha: job.sha,
            principals: principals.list,
            ownProjectOnly: principals.ownProjectOnly,
            chainDepth: pipeline.chainDepth,
            timeoutSeconds: job.timeoutSeconds,
            full: exposure !== 'withhold',
            now,
          });
    await advance(deps, tx, pipeline.id);
    return { passes };
  });
  if (started === undefined) return undefined;
  const extended = started.passes === undefined ? undefined : await extendedToken(deps, prepared, started.passes);
  const payload = buildPayload({ ...prepared, instance: deps.instance, jobToken, extended });
  const problem = payloadProblem(payload);
  if (problem !== undefined) {
    await fail(deps, job, problem);
    throw new JobpassError('internal', {}, new Error(`job ${job.id}: ${problem}`));
  }
  deps.log.info('job.started', {
    job: job.id,
    project: project.id,
    runner: runner.id,
    exposure: extended?.exposure ?? 'none',
    principals: principals.list.length,
  });
  return payload;
}

async function extendedToken(deps: JobsDeps, prepared: Prepared, passes: IssuedPasses): Promise<ExtendedJobToken> {
  const { instance } = deps;
  const users = await deps.directory.users(
    null,
    prepared.principals.list.map((principal) => principal.userId),
  );
  const names = prepared.principals.list.map(
    ({ userId, reason }) => `${users.get(userId)?.username ?? `user ${userId}`} (${reason.replaceAll('_', ' ')})`,
  );
  const exposure = passes.full === null ? 'withhold' : prepared.exposure;
  return {
    ...(passes.full === null ? {} : { token: passes.full.secret.reveal() }),
    fetch_token: passes.fetch.secret.reveal(),
    username: 'gitlab-ci-token',
    expires_at: isoTime(passes.expiresAt),
    exposure,
    notes: [
      prepared.why,
      `rights of: ${names.join(' ∩ ')}`,
      ...(prepared.principals.ownProjectOnly
        ? [`fetches its own project only: ${prepared.principals.notes.join('; ')}`]
        : prepared.principals.notes),
    ],
    hosts: { api: [instance.api], git: [instance.git], registry: instance.registry === null ? [] : [instance.registry] },
  };
}

async function fail(deps: JobsDeps, job: JobRecord, why: string): Promise<void> {
  deps.log.warn('job.failed_at_start', { job: job.id, why });
  await deps.transactor.write(async (tx) => {
    const now = deps.clock.now();
    await deps.jobs.changeJob(tx, job.id, ['pending', 'running'], {
      status: 'failed',
      failureReason: 'runner_system_failure',
      finishedAt: now,
    });
    await deps.revoker.revokeForJob(tx, job.id, why);
    await advance(deps, tx, job.pipelineId);
  });
  deps.revoker.jobEnded(job.id);
}
