import type { Oid, UserId } from '../base/ids.ts';
import { limits } from '../base/limits.ts';
import { isProtected } from '../base/refs.ts';
import { type Principals, principalsOf } from '../pass/principals.ts';
import type { ProjectFacts } from '../ports/directory.ts';
import type { JobRecord, PipelineRecord, RunnerRecord } from '../ports/jobs.ts';
import type { JobsDeps } from './deps.ts';
import { evidenceOfIncludes } from './include-evidence.ts';
import { asSystem } from './system.ts';

/** More commits than this outside protected refs cannot be told apart in reasonable time: not provable (R3). */
const commitLimit = limits.recordedCommitsPerPush;

/** Gathers what R3 looks at for one job, and decides whose rights its passes intersect. Reads git, so never inside a transaction. */
export async function principalsOfJob(
  deps: JobsDeps,
  project: ProjectFacts,
  pipeline: PipelineRecord,
  job: JobRecord,
  runner: RunnerRecord,
  artifactJobs: readonly JobRecord[],
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
  const unprotectedCommits = await asSystem(deps, 'principals', project.id, `job-${job.id}`, (grant) =>
    deps.forge.repository.unprotectedCommits(grant, project.id, sha, commitLimit),
  );
  const pushers = unprotectedCommits === null ? new Map<Oid, readonly UserId[]>() : await deps.pushersOf(project.id, unprotectedCommits);
  const ref = `refs/${job.tag ? 'tags' : 'heads'}/${job.ref}`;
  // On a protected ref whoever last moved it answers for what stands there (A59), unless the project is trusted by name; nobody known means not provable.
  const trusted = await deps.trustedProjects.has(null, job.userId, project.id);
  const lastPushers = !trusted && (await refProtected(deps, job)) ? { lastPushers: (await deps.lastPushers(project.id, ref)) ?? null } : {};
  return principalsOf({
    starter: job.userId,
    pipelines: await lineage(deps, pipeline),
    variablesBy: job.variablesBy,
    unprotectedCommits,
    pushers,
    runnerOwner: runner.scope === 'instance' || runner.vouched ? null : (runner.responsibleId ?? runner.creatorId),
    artifactPrincipals: await makersOf(deps, artifactJobs),
    includes: await evidenceOfIncludes(deps, pipeline, project, job.userId),
    ...lastPushers,
  });
}

/** Everybody whose hand was in what these jobs made; null = it cannot be told. That a runner got no pass for one of them changes nothing. */
async function makersOf(deps: JobsDeps, sources: readonly JobRecord[]): Promise<readonly UserId[] | null> {
  const makers: UserId[] = [];
  for (const source of sources) {
    const rights = await deps.jobRights.of(null, source.id);
    if (rights?.provable !== true) return null;
    makers.push(source.userId, ...rights.principals.map(({ userId }) => userId));
  }
  return makers;
}

/** The pipeline and its ancestors, newest first. */
async function lineage(deps: JobsDeps, pipeline: PipelineRecord) {
  const line: { creators: readonly UserId[]; carriesVariables: boolean; byPass: boolean }[] = [];
  let current: PipelineRecord | undefined = pipeline;
  while (current !== undefined && line.length <= limits.principals) {
    line.push({
      creators: current.creators,
      carriesVariables: current.variables.length > 0,
      byPass: current.parentJobId !== null || current.creators.length > 1,
    });
    const parent: JobRecord | undefined = current.parentJobId === null ? undefined : await deps.jobs.job(null, current.parentJobId);
    current = parent === undefined ? undefined : await deps.jobs.pipeline(null, parent.pipelineId);
  }
  return line;
}

/** Whether the job's ref is protected now. */
export async function refProtected(deps: JobsDeps, job: JobRecord): Promise<boolean> {
  return isProtected(await deps.directory.protectedRefs(null, job.projectId), job.tag ? 'tag' : 'branch', job.ref);
}
