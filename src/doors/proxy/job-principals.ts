import type { JobId, Oid, UserId } from '../../base/ids.ts';
import { limits } from '../../base/limits.ts';
import { isProtected } from '../../base/refs.ts';
import { lastMoversOf, type PrincipalEvidence, type Principals, principalsOf } from '../../pass/principals.ts';
import type { Directory } from '../../ports/directory.ts';
import type {
  GatewayJobs,
  UpstreamConfigurations,
  UpstreamHistory,
  UpstreamJob,
  UpstreamPipelines,
  UpstreamRunner,
} from '../../ports/gateway.ts';
import type { PassStore } from '../../ports/passes.ts';
import type { TrustedProjects } from '../../ports/trust.ts';
import { includedBy, type Pushed } from './included.ts';
import { type Ancestor, type Lineage, placeOf, type RunPlace } from './lineage.ts';
import type { WriteLog } from './write-log.ts';

export interface PrincipalDeps {
  readonly upstream: UpstreamHistory & UpstreamConfigurations & Pick<UpstreamPipelines, 'earlierStarters' | 'hasOwnVariables'>;
  readonly directory: Directory;
  readonly passes: PassStore;
  readonly jobs: GatewayJobs;
  readonly writes: WriteLog;
  readonly trustedProjects: TrustedProjects;
  readonly principals: 'intersect' | 'starter';
}

/** What a job runs on and with, beside what its pipelines say. */
export interface Ran {
  readonly artifactJobs: readonly JobId[];
  /** It has inputs of its own: by default, or from whoever ran it. */
  readonly hasInputs: boolean;
  readonly runner: UpstreamRunner;
  readonly vouched: boolean;
}

/** R3 by what the forge tells; what it does not tell is not provable. */
export async function principalsFor(deps: PrincipalDeps, job: UpstreamJob, lineage: Lineage, ran: Ran): Promise<Principals> {
  const alone = { pipelines: [], unprotectedCommits: [], pushers: new Map(), runnerOwner: null, artifactPrincipals: [] };
  if (deps.principals === 'starter') return principalsOf({ starter: job.userId, ...alone }, 'starter');
  const unknown = [...lineage.unknown];
  const { runner } = ran;
  if (runner.scope !== 'instance' && !ran.vouched) unknown.push(`nobody vouches for runner ${runner.id}, which is not the instance's`);
  const artifacts = await artifactPrincipals(deps, ran.artifactJobs);
  if (artifacts === undefined) unknown.push('it takes artifacts of a job that was not handed out through the gateway');
  const own = await pushersAt(deps, placeOf(job));
  // A project that the starting user trusts by name is trusted whoever last merged there (R3).
  const trusted = await deps.trustedProjects.has(null, job.userId, job.projectId);
  const given = [...makersOf(lineage), ...(await giversOf(deps, job, ran.hasInputs, unknown))];
  const writers: PrincipalEvidence['pipelines'][number][] = [...own.writers];
  const pushedAt = async (place: Parameters<typeof pushersAt>[1]): Promise<Pushed> => {
    const { commits, pushers, last, writers: more } = await pushersAt(deps, place);
    writers.push(...more);
    return { unprotectedCommits: commits, pushers, last };
  };
  const includes = await includedBy(deps, job, lineage, pushedAt, unknown);
  const found = principalsOf({
    ...alone,
    starter: job.userId,
    pipelines: [
      { creators: given, carriesVariables: true, byPass: false },
      ...(await ancestorsIn(deps, lineage.ancestors, placeOf(job), unknown)),
      ...writers,
    ],
    includes,
    unprotectedCommits: own.commits,
    pushers: withMerge(job, own.pushers, lineage),
    artifactPrincipals: artifacts ?? [],
    ...(trusted || own.last === undefined ? {} : { lastPushers: own.last }),
  });
  return unknown.length === 0 ? found : { ...found, ownProjectOnly: true, notes: [...found.notes, ...unknown] };
}

/** Who made the pipeline, where it was given something: variables, or inputs, of which the forge tells nothing. What a push brings its pusher answers for. */
function makersOf({ pipeline }: Lineage): readonly UserId[] {
  return pipeline === undefined || (pipeline.variables.size === 0 && pipeline.source === 'push') ? [] : [pipeline.creator];
}

/**
 * What a merge request would be once merged is a commit of the forge's own, which nobody pushed, at a ref that nobody can push to: whoever had it made answers for it, and for what
 * it is made of its pushers. Of a merge train it is made of other requests, too.
 */
function withMerge(
  { ref, sha }: UpstreamJob,
  pushers: ReadonlyMap<Oid, readonly UserId[]>,
  { pipeline }: Lineage,
): ReadonlyMap<Oid, readonly UserId[]> {
  if (pipeline === undefined || !/^refs\/merge-requests\/\d+\/merge$/.test(ref)) return pushers;
  return new Map([[sha as Oid, [pipeline.creator]], ...pushers]);
}

/** Who may have given the job itself variables or inputs: they come along when somebody else retries it (A56). */
async function giversOf(deps: PrincipalDeps, job: UpstreamJob, hasInputs: boolean, unknown: string[]): Promise<readonly UserId[]> {
  const starters = await deps.upstream.earlierStarters(job);
  if (starters === undefined) unknown.push('the forge does not tell who ran the job before');
  const others = starters?.filter((user) => user !== job.userId) ?? [];
  if (others.length === 0 || hasInputs) return others;
  return (await deps.upstream.hasOwnVariables(job.projectId, job.id)) === false ? [] : others;
}

/** Who pushed what stands at a place; `last` of the protected refs that answer for it, null = nobody knows. */
async function pushersAt(deps: PrincipalDeps, { projectId, sha, ref, tag }: Pick<RunPlace, 'projectId' | 'sha' | 'ref' | 'tag'>) {
  const found = await deps.upstream.unprotectedCommits(projectId, sha as Oid, limits.recordedCommitsPerPush);
  const commits = found?.commits ?? null;
  const rules = await deps.directory.protectedRefs(null, projectId);
  const isProtectedRef = isProtected(rules, tag ? 'tag' : 'branch', ref);
  // A branch that was cut from a protected one runs what stands there as well (A59).
  const answered = isProtectedRef ? [`refs/${tag ? 'tags' : 'heads'}/${ref}`] : (found?.bases ?? []);
  return {
    commits,
    pushers: commits === null ? new Map<Oid, readonly UserId[]>() : await deps.upstream.pushersOf(projectId, commits),
    last: await lastMoversOf(answered, (one) => deps.upstream.lastPushers(projectId, one)),
    writers: await writersAmong(deps, projectId, commits ?? []),
  };
}

/** Everybody with a hand in the pipelines from which a job's own one descends: they decide what it does, with variables and generated files. */
async function ancestorsIn(
  deps: PrincipalDeps,
  ancestors: readonly Ancestor[],
  own: RunPlace,
  unknown: string[],
): Promise<PrincipalEvidence['pipelines']> {
  const found = new Set<UserId>();
  const known = new Set([`${own.projectId}@${own.sha}`]);
  for (const { place, creator, artifactJobs } of ancestors) {
    found.add(creator);
    const makers = artifactJobs === undefined ? undefined : await artifactPrincipals(deps, artifactJobs);
    if (makers === undefined)
      unknown.push(`a job of pipeline ${place.pipelineId}, from which it descends, was not handed out through the gateway`);
    for (const user of makers ?? []) found.add(user);
    const at = `${place.projectId}@${place.sha}`;
    if (known.has(at)) continue;
    known.add(at);
    const pushed = await pushersAt(deps, place);
    for (const user of [...pushed.pushers.values(), ...pushed.writers.map((one) => one.creators), pushed.last ?? []].flat())
      found.add(user);
    const missing = pushed.commits === null || pushed.commits.some((commit) => (pushed.pushers.get(commit)?.length ?? 0) === 0);
    if (missing || pushed.last === null)
      unknown.push(`nobody knows who pushed what pipeline ${place.pipelineId} runs, from which it descends`);
  }
  const creators = [...found];
  return creators.length === 0
    ? []
    : [
        { creators: [], carriesVariables: false, byPass: false },
        { creators, carriesVariables: true, byPass: false },
      ];
}

/** What a pass wrote counts as written by all its principals, of whom the forge knows one only (A58). */
async function writersAmong(
  deps: PrincipalDeps,
  projectId: UpstreamJob['projectId'],
  commits: readonly Oid[],
): Promise<PrincipalEvidence['pipelines']> {
  const writers = new Set((await deps.writes.writersOf(projectId, commits)).map(({ by }) => by));
  const creators = (await artifactPrincipals(deps, [...writers])) ?? [];
  return creators.length === 0 ? [] : [{ creators, carriesVariables: false, byPass: true }];
}

/** @returns undefined where one of the jobs was not handed out here: nobody knows who is behind it */
async function artifactPrincipals(deps: PrincipalDeps, jobs: readonly JobId[]): Promise<readonly UserId[] | undefined> {
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
