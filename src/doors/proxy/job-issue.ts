import type { Addresses } from '../../base/addresses.ts';
import type { JobId, RunnerId } from '../../base/ids.ts';
import { isProtected } from '../../base/refs.ts';
import type { Secret } from '../../base/secret.ts';
import { extendedToken } from '../../jobs/extended-token.ts';
import { type IssuedPasses, issuePasses } from '../../pass/issue.ts';
import type { Principals } from '../../pass/principals.ts';
import type { UpstreamJob, UpstreamJobs, UpstreamPipelines, UpstreamRunner } from '../../ports/gateway.ts';
import type { PassLimit } from '../../ports/passes.ts';
import type { Transactor } from '../../ports/tx.ts';
import type { ExtendedJobToken } from '../../wire/runner.ts';
import { type ExposureDeps, exposureFor, limitsFor, type Proof, type RunnerTrust, type VariablesOf } from './job-exposure.ts';
import { type ChainDeps, type Inherited, inheritedFrom, startedBy, withParents } from './chain.ts';
import { type PrincipalDeps, principalsFor } from './job-principals.ts';
import { lineageOf } from './lineage.ts';
import { isReader, type PowerDeps, standingOf } from './power.ts';

export interface IssueDeps extends PrincipalDeps, ExposureDeps, ChainDeps {
  readonly upstream: PrincipalDeps['upstream'] & UpstreamJobs & UpstreamPipelines;
  readonly power: PowerDeps;
  readonly transactor: Transactor;
  readonly addresses: Addresses;
  readonly trustOf: (runner: RunnerId) => RunnerTrust;
  /** So that a restart can ask for the job again. */
  readonly seal: (jobToken: Secret) => string;
}

const heldBack = 'who started the job is an administrator: Admin Mode keeps that out, and for git and images their own role counts';

/** What the payload that the forge hands out says of its job. */
export interface HandedOut {
  readonly id: JobId;
  readonly token: Secret;
  readonly projectId: number;
  readonly timeoutSeconds: number;
  readonly variables: VariablesOf;
  /** Jobs whose artifacts it takes. */
  readonly artifactJobs: readonly JobId[];
  readonly hasInputs: boolean;
}

/** `inVariable`: the full pass goes in a masked variable, too. */
export type Issue = { readonly extended: ExtendedJobToken; readonly inVariable: boolean } | { readonly none: string };

/**
 * Makes the passes of a job that the forge has just handed out. Who started it is asked with its own token, never read from its variables (A1).
 * @returns `none` with the reason where it gets no pass @throws upstream_failed
 */
export async function issueFor(deps: IssueDeps, handed: HandedOut, runner: UpstreamRunner | undefined, proof: Proof): Promise<Issue> {
  const job = await deps.upstream.jobOf(handed.token);
  if (job === 'refused' || job.id !== handed.id || job.projectId !== handed.projectId || job.status !== 'running')
    return { none: 'the forge does not confirm the job' };
  const standing = await standingOf(deps.power, job.userId);
  if (typeof standing === 'object') return { none: standing.no };
  if (standing === 'held_back' && !(await isReader(deps.power, job.userId, job.projectId)))
    return { none: 'who started the job is an administrator of the forge, without a role of their own in its project' };
  const lineage = await lineageOf(deps.upstream, job);
  const inherited = await inheritedFrom(deps, job, await startedBy(deps, job, lineage));
  if (inherited !== undefined && 'none' in inherited) return inherited;
  if (runner === undefined) return { none: 'the runner is unknown' };
  // A request may hold two tokens, and the forge may read the other one.
  if (job.runnerId !== null && job.runnerId !== runner.id) return { none: 'the forge says that another runner has the job' };
  const trust = deps.trustOf(runner.id);
  if (trust.trust === 'none') return { none: "an admin set the runner's trust to none" };
  const { artifactJobs, hasInputs } = handed;
  const behind = await principalsFor(deps, job, lineage, { artifactJobs, hasInputs, runner, vouched: trust.vouched });
  const principals = withParents(behind, inherited?.principals ?? []);
  const { exposure, why } = await exposureFor(deps, job, lineage.pipeline, handed.variables, trust, proof);
  const said = await limitsFor(deps, lineage.pipeline, handed.variables);
  const bounded = {
    limits: said.limits,
    notes: [...said.notes, ...(inherited?.notes ?? []), ...(standing === 'held_back' ? [heldBack] : [])],
  };
  const rules = await deps.directory.protectedRefs(null, job.projectId);
  const full = exposure !== 'withhold';
  const issued = await store(deps, job, handed, { runnerId: runner.id, principals, limits: bounded.limits, inherited, full });
  const decided = { job, protected: isProtected(rules, job.tag ? 'tag' : 'branch', job.ref), principals, exposure, why, bounded };
  const { addresses, directory } = deps;
  return { extended: await extendedToken({ addresses, directory }, decided, issued), inVariable: trust.inVariable && issued.full !== null };
}

interface Made {
  readonly runnerId: RunnerId;
  readonly principals: Principals;
  readonly limits: readonly PassLimit[];
  readonly inherited: Inherited | undefined;
  readonly full: boolean;
}

/** The job's row and its passes, in one transaction: no second pair for it (A46). @throws conflict */
async function store(
  deps: IssueDeps,
  job: UpstreamJob,
  handed: HandedOut,
  { runnerId, principals, limits, inherited, full }: Made,
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
      chainDepth: inherited?.depth ?? 0,
      timeoutSeconds: handed.timeoutSeconds,
      full,
      limits,
      inherited: inherited?.limits ?? [],
      now,
    });
  });
}
