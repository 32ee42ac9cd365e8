import { isJobpassError } from '../../base/errors.ts';
import type { EpochMillis, ProjectId, UserId } from '../../base/ids.ts';
import { isProtected } from '../../base/refs.ts';
import type { IncludeEvidence } from '../../pass/principals.ts';
import type { Directory } from '../../ports/directory.ts';
import type { IncludedPlace, UpstreamConfigurations, UpstreamHistory, UpstreamIncludes, UpstreamJob } from '../../ports/gateway.ts';
import type { TrustedProjects } from '../../ports/trust.ts';
import type { Lineage, RunPlace } from './lineage.ts';

export interface IncludedDeps {
  readonly upstream: UpstreamConfigurations & UpstreamHistory;
  readonly directory: Directory;
  readonly trustedProjects: TrustedProjects;
}

/** What is known of a place by who pushed there (`pushersAt`). */
export type Pushed = Pick<IncludeEvidence, 'unprotectedCommits' | 'pushers'> & {
  readonly last: readonly UserId[] | null | undefined;
};

type Place = Pick<RunPlace, 'projectId' | 'sha' | 'ref' | 'tag'>;

/** A configuration that a job's pipeline, or one above it, was made of. */
interface Configured {
  readonly projectId: ProjectId;
  readonly sha: string;
  /** Since when refs may have been moved that it names; null = not told. */
  readonly madeAt: EpochMillis | null;
}

/**
 * Who answers for the files that a job's configuration takes in from elsewhere (R3, A57). The forge does not tell what a pipeline was made of: the files are looked through
 * as they are now, and a ref that has moved since is answered for by whoever moved it, where it is protected, and by nobody else.
 * @param unknown gains what cannot be told
 */
export async function includedBy(
  deps: IncludedDeps,
  job: UpstreamJob,
  lineage: Lineage,
  pushersAt: (place: Place) => Promise<Pushed>,
  unknown: string[],
): Promise<readonly IncludeEvidence[]> {
  const home = await deps.directory.project(null, job.projectId);
  const found: IncludeEvidence[] = [];
  for (const { projectId, sha, madeAt } of configurationsOf(job, lineage)) {
    const { places, unknown: untold } = await includesOf(deps, projectId, sha);
    for (const what of untold) unknown.push(`its configuration includes ${what}`);
    for (const place of places) {
      if (madeAt === null) unknown.push(`nobody knows when its configuration included ${place.name}`);
      else found.push(...(await evidenceOf(deps, job, place, { madeAt, homeGroup: home?.rootGroupId, pushersAt, unknown })));
    }
  }
  return found;
}

async function includesOf({ upstream }: IncludedDeps, project: ProjectId, sha: string): Promise<UpstreamIncludes> {
  try {
    return await upstream.includesOf(project, sha);
  } catch (error) {
    if (isJobpassError(error, 'upstream_failed')) return { places: [], unknown: ['what the forge does not tell'] };
    throw error;
  }
}

/** Each once: a child pipeline runs on the commit of the one above, whose file named its own. */
function configurationsOf(job: UpstreamJob, { pipeline, ancestors }: Lineage): readonly Configured[] {
  const found = new Map<string, Configured>();
  for (const { projectId, sha, createdAt } of [
    { projectId: job.projectId, sha: job.sha, createdAt: pipeline?.createdAt ?? null },
    ...ancestors.map(({ place }) => place),
  ]) {
    const key = `${projectId}@${sha}`;
    const known = found.get(key);
    const earliest =
      known === undefined || createdAt === null || known.madeAt === null ? createdAt : createdAt < known.madeAt ? createdAt : known.madeAt;
    found.set(key, { projectId, sha, madeAt: known?.madeAt === null ? null : earliest });
  }
  return [...found.values()];
}

interface Around {
  readonly madeAt: EpochMillis;
  readonly homeGroup: number | undefined;
  readonly pushersAt: (place: Place) => Promise<Pushed>;
  readonly unknown: string[];
}

async function evidenceOf(
  deps: IncludedDeps,
  job: UpstreamJob,
  { name, projectId, sha, ref, kind }: IncludedPlace,
  { madeAt, homeGroup, pushersAt, unknown }: Around,
): Promise<readonly IncludeEvidence[]> {
  const { upstream, directory, trustedProjects } = deps;
  const project = await directory.project(null, projectId);
  const atHome = homeGroup !== undefined && project?.rootGroupId === homeGroup;
  // Whom the starter trusts by name is asked no further, as with the job's own project (A59).
  const trusted = await trustedProjects.has(null, job.userId, projectId);
  if (kind !== 'commit') {
    const moves = await upstream.moversSince(projectId, `refs/${kind === 'tag' ? 'tags' : 'heads'}/${ref}`, madeAt);
    if (isProtected(await directory.protectedRefs(null, projectId), kind, ref))
      return [{ name, unprotectedCommits: [], pushers: new Map(), movers: trusted ? [] : (moves?.movers ?? null), atHome }];
    if (moves?.moved === true) {
      // What stood there then may be gone, and with it who pushed it.
      unknown.push(`${name}, which its configuration includes, has moved since`);
      return [];
    }
  }
  const { unprotectedCommits, pushers, last } = await pushersAt({ projectId, sha, ref, tag: kind === 'tag' });
  return [{ name, unprotectedCommits, pushers, movers: trusted || last === undefined ? [] : last, atHome }];
}
