import type { GroupId, JobId, ProjectId } from '../base/ids.ts';
import { isProtected } from '../base/refs.ts';
import type { ClaimFilter, JobRecord, WaitingJob } from '../ports/jobs.ts';
import type { RunnerRecord } from '../ports/runners.ts';
import { tagsFit } from '../base/tags.ts';
import type { JobsDeps } from './deps.ts';
import type { Waiter } from './wakeup.ts';

/** How many waiting jobs are looked at: a few first, then as many as one runner may have to pass over. */
const looks = [20, 1000];
/** Waiting jobs that idle runners are looked for at a time; while more wait, runners are busy anyway. */
const matchedAtOnce = 1000;

type Serves = (runner: RunnerRecord, job: WaitingJob) => Promise<boolean>;

/** Which waiting job a runner tries next. A job that one request of this process works on is not offered to another, so that a crowd of runners spreads. */
export class Candidates {
  readonly #deps: JobsDeps;
  readonly #taken = new Set<JobId>();

  constructor(deps: JobsDeps) {
    this.#deps = deps;
  }

  /** The oldest job that the runner may have, reserved until `release`. @param skip jobs that it has tried */
  async take(runner: RunnerRecord, skip: ReadonlySet<JobId>): Promise<JobRecord | undefined> {
    const serves = this.#serves();
    for (const limit of looks) {
      const waiting = await this.#deps.jobs.claimCandidates(null, filterOf(runner), limit);
      for (const job of waiting) {
        if (skip.has(job.id) || this.#taken.has(job.id) || !(await serves(runner, job)) || this.#taken.has(job.id)) continue;
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

  /** For each waiting job the runner that has waited longest of those that may have it; at most one job each. */
  async match(waiters: Iterable<Waiter<RunnerRecord>>): Promise<readonly Waiter<RunnerRecord>[]> {
    const jobs = await this.#deps.jobs.waiting(null, matchedAtOnce);
    if (jobs.length === 0) return [];
    const serves = this.#serves();
    const idle = new Set(waiters);
    const woken: Waiter<RunnerRecord>[] = [];
    // Jobs that are alike in all that counts here find nobody either.
    const hopeless = new Set<string>();
    for (const job of jobs) {
      const kind = JSON.stringify([job.projectId, job.tags, job.tag, job.ref]);
      if (this.#taken.has(job.id) || hopeless.has(kind)) continue;
      const found = await firstFor(idle, job, serves);
      if (found === undefined) hopeless.add(kind);
      else {
        idle.delete(found);
        woken.push(found);
      }
      if (idle.size === 0) break;
    }
    return woken;
  }

  /** What the store cannot filter by: the group that a runner serves, and protected refs. Each project is looked up once. */
  #serves(): Serves {
    const { directory } = this.#deps;
    const inGroup = new Map<string, boolean>();
    const rules = new Map<ProjectId, Awaited<ReturnType<typeof directory.protectedRefs>>>();
    return async (runner, { projectId, tag, ref }) => {
      if (runner.scope === 'group') {
        const key = `${String(runner.scopeId)}:${projectId}`;
        const inside = inGroup.get(key) ?? (await this.#isInGroup(projectId, runner.scopeId as GroupId | null));
        inGroup.set(key, inside);
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

async function firstFor(idle: Iterable<Waiter<RunnerRecord>>, job: WaitingJob, serves: Serves) {
  for (const waiter of idle) {
    const { asked: runner } = waiter;
    if (runner.paused || (runner.scope === 'project' && runner.scopeId !== job.projectId)) continue;
    if (!tagsFit(job.tags, runner)) continue;
    // Most runners need no look-up: a crowd of them is passed without a turn of the loop each.
    if ((runner.scope === 'group' || runner.protectedOnly) && !(await serves(runner, job))) continue;
    return waiter;
  }
  return undefined;
}

function filterOf({ id: runnerId, tags, runUntagged, protectedOnly, scope, scopeId }: RunnerRecord): ClaimFilter {
  const ownProject = scope === 'project' ? { projectIds: [scopeId as ProjectId] } : {};
  return { runnerId, tags, runUntagged, protectedOnly, ...ownProject };
}
