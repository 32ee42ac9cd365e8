import type { JobId, ProjectId, UserId } from '../../base/ids.ts';
import { limits } from '../../base/limits.ts';
import type { CeilingDeps } from '../../pass/ceilings.ts';
import { inheritedLimits } from '../../pass/inherited.ts';
import { wasLeaked } from '../../pass/life.ts';
import type { Principals } from '../../pass/principals.ts';
import type { GatewayJobs, UpstreamHistory, UpstreamJob } from '../../ports/gateway.ts';
import type { PassLimit, PassStore } from '../../ports/passes.ts';
import { type Lineage, placeOf } from './lineage.ts';
import { runsOn } from './made-by.ts';
import type { WriteLog } from './write-log.ts';

export interface ChainDeps extends CeilingDeps {
  readonly upstream: Pick<UpstreamHistory, 'requestSources'>;
  readonly writes: WriteLog;
  readonly jobs: GatewayJobs;
  readonly passes: PassStore;
}

/** By which passes a job was started (R5). */
export interface Started {
  /** The job of each pass, with the projects in which what it wrote runs. */
  readonly by: ReadonlyMap<JobId, ReadonlySet<ProjectId>>;
  /** A pass may have started it, and nobody can tell. */
  readonly doubt: string | undefined;
}

/** What a job has of the jobs whose passes started it: their principals and limits, one deeper. */
export interface Inherited {
  readonly depth: number;
  readonly principals: readonly UserId[];
  readonly limits: readonly PassLimit[];
  /** For the trace. */
  readonly notes: readonly string[];
}

/** More would say that somebody narrows without end. */
const mostLimits = 64;
/** How far the forge's clock may be apart from ours. */
const skewMs = 60_000;

/**
 * The jobs whose passes started this one, or a pipeline that it descends from (R5). What a job of the same pipeline wrote did not start it, unless it is
 * this very job or pipeline.
 */
export async function startedBy(deps: ChainDeps, job: UpstreamJob, lineage: Lineage): Promise<Started> {
  const by = new Map<JobId, Set<ProjectId>>();
  const add = (parent: JobId, project: ProjectId): unknown => by.set(parent, (by.get(parent) ?? new Set<ProjectId>()).add(project));
  for (const place of [placeOf(job), ...lineage.ancestors.map((ancestor) => ancestor.place)]) {
    // A merge request's pipeline runs on a merge that the forge made: what it was made of counts.
    const sources = await deps.upstream.requestSources(place);
    if (sources === undefined) return { by, doubt: 'the forge does not tell what the merge request is made of' };
    for (const { projectId, whats } of [{ projectId: place.projectId, whats: runsOn(place) }, ...sources])
      for (const write of await deps.writes.writersOf(projectId, whats)) {
        const ends = write.what.startsWith('ends:');
        // What comes of a branch of the same name later is no job that was waiting for its end.
        if (ends && place.createdAt !== null && place.createdAt > write.at + skewMs) continue;
        const named = ends || /^(?:job|pipeline):/.test(write.what);
        if (named || (await deps.jobs.byId(null, write.by))?.pipelineId !== place.pipelineId) add(write.by, place.projectId);
      }
    const unheard = await deps.writes.unheardAbout(place.projectId, place.createdAt);
    if (unheard !== undefined) return { by, doubt: `the pass of job ${unheard} may have started it` };
  }
  return { by, doubt: undefined };
}

/**
 * What a job that passes started has of them: no more than each of them had, as deep as every project on the way allows (R5).
 * @returns `none` with the reason where it may have no pass
 */
export async function inheritedFrom(
  deps: ChainDeps,
  job: UpstreamJob,
  { by, doubt }: Started,
): Promise<Inherited | { readonly none: string } | undefined> {
  if (doubt !== undefined) return { none: `${doubt}, and of jobs that cannot be told from those that passes started none gets a pass` };
  const principals: UserId[] = [];
  const found = new Map<string, PassLimit>();
  let depth = 0;
  for (const [id, places] of by) {
    const parent = await deps.jobs.byId(null, id);
    const passes = (await deps.passes.forJob(null, id)).filter(({ kind }) => kind !== 'fetch');
    if (parent === undefined || passes.length === 0 || passes.some(({ ownProjectOnly }) => ownProjectOnly))
      return { none: `the job was started by the pass of job ${id}, and it cannot be told with whose rights` };
    if (passes.some(({ revokedReason }) => wasLeaked(revokedReason)))
      return { none: `the job was started by the pass of job ${id}, which was found where it could be read: anybody may have started it` };
    const here = 1 + Math.max(...passes.map((pass) => pass.chainDepth));
    const allowed = await depthAllowed(deps, [parent.projectId, job.projectId, ...places]);
    if (here > allowed)
      return {
        none: `the job was started by the pass of job ${id}, and chains of such jobs ${allowed === 0 ? 'are not allowed' : `go ${allowed} deep here`}`,
      };
    depth = Math.max(depth, here);
    // Nobody knows which of them wrote.
    const kept = await inheritedLimits(deps, passes, job.projectId);
    if (kept === undefined) return { none: `a ceiling of job ${id}, whose pass started it, cannot be read` };
    for (const limit of kept) found.set(JSON.stringify(limit), limit);
    principals.push(...passes.flatMap((pass) => pass.principals.map(({ userId }) => userId)));
  }
  if (found.size > mostLimits) return { none: 'the passes that started it were narrowed in too many ways' };
  if (by.size === 0) return undefined;
  const jobs = [...by.keys()].join(', ');
  return {
    depth,
    principals,
    limits: [...found.values()],
    notes: [`started by the pass of job ${jobs}: no wider than that, ${depth} deep`],
  };
}

/** How deep jobs started by passes may nest where all of these take part; a project that is not there allows none. */
export async function depthAllowed({ directory }: Pick<ChainDeps, 'directory'>, projects: readonly ProjectId[]): Promise<number> {
  const found = await Promise.all([...new Set(projects)].map((id) => directory.project(null, id)));
  return Math.min(...found.map((project) => project?.chainDepth ?? 0));
}

/** Everybody behind the passes that started a job is behind its own (R3, A58), wherever their rights counted before. */
export function withParents(own: Principals, parents: readonly UserId[]): Principals {
  const theirs = new Set(parents);
  const list = own.list.map(({ userId, reason }) => ({
    userId,
    reason: theirs.has(userId) && reason !== 'starter' ? ('write_by_pass' as const) : reason,
  }));
  const known = new Set(list.map(({ userId }) => userId));
  const all = [
    ...list,
    ...[...theirs].filter((userId) => !known.has(userId)).map((userId) => ({ userId, reason: 'write_by_pass' as const })),
  ];
  if (all.length <= limits.principals) return { ...own, list: all };
  const note = `${all.length} principals are more than ${limits.principals}`;
  return { list: all.slice(0, limits.principals), ownProjectOnly: true, notes: [...own.notes, note] };
}
