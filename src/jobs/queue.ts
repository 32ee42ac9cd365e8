import { isJobpassError, JobpassError } from '../base/errors.ts';
import type { JobId, Oid } from '../base/ids.ts';
import { randomBase62, Secret } from '../base/secret.ts';
import { assistProblem } from '../pass/assist.ts';
import { inputsKey } from '../pass/inputs-key.ts';
import { issuePasses } from '../pass/issue.ts';
import { secretText } from '../pipeline/given.ts';
import type { PlanJob } from '../pipeline/plan.ts';
import type { JobRecord, PipelineRecord, PipelineVariable } from '../ports/jobs.ts';
import type { RunnerRecord } from '../ports/runners.ts';
import type { ProjectFacts, UserFacts } from '../ports/directory.ts';
import type { PassLimit } from '../ports/passes.ts';
import type { Exposure, FailureReason, JobPayload } from '../wire/runner.ts';
import type { Principals } from '../pass/principals.ts';
import { advance } from './advance.ts';
import { boundsOf } from './bounds.ts';
import { Candidates } from './candidates.ts';
import { dependenciesOf } from './dependencies.ts';
import type { JobsDeps } from './deps.ts';
import { exposureOf, withinBounds } from './exposure.ts';
import { extendedToken } from './extended-token.ts';
import { givenAbove } from './given-above.ts';
import { inheritedOf } from './inherited.ts';
import { idTokensOf } from './id-tokens.ts';
import { type KeyedCache, keyedCaches } from './job-caches.ts';
import type { ClaimRequest, Queue } from './jobs.ts';
import { jobVariablesOf } from './job-variables.ts';
import { type KeptVariable, keptVariables, unopened } from './kept-variables.ts';
import { traceKey } from './keys.ts';
import { buildPayload, payloadProblem } from './payload.ts';
import { dotenvVariables } from './dotenv.ts';
import { environmentVariables, type JobValueFacts, jobValues, predefinedOf } from './job-values.ts';
import { remoteNeeds, remoteRefusal } from './remote-needs.ts';
import { pipelineVariables } from './predefined.ts';
import { missingFeatures } from './features.ts';
import { type JobLimits, jobLimits } from './job-limits.ts';
import { retryFailed } from './retry.ts';
import { mayRunOn } from './ref-rights.ts';
import type { StoredPlan } from './stored-plan.ts';
import { asSystem } from './system.ts';
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
  readonly rawGlobals: readonly string[];
  readonly predefined: ReadonlyMap<string, string>;
  readonly kept: readonly KeptVariable[];
  readonly caches: readonly KeyedCache[];
  readonly environment: string | undefined;
  readonly idTokens: ReadonlyMap<string, Secret>;
  readonly protected: boolean;
  readonly ofEnvironment: readonly (readonly [string, string])[];
  readonly remoteNeeds: readonly JobId[];
  readonly dependencies: readonly JobRecord[];
  readonly principals: Principals;
  /** False: its ordinary token only, for a runner without trust or over an insecure transport. */
  readonly withPass: boolean;
  readonly exposure: Exposure;
  readonly why: string;
  /** What the job bounds its full pass to. */
  readonly bounded: JobLimits;
  /** What bounds both its passes, as a pass started it. */
  readonly inherited: readonly PassLimit[];
}

/** Who asks for a job, and how. */
interface Asking extends ClaimRequest {
  readonly runner: RunnerRecord;
}

export function makeQueue(deps: JobsDeps): Queue {
  const { jobs, transactor } = deps;
  const candidates = new Candidates(deps);
  deps.wakeup.matchBy(
    (waiters) => candidates.match(waiters),
    (error) => deps.log.error('queue.look_failed', {}, error),
  );

  async function claim(asking: Asking): Promise<{ payload: JobPayload; job: JobRecord } | undefined> {
    const tried = new Set<JobId>();
    while (tried.size < triesPerRequest) {
      const job = await candidates.take(asking.runner, tried);
      if (job === undefined) return undefined;
      tried.add(job.id);
      try {
        const prepared = await prepare(deps, asking, job);
        const started = 'failed' in prepared ? await fail(deps, job, 'pending', prepared.failed) : await start(deps, asking, prepared);
        if (started !== undefined) return { payload: started, job };
      } catch (error) {
        // One job that cannot be prepared must not keep the others from running.
        if (isJobpassError(error, 'store_unavailable') || isJobpassError(error, 'audit_unavailable')) throw error;
        deps.log.error('job.not_started', { job: job.id }, error);
        await giveUp(deps, candidates, job, error);
      } finally {
        candidates.release(job.id);
      }
    }
    return undefined;
  }

  return {
    version: () => deps.wakeup.version,
    wait: (runner, seen, timeoutMs) => deps.wakeup.wait({ runnerId: runner.id, asked: runner }, seen, timeoutMs),
    close: () => deps.wakeup.close(),
    async claim(runner, request) {
      // As it is now: the request may have waited long since its runner was read.
      const current = await deps.runners.byId(null, runner.id);
      if (current === undefined || current.paused) return undefined;
      const claimed = await claim({ ...request, runner: current });
      if (claimed === undefined) return undefined;
      const { payload, job } = claimed;
      return {
        payload,
        async withdraw() {
          await transactor.write(async (tx) => {
            await jobs.lockPipeline(tx, job.pipelineId);
            const back = await jobs.changeJob(tx, job.id, ['running'], {
              status: 'pending',
              runnerId: null,
              managerId: null,
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

/** Why a job cannot run at all. */
interface Failed {
  readonly why: string;
  readonly reason: FailureReason | 'missing_dependency_failure';
}

async function prepare(
  deps: JobsDeps,
  { runner, signed, secure, features }: Asking,
  job: JobRecord,
): Promise<Prepared | { failed: Failed }> {
  const no = (why: string, reason: Failed['reason'] = 'runner_system_failure') => ({ failed: { why, reason } });
  const project = await deps.directory.project(null, job.projectId);
  const pipeline = await deps.jobs.pipeline(null, job.pipelineId);
  const user = (await deps.directory.users(null, [job.userId])).get(job.userId);
  if (project === undefined || pipeline === undefined) return no('its project is gone');
  if (project.archived) return no('its project is archived');
  if (user === undefined || user.state !== 'active') return no('the user who started it is blocked');
  // The right that it was started with may be gone by now (A7).
  if (!(await mayRunOn(deps, null, [job.userId], job.projectId, { name: job.ref, tag: job.tag }, true)))
    return no('the user who started it may no longer run jobs on this ref');
  const isProtected = await refProtected(deps, job);
  const { job: plan, globals, rawGlobals = [] }: StoredPlan = JSON.parse(job.plan);
  const missing = missingFeatures(plan, features);
  if (missing.length > 0) return no(`its runner lacks ${missing.join(', ')}`, 'runner_unsupported');
  const environment = plan.environment?.name;
  const kept = await keptVariables(deps, project.id, { protected: isProtected, environment }).catch(unopened);
  if (kept instanceof JobpassError) return no(kept.message);
  const stored = { project, pipeline, user, job, plan, globals, rawGlobals, kept };
  const remote = await remoteOf(deps, stored);
  const dependencies = [...(await dependenciesOf(deps, job, plan)), ...remote.flatMap((need) => need ?? [])];
  // Each asks git: side by side, as somebody waits for the job.
  const [[commit, caches], principals] = await Promise.all([
    asSystem(deps, 'job_payload', project.id, `job-${job.id}`, (grant) =>
      Promise.all([
        deps.forge.repository.commit(grant, project.id, job.sha),
        keyedCaches(deps.forge, grant, project.id, job.sha as Oid, plan.caches ?? []),
      ]),
    ),
    principalsOfJob(
      deps,
      project,
      pipeline,
      job,
      runner,
      dependencies,
      kept.flatMap(({ setBy }) => setBy ?? []),
    ),
  ]);
  const lacks = await remoteRefusal(deps, job, pipeline, principals, remote);
  if (lacks !== undefined) return no(lacks, 'missing_dependency_failure');
  const predefined = pipelineVariables(deps.instance, {
    project,
    user,
    ref: job.ref,
    tag: job.tag,
    sha: job.sha,
    beforeSha: pipeline.beforeSha,
    source: pipeline.source,
    sourceVariables: pipeline.sourceVariables,
    protected: isProtected,
    commit,
  });
  const reported = [...dotenvVariables(dependencies)];
  const values = jobValues(deps, { ...stored, predefined, reported });
  const secret = values.secretIn(plan.environment?.url ?? '');
  if (secret !== undefined) return no(`environment:url: ${secretText(secret)}`);
  const bounds = await boundsOf(deps, null, project, job.userId);
  const last = (variables: readonly PipelineVariable[]) => (name: string) => variables.findLast(({ key }) => key === name)?.value;
  const [ofPipeline, ofPlay] = [last(pipeline.variables), last(job.variables)];
  const ofKept = (name: string) => kept.find(({ key }) => key === name)?.value.reveal();
  const above = await givenAbove(deps, pipeline);
  const { exposure, why } = exposureOf({
    asked: plan.variables['JOBPASS_EXPOSE'] ?? globals['JOBPASS_EXPOSE'],
    given: ofPipeline('JOBPASS_EXPOSE'),
    played: ofPlay('JOBPASS_EXPOSE'),
    kept: ofKept('JOBPASS_EXPOSE'),
    above: above.flatMap((of) => of('JOBPASS_EXPOSE') ?? []),
    bounds,
    runner,
    signed,
  });
  const variable = (name: string): string | undefined => plan.variables[name] ?? globals[name];
  const bounded = await jobLimits(deps.directory, [
    { by: 'the job', permissions: variable('JOBPASS_PERMISSIONS'), projects: variable('JOBPASS_PROJECTS') },
    { by: 'the pipeline', permissions: ofPipeline('JOBPASS_PERMISSIONS'), projects: ofPipeline('JOBPASS_PROJECTS') },
    { by: 'a CI/CD variable', permissions: ofKept('JOBPASS_PERMISSIONS'), projects: ofKept('JOBPASS_PROJECTS') },
    { by: 'who played it', permissions: ofPlay('JOBPASS_PERMISSIONS'), projects: ofPlay('JOBPASS_PROJECTS') },
    ...above.map((of) => ({ by: 'a pipeline above', permissions: of('JOBPASS_PERMISSIONS'), projects: of('JOBPASS_PROJECTS') })),
  ]);
  const inherited = await inheritedOf(deps, pipeline);
  const timed = { ...job, timeoutSeconds: Math.min(job.timeoutSeconds, runner.maximumTimeoutSeconds ?? Infinity) };
  const facts = { project, pipeline, user, plan, environment, principals, protected: isProtected, job: timed };
  // An audience is for others to read: no secret becomes part of one.
  const audience = jobVariablesOf({ ...facts, predefined, secrets: [], globals, rawGlobals, dependencies, kept: [] });
  const idTokens = await idTokensOf(deps.idTokens, { ...facts, instance: deps.instance, runner }, audience, deps.clock.now());
  // In clear nothing of a pass goes out (R16).
  const withPass = secure && runner.trust !== 'none';
  return {
    ...facts,
    globals,
    rawGlobals,
    predefined,
    kept,
    caches,
    idTokens,
    ofEnvironment: environmentVariables(plan, values),
    remoteNeeds: remote.flatMap((need) => need?.id ?? []),
    dependencies,
    withPass,
    exposure,
    why,
    bounded: { ...bounded, notes: [...bounded.notes, ...inherited.notes] },
    inherited: inherited.limits,
  };
}

/** What the job needs of other pipelines; most need nothing, and ask git nothing more. */
async function remoteOf(
  deps: JobsDeps,
  stored: Omit<JobValueFacts, 'predefined' | 'reported'>,
): Promise<readonly (JobRecord | undefined)[]> {
  const { project, pipeline, user, job, plan } = stored;
  if (plan.remoteNeeds === undefined) return [];
  const predefined = await predefinedOf(deps, project, user, pipeline, job);
  return remoteNeeds(deps, pipeline, plan, jobValues(deps, { ...stored, predefined, reported: [] }));
}

/** The one transaction of R2: pending → running, the job token, and the passes; all or nothing, one claimant (A46). */
async function start(deps: JobsDeps, { runner, managerId }: Asking, prepared: Prepared): Promise<JobPayload | undefined> {
  const { job, project, pipeline, principals, exposure } = prepared;
  const jobToken = new Secret(`glcbt-${randomBase62(40)}`);
  const now = deps.clock.now();
  const started = await deps.transactor.write(async (tx) => {
    // What the runner was trusted with may have changed while git was read.
    const current = await deps.runners.held(tx, runner.id);
    if (current === undefined || current.paused || !sameTrust(current, runner)) return undefined;
    if (!withinBounds(exposure, await boundsOf(deps, tx, project, job.userId))) return undefined;
    await deps.jobs.lockPipeline(tx, pipeline.id);
    const mine = await deps.jobs.changeJob(tx, job.id, ['pending'], {
      status: 'running',
      runnerId: runner.id,
      managerId,
      tokenDigest: jobToken.digest(),
      startedAt: now,
      contactAt: now,
      remoteNeeds: prepared.remoteNeeds,
    });
    if (!mine) return undefined;
    // Also where the runner gets no pass: who consumes what it makes is told whose hands were in it (R3).
    await deps.jobRights.record(tx, job.id, {
      principals: principals.list,
      provable: !principals.ownProjectOnly && deps.instance.principals === 'intersect',
      sources: prepared.dependencies.map(({ id }) => id),
    });
    const passes = !prepared.withPass
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
          limits: prepared.bounded.limits,
          inherited: prepared.inherited,
          now,
        });
    await advance(deps, tx, pipeline.id);
    return { passes };
  });
  if (started === undefined) return undefined;
  const extended =
    started.passes === undefined
      ? undefined
      : await extendedToken({ addresses: deps.instance.addresses, directory: deps.directory }, prepared, started.passes);
  // For a runner that ignores the field (DESIGN §3, `assist: expose`): what is exposed is decided alike.
  const inVariable = runner.assist === 'expose' && assistProblem(runner) === undefined;
  const payload = buildPayload({
    ...prepared,
    job: { ...job, startedAt: now },
    runner,
    instance: deps.instance,
    jobToken,
    extended,
    inVariable,
    inputsKey: inputsKey(prepared.protected, principals, job.id),
  });
  const problem = payloadProblem(payload, inVariable);
  if (problem !== undefined) return fail(deps, job, 'running', { why: problem, reason: 'runner_system_failure' });
  deps.log.info('job.started', {
    job: job.id,
    project: project.id,
    runner: runner.id,
    exposure: extended?.exposure ?? 'none',
    principals: principals.list.length,
  });
  return payload;
}

/** Nothing that was decided by what the runner is has changed. */
function sameTrust(one: RunnerRecord, other: RunnerRecord): boolean {
  return (
    one.trust === other.trust &&
    one.unsafeAccepted === other.unsafeAccepted &&
    one.publicKey === other.publicKey &&
    one.pinned?.verdict === other.pinned?.verdict &&
    one.assist === other.assist &&
    // Whose rights were intersected, too.
    one.vouched === other.vouched &&
    one.responsibleId === other.responsibleId
  );
}

/** What will be the same at the next try fails the job; anything else may pass. In both cases the others get their turn. */
async function giveUp(deps: JobsDeps, candidates: Candidates, job: JobRecord, error: unknown): Promise<void> {
  candidates.putOff(job.id);
  if (!isJobpassError(error) || !forGood.has(error.code)) return;
  await fail(deps, job, 'pending', { why: error.message, reason: 'runner_system_failure' }).catch((cause: unknown) =>
    deps.log.error('job.not_failed', { job: job.id }, cause),
  );
}

const forGood: ReadonlySet<string> = new Set(['too_large', 'invalid_input', 'unprocessable', 'not_found']);

/** @param from the only state that it is failed from: another node may have started it meanwhile */
async function fail(deps: JobsDeps, job: JobRecord, from: 'pending' | 'running', { why, reason }: Failed): Promise<undefined> {
  const done = await deps.transactor.write(async (tx) => {
    await deps.jobs.lockPipeline(tx, job.pipelineId);
    const changed = await deps.jobs.changeJob(tx, job.id, [from], {
      status: 'failed',
      failureReason: reason,
      failureText: why,
      finishedAt: deps.clock.now(),
    });
    if (!changed) return false;
    await retryFailed(deps, tx, job, { reason, exitCode: null });
    await deps.revoker.revokeForJob(tx, job.id, why);
    await advance(deps, tx, job.pipelineId);
    return true;
  });
  if (!done) return;
  // No runner has written there, and none will: whoever looks for the reason in the trace finds it.
  await deps.traces
    .append(traceKey(job.id), 0, Buffer.from(`ERROR: Job failed: ${why}\n`))
    .catch((error: unknown) => deps.log.error('job.reason_not_kept', { job: job.id }, error));
  deps.log.warn('job.failed_at_start', { job: job.id, why });
  deps.revoker.jobEnded(job.id);
  deps.wakeup.changed();
}
