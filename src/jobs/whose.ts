import type { JobId, Oid, UserId } from '../base/ids.ts';
import { limits } from '../base/limits.ts';
import { isProtected } from '../base/refs.ts';
import { lastMoversOf, type Principals, principalsOf } from '../pass/principals.ts';
import type { ProjectFacts } from '../ports/directory.ts';
import type { JobRecord, PipelineRecord } from '../ports/jobs.ts';
import type { RunnerRecord } from '../ports/runners.ts';
import type { JobsDeps } from './deps.ts';
import { evidenceOfIncludes } from './include-evidence.ts';
import { asSystem } from './system.ts';

/** More commits than this outside protected refs cannot be told apart in reasonable time: not provable (R3). */
const commitLimit = limits.recordedCommitsPerPush;

/**
 * Gathers what R3 looks at for one job, and decides whose rights its passes intersect. Reads git, so never inside a transaction.
 * @param runner null for a bridge, which no runner has
 * @param setters of the CI/CD variables that the job gets
 */
export async function principalsOfJob(
  deps: JobsDeps,
  project: ProjectFacts,
  pipeline: PipelineRecord,
  job: JobRecord,
  runner: RunnerRecord | null,
  artifactJobs: readonly JobRecord[],
  setters: readonly UserId[] = [],
): Promise<Principals> {
  if (deps.instance.principals === 'starter') {
    return principalsOf(
      {
        starter: job.userId,
        pipelines: [],
        unprotectedCommits: [],
        pushers: new Map(),
        runnerOwner: null,
        artifactPrincipals: [],
        variablesBy: null,
      },
      'starter',
    );
  }
  const sha = job.sha as Oid;
  const ref = `refs/${job.tag ? 'tags' : 'heads'}/${job.ref}`;
  const trusted = await deps.trustedProjects.has(null, job.userId, project.id);
  const protectedRef = await refProtected(deps, job);
  const { commits: unprotectedCommits, bases } = await asSystem(deps, 'principals', project.id, `job-${job.id}`, async (grant) => {
    const { repository } = deps.forge;
    const commits = await repository.unprotectedCommits(grant, project.id, sha, commitLimit);
    // A branch that was cut from a protected one runs what stands there as well.
    const onOthers = !trusted && !protectedRef && commits !== null;
    return { commits, bases: onOthers ? await repository.protectedBases(grant, project.id, sha) : [] };
  });
  const pushers = unprotectedCommits === null ? new Map<Oid, readonly UserId[]>() : await deps.pushersOf(project.id, unprotectedCommits);
  const { line, whole, parents, bridges } = await lineage(deps, pipeline);
  // Whoever last moved a protected ref answers for what stands there (A59), unless the project is trusted by name; nobody known means not provable.
  const movers = trusted ? undefined : await lastMoversOf(protectedRef ? [ref] : bases, (one) => deps.lastPushers(project.id, one));
  const made = await makersOf(deps, artifactJobs);
  return principalsOf({
    starter: job.userId,
    pipelines: line,
    lineageKnown: whole,
    variablesBy: job.variablesBy,
    unprotectedCommits,
    pushers,
    runnerOwner: runner === null || runner.scope === 'instance' || runner.vouched ? null : (runner.responsibleId ?? runner.creatorId),
    artifactPrincipals: made?.makers ?? null,
    variableSetters: trusted ? [] : [...setters, ...(made?.setters ?? []), ...(await settersBehind(deps, bridges))],
    // What a child is made of stands in its parent's files, too.
    includes: (await Promise.all([pipeline, ...parents].map((one) => evidenceOfIncludes(deps, one, project, job.userId)))).flat(),
    ...(movers === undefined ? {} : { lastPushers: movers }),
  });
}

/** Everybody whose hand was in what these jobs made; null = it cannot be told. That a runner got no pass for one of them changes nothing. */
async function makersOf(
  deps: JobsDeps,
  sources: readonly JobRecord[],
): Promise<{ readonly makers: readonly UserId[]; readonly setters: readonly UserId[] } | null> {
  const makers: UserId[] = [];
  const setters: UserId[] = [];
  for (const source of sources) {
    const rights = await deps.jobRights.of(null, source.id);
    if (rights?.provable !== true) return null;
    makers.push(source.userId);
    for (const { userId, reason } of rights.principals) (reason === 'kept_variable' ? setters : makers).push(userId);
  }
  return { makers, setters };
}

/** Whose CI/CD variables these bridges had, and so may have handed on: a child's own environment has others. */
async function settersBehind(deps: JobsDeps, bridges: readonly JobId[]): Promise<readonly UserId[]> {
  const rights = await Promise.all(bridges.map((bridge) => deps.jobRights.of(null, bridge)));
  return rights.flatMap((one) => one?.principals ?? []).flatMap(({ userId, reason }) => (reason === 'kept_variable' ? [userId] : []));
}

type Line = { readonly creators: readonly UserId[]; readonly carriesVariables: boolean; readonly byPass: boolean };

/** What somebody wrote stands in the variables of their jobs: a description, a title, the branch that a request is for (A56). */
const writtenSources: ReadonlySet<PipelineRecord['source']> = new Set(['merge_request_event', 'schedule']);

/**
 * The pipeline and its ancestors, newest first: over the bridge that triggered it, else over the job whose pass started it.
 * @returns whole = false where one of them is gone, or was not wholly known itself: then whoever stood behind it is not provable (R3). `parents` are those
 * of which it is a child, with the `bridges` between: whose rights count outside the top-level group only is no creator of a child, and is found there.
 */
async function lineage(
  deps: JobsDeps,
  pipeline: PipelineRecord,
): Promise<{
  readonly line: readonly Line[];
  readonly whole: boolean;
  readonly parents: readonly PipelineRecord[];
  readonly bridges: readonly JobId[];
}> {
  const line: Line[] = [];
  const parents: PipelineRecord[] = [];
  const bridges: JobId[] = [];
  const end = (whole: boolean) => ({ line, whole, parents, bridges });
  let isChild = true;
  let current = pipeline;
  while (line.length <= limits.principals) {
    const { creators, variables, inputs, source, parentJobId, upstream } = current;
    const byPass = parentJobId !== null || upstream !== null || creators.length > 1;
    line.push({ creators, carriesVariables: variables.length > 0 || Object.keys(inputs).length > 0 || writtenSources.has(source), byPass });
    isChild &&= source === 'parent_pipeline';
    if (isChild && upstream !== null) bridges.push(upstream.jobId);
    if (upstream?.unprovable === true) return end(false);
    const above: JobId | null = upstream?.jobId ?? parentJobId;
    if (above === null) return end(true);
    const parent: JobRecord | undefined = await deps.jobs.job(null, above);
    const next: PipelineRecord | undefined = parent === undefined ? undefined : await deps.jobs.pipeline(null, parent.pipelineId);
    if (next === undefined) return end(false);
    if (isChild) parents.push(next);
    current = next;
  }
  return end(false);
}

/** Whether the job's ref is protected now. */
export async function refProtected(deps: JobsDeps, job: JobRecord): Promise<boolean> {
  return isProtected(await deps.directory.protectedRefs(null, job.projectId), job.tag ? 'tag' : 'branch', job.ref);
}
