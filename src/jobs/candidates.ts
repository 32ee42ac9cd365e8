import type { GroupId, JobId, ProjectId } from '../base/ids.ts';
import { isProtected } from '../base/refs.ts';
import type { JobRecord, RunnerRecord } from '../ports/jobs.ts';
import type { JobsDeps } from './deps.ts';

/** How many waiting jobs are looked at: a few first, then as many as one runner may have to pass over. */
const looks = [20, 1000];

/** Which waiting job a runner tries next. A job that one request of this process works on is not offered to another, so that a crowd of runners spreads. */
export class Candidates {
  readonly #deps: JobsDeps;
  readonly #taken = new Set<JobId>();

  constructor(deps: JobsDeps) {
    this.#deps = deps;
  }

  /** The oldest job that the runner may have, reserved until `release`. @param skip jobs that it has tried */
  async take(runner: RunnerRecord, skip: ReadonlySet<JobId>): Promise<JobRecord | undefined> {
    const serves = this.#serves(runner);
    for (const limit of looks) {
      const waiting = await this.#waiting(runner, limit);
      for (const job of waiting) {
        if (skip.has(job.id) || this.#taken.has(job.id) || !(await serves(job)) || this.#taken.has(job.id)) continue;
        this.#taken.add(job.id);
        return job;
      }
      if (waiting.length < limit) return undefined;
    }
    return undefined;
  }

  release(job: JobId): void {
    this.#taken.delete(job);
  }

  #waiting(runner: RunnerRecord, limit: number): Promise<readonly JobRecord[]> {
    const { id: runnerId, tags, runUntagged, protectedOnly } = runner;
    const ownProject = runner.scope === 'project' ? { projectIds: [runner.scopeId as ProjectId] } : {};
    const filter = { runnerId, tags, runUntagged, protectedOnly, ...ownProject };
    return this.#deps.transactor.write((tx) => this.#deps.jobs.claimCandidates(tx, filter, limit));
  }

  /** What the store cannot filter by: the group that a runner serves, and protected refs. Each project is looked up once. */
  #serves(runner: RunnerRecord): (job: JobRecord) => Promise<boolean> {
    const { directory } = this.#deps;
    const inGroup = new Map<ProjectId, boolean>();
    const rules = new Map<ProjectId, Awaited<ReturnType<typeof directory.protectedRefs>>>();
    return async ({ projectId, tag, ref }) => {
      if (runner.scope === 'group') {
        const inside = inGroup.get(projectId) ?? (await this.#isInGroup(projectId, runner.scopeId as GroupId | null));
        inGroup.set(projectId, inside);
        if (!inside) return false;
      }
      if (!runner.protectedOnly) return true;
      const known = rules.get(projectId) ?? (await directory.protectedRefs(null, projectId));
      rules.set(projectId, known);
      return isProtected(known, tag ? 'tag' : 'branch', ref);
    };
  }

  async #isInGroup(projectId: ProjectId, groupId: GroupId | null): Promise<boolean> {
    const { directory } = this.#deps;
    const project = await directory.project(null, projectId);
    const group = groupId === null ? undefined : await directory.group(null, groupId);
    return project !== undefined && group !== undefined && project.path.toLowerCase().startsWith(`${group.path.toLowerCase()}/`);
  }
}
