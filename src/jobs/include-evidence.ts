import type { UserId } from '../base/ids.ts';
import { limits } from '../base/limits.ts';
import type { IncludeEvidence } from '../pass/principals.ts';
import type { ProjectFacts } from '../ports/directory.ts';
import type { IncludedCommit } from '../ports/includes.ts';
import type { PipelineRecord } from '../ports/jobs.ts';
import type { JobsDeps } from './deps.ts';
import { asSystem } from './system.ts';

/** For each commit that a pipeline's configuration came from, beside its own: who put there what the jobs do (R3, A57). */
export async function evidenceOfIncludes(
  deps: JobsDeps,
  pipeline: PipelineRecord,
  home: ProjectFacts,
  starter: UserId,
): Promise<readonly IncludeEvidence[]> {
  const evidence: IncludeEvidence[] = [];
  for (const included of await deps.pipelineIncludes.of(null, pipeline.id)) evidence.push(await evidenceOf(deps, included, home, starter));
  return evidence;
}

async function evidenceOf(
  deps: JobsDeps,
  { projectId, sha, movers }: IncludedCommit,
  home: ProjectFacts,
  starter: UserId,
): Promise<IncludeEvidence> {
  const project = await deps.directory.project(null, projectId);
  const unknown = { unprotectedCommits: null, pushers: new Map(), movers: null, atHome: false };
  if (project === undefined) return { name: `project ${projectId}`, ...unknown };
  const name = `${project.path}@${sha.slice(0, 8)}`;
  const commits = await asSystem(deps, 'principals', projectId, `include-${sha.slice(0, 12)}`, (grant) =>
    deps.forge.repository.unprotectedCommits(grant, projectId, sha, limits.recordedCommitsPerPush),
  ).catch((error: unknown) => {
    // A sha that is gone from there tells nothing any more.
    deps.log.error('include.unknown', { project: projectId, sha }, error);
    return null;
  });
  if (commits === null) return { name, ...unknown };
  const trusted = await deps.trustedProjects.has(null, starter, projectId);
  return {
    name,
    unprotectedCommits: commits,
    pushers: await deps.pushersOf(projectId, commits),
    // Whom the starter trusts by name is asked no further, as with the job's own project (A59).
    movers: trusted ? [] : movers,
    atHome: project.rootGroupId === home.rootGroupId,
  };
}
