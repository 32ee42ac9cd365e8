import { isoTime } from '../../base/clock.ts';
import type { Addresses } from '../../base/addresses.ts';
import type { Clock } from '../../base/clock.ts';
import type { JobId, Oid, RunnerId, UserId } from '../../base/ids.ts';
import { limits } from '../../base/limits.ts';
import { isProtected } from '../../base/refs.ts';
import type { Secret } from '../../base/secret.ts';
import { exposureOf } from '../../jobs/exposure.ts';
import { jobLimits } from '../../jobs/job-limits.ts';
import { inputsKey } from '../../pass/inputs-key.ts';
import { type IssuedPasses, issuePasses } from '../../pass/issue.ts';
import { type PrincipalEvidence, type Principals, principalsOf } from '../../pass/principals.ts';
import type { Directory } from '../../ports/directory.ts';
import type {
  GatewayJobs,
  UpstreamHistory,
  UpstreamJob,
  UpstreamJobs,
  UpstreamPipelines,
  UpstreamRunner,
  UpstreamRunners,
  UpstreamUsers,
} from '../../ports/gateway.ts';
import type { ExposureBounds } from '../../ports/exposure.ts';
import type { TrustedProjects } from '../../ports/trust.ts';
import type { PassLimit, PassStore } from '../../ports/passes.ts';
import type { Transactor } from '../../ports/tx.ts';
import type { Exposure, ExtendedJobToken } from '../../wire/runner.ts';
import { runsOn } from './made-by.ts';
import type { WriteLog } from './write-log.ts';

/** What an admin says of a runner of the forge behind the gateway (R7). */
export interface RunnerTrust {
  readonly trust: 'none' | 'fetch' | 'full';
  /** Its responsible user is not asked (R3). */
  readonly vouched: boolean;
}

export interface IssueDeps {
  readonly upstream: UpstreamJobs & UpstreamUsers & UpstreamHistory & UpstreamRunners & UpstreamPipelines;
  readonly directory: Directory;
  readonly passes: PassStore;
  readonly jobs: GatewayJobs;
  readonly writes: WriteLog;
  readonly transactor: Transactor;
  readonly clock: Clock;
  readonly addresses: Addresses;
  readonly maxExposure: Exposure;
  readonly exposureBounds: ExposureBounds;
  readonly trustedProjects: TrustedProjects;
  readonly principals: 'intersect' | 'starter';
  readonly trustOf: (runner: RunnerId) => RunnerTrust;
  /** So that a restart can ask for the job again. */
  readonly seal: (jobToken: Secret) => string;
}

/** What the payload that the forge hands out says of its job. */
export interface HandedOut {
  readonly id: JobId;
  readonly token: Secret;
  readonly projectId: number;
  readonly timeoutSeconds: number;
  /** `JOBPASS_EXPOSE`, `JOBPASS_PERMISSIONS` and `JOBPASS_PROJECTS` of its variables. */
  readonly asked: string | undefined;
  readonly permissions: string | undefined;
  readonly projects: string | undefined;
  /** Jobs whose artifacts it takes. */
  readonly artifactJobs: readonly JobId[];
}

export type Issue = { readonly extended: ExtendedJobToken } | { readonly none: string };

/**
 * Makes the passes of a job that the forge has just handed out. Who started it is asked with its own token, never read from its variables (A1).
 * @returns `none` with the reason where it gets no pass @throws upstream_failed
 */
export async function issueFor(deps: IssueDeps, handed: HandedOut, runnerToken: Secret): Promise<Issue> {
  const job = await deps.upstream.jobOf(handed.token);
  if (job === 'refused' || job.id !== handed.id || job.projectId !== handed.projectId || job.status !== 'running')
    return { none: 'the forge does not confirm the job' };
  const power = await deps.upstream.powerOf(job.userId);
  // Forwarded as this user, a request would have its admin power, too (R1, A68).
  if (power !== 'none') return { none: `who started the job is an administrator or auditor of the forge, or it cannot be told (${power})` };
  const parent = await parentOf(deps, job);
  if (parent !== undefined) return { none: `the job was started by the pass of job ${parent}, and chains of such jobs are not allowed` };
  const runner = await deps.upstream.runnerOf(runnerToken);
  if (runner === undefined) return { none: 'the runner is unknown' };
  const trust = deps.trustOf(runner.id);
  if (trust.trust === 'none') return { none: "an admin set the runner's trust to none" };
  const principals = await principalsFor(deps, job, handed, runner, trust);
  const { exposure, why } = await exposureFor(deps, job, handed, trust);
  const bounded = await jobLimits(deps.directory, [{ by: 'the job', permissions: handed.permissions, projects: handed.projects }]);
  const issued = await store(deps, job, handed, { runnerId: runner.id, principals, limits: bounded.limits, full: exposure !== 'withhold' });
  const extended = await extendedToken(deps, principals, issued, exposure, [why, ...bounded.notes]);
  const rules = await deps.directory.protectedRefs(null, job.projectId);
  return { extended: { ...extended, inputs_key: inputsKey(isProtected(rules, job.tag ? 'tag' : 'branch', job.ref), principals, job.id) } };
}

/** The job whose pass started this one (R5). What a job of the same pipeline wrote did not start it, unless it is this very job or pipeline. */
async function parentOf(deps: IssueDeps, job: UpstreamJob): Promise<JobId | undefined> {
  for (const { what, by } of await deps.writes.writersOf(job.projectId, runsOn(job))) {
    if (/^(?:job|pipeline):/.test(what)) return by;
    if ((await deps.jobs.byId(null, by))?.pipelineId !== job.pipelineId) return by;
  }
  return deps.writes.unheardAbout(job.projectId, job.createdAt);
}

async function exposureFor(deps: IssueDeps, job: UpstreamJob, handed: HandedOut, { trust }: RunnerTrust) {
  return exposureOf({
    asked: handed.asked,
    given: undefined,
    bounds: [
      { by: 'the instance', maximum: deps.maxExposure },
      { by: 'the project', maximum: await deps.exposureBounds.of(null, { kind: 'project', id: job.projectId }) },
      { by: 'who started it', maximum: await deps.exposureBounds.of(null, { kind: 'user', id: job.userId }) },
    ],
    // The admin who trusts a runner by name in the gateway's settings pins its verdict with it.
    runner: {
      trust,
      unsafeAccepted: false,
      publicKey: null,
      pinned: trust === 'full' ? { verdict: 'expose', reasons: [], at: deps.clock.now() } : null,
    },
    signed: null,
  });
}

/** R3 by what the forge tells; what it does not tell is not provable. */
async function principalsFor(
  deps: IssueDeps,
  job: UpstreamJob,
  handed: HandedOut,
  runner: UpstreamRunner,
  trust: RunnerTrust,
): Promise<Principals> {
  const alone = { pipelines: [], unprotectedCommits: [], pushers: new Map(), runnerOwner: null, artifactPrincipals: [] };
  if (deps.principals === 'starter') return principalsOf({ starter: job.userId, ...alone }, 'starter');
  const unknown: string[] = [];
  if (/^(?:parent_pipeline|pipeline|)$/.test(job.pipelineSource)) unknown.push('the pipeline was started by another one');
  const pipeline = await deps.upstream.pipeline(job.projectId, job.pipelineId);
  if (pipeline === undefined) unknown.push('the forge does not tell who made the pipeline');
  if (runner.scope !== 'instance' && !trust.vouched) unknown.push(`nobody vouches for runner ${runner.id}, which is not the instance's`);
  const artifacts = await artifactPrincipals(deps, handed.artifactJobs);
  if (artifacts === undefined) unknown.push('it takes artifacts of a job that was not handed out through the gateway');
  const commits = await deps.upstream.unprotectedCommits(job.projectId, job.sha as Oid, limits.recordedCommitsPerPush);
  const ref = `refs/${job.tag ? 'tags' : 'heads'}/${job.ref}`;
  const rules = await deps.directory.protectedRefs(null, job.projectId);
  // A project that the starting user trusts by name is trusted whoever last merged there (R3).
  const trusted = await deps.trustedProjects.has(null, job.userId, job.projectId);
  const last =
    !trusted && isProtected(rules, job.tag ? 'tag' : 'branch', job.ref)
      ? { lastPushers: (await deps.upstream.lastPushers(job.projectId, ref)) ?? null }
      : {};
  const evidence: PrincipalEvidence = {
    ...alone,
    starter: job.userId,
    pipelines: [
      ...(pipeline === undefined ? [] : [{ creators: [pipeline.creator], carriesVariables: pipeline.carriesVariables, byPass: false }]),
      ...(await writersAmong(deps, job, commits ?? [])),
    ],
    unprotectedCommits: commits,
    pushers: commits === null ? new Map() : await deps.upstream.pushersOf(job.projectId, commits),
    artifactPrincipals: artifacts ?? [],
    ...last,
  };
  const found = principalsOf(evidence);
  return unknown.length === 0 ? found : { ...found, ownProjectOnly: true, notes: [...found.notes, ...unknown] };
}

/** What a pass wrote counts as written by all its principals, of whom the forge knows one only (A58). */
async function writersAmong(deps: IssueDeps, job: UpstreamJob, commits: readonly Oid[]): Promise<PrincipalEvidence['pipelines']> {
  const writers = new Set((await deps.writes.writersOf(job.projectId, commits)).map(({ by }) => by));
  const creators = (await artifactPrincipals(deps, [...writers])) ?? [];
  return creators.length === 0 ? [] : [{ creators, carriesVariables: false, byPass: true }];
}

async function artifactPrincipals(deps: IssueDeps, jobs: readonly JobId[]): Promise<readonly UserId[] | undefined> {
  const found: UserId[] = [];
  for (const id of jobs) {
    const source = await deps.jobs.byId(null, id);
    const passes = await deps.passes.forJob(null, id);
    // Of a job without passes, or whose principals were not provable, nobody knows whose hands were in it.
    if (source === undefined || passes.length === 0 || passes.some(({ ownProjectOnly }) => ownProjectOnly)) return undefined;
    found.push(source.userId);
    for (const pass of passes) found.push(...pass.principals.map((principal) => principal.userId));
  }
  return found;
}

/** The job's row and its passes, in one transaction: no second pair for it (A46). @throws conflict */
async function store(
  deps: IssueDeps,
  job: UpstreamJob,
  handed: HandedOut,
  { runnerId, principals, limits, full }: { runnerId: RunnerId; principals: Principals; limits: readonly PassLimit[]; full: boolean },
): Promise<IssuedPasses> {
  const now = deps.clock.now();
  const { id, projectId, pipelineId, userId, sha, ref, tag } = job;
  return deps.transactor.write(async (tx) => {
    const at = { state: 'running', startedAt: now, contactAt: now, cancelingSince: null, runnerId } as const;
    const token = { tokenDigest: handed.token.digest(), sealedToken: deps.seal(handed.token) };
    await deps.jobs.insert(tx, { id, projectId, pipelineId, userId, sha, ref, tag, ...token, ...at });
    return issuePasses(deps.passes, tx, {
      jobId: id,
      pipelineId,
      projectId,
      sha,
      principals: principals.list,
      ownProjectOnly: principals.ownProjectOnly,
      chainDepth: 0,
      timeoutSeconds: handed.timeoutSeconds,
      full,
      limits,
      now,
    });
  });
}

async function extendedToken(
  deps: IssueDeps,
  principals: Principals,
  issued: IssuedPasses,
  wanted: Exposure,
  why: readonly string[],
): Promise<ExtendedJobToken> {
  const ids = principals.list.map((principal) => principal.userId);
  const users = await deps.directory.users(null, ids);
  const names = principals.list.map(
    ({ userId, reason }) => `${users.get(userId)?.username ?? `user ${userId}`} (${reason.replaceAll('_', ' ')})`,
  );
  const { urls, registryHosts } = deps.addresses;
  return {
    ...(issued.full === null ? {} : { token: issued.full.secret.reveal() }),
    fetch_token: issued.fetch.secret.reveal(),
    username: 'gitlab-ci-token',
    expires_at: isoTime(issued.expiresAt),
    exposure: issued.full === null ? 'withhold' : wanted,
    notes: [
      ...why,
      `rights of: ${names.join(' ∩ ')}`,
      ...(principals.ownProjectOnly ? [`fetches its own project only: ${principals.notes.join('; ')}`] : principals.notes),
    ],
    hosts: { api: urls, git: urls, registry: registryHosts },
  };
}
