import type { GroupId, JobId, ProjectId } from '../base/ids.ts';
import { isProtected } from '../base/refs.ts';
import type { ClaimFilter, JobRecord, WaitingJob } from '../ports/jobs.ts';
import type { RunnerRecord } from '../ports/runners.ts';
import { tagsFit } from '../base/tags.ts';
import type { JobsDeps } from './deps.ts';
import type { Waiter } from './wakeup.ts';

/** Of the waiting jobs a few are looked at first, whole. */
const fewFirst = 20;
/** Then what decides of all others, so many at a time: jobs that wait for runners that others do not have must not keep this one from its own. */
const atOnce = 1000;
const mostLookedAt = 50_000;
/** Until a job is tried again that could not be prepared. */
const putOffMs = 30_000;
const mostPutOff = 10_000;

type Serves = (runner: RunnerRecord, job: WaitingJob) => Promise<boolean>;

/** Which waiting job a runner tries next. A job that one request of this process works on is not offered to another, so that a crowd of runners spreads. */
export class Candidates {
  readonly #deps: JobsDeps;
  readonly #taken = new Set<JobId>();
  /** When each of them may be tried again, by the monotonic clock. */
  readonly #putOff = new Map<JobId, number>();

  constructor(deps: JobsDeps) {
    this.#deps = deps;
  }

  /** The oldest job that the runner may have, reserved until `release`. @param skip jobs that it has tried */
  async take(runner: RunnerRecord, skip: ReadonlySet<JobId>): Promise<JobRecord | undefined> {
    const { jobs } = this.#deps;
    const serves = this.#serves();
    const takes = async (job: WaitingJob): Promise<boolean> => {
      if (skip.has(job.id) || this.#isHeld(job.id) || !(await serves(runner, job)) || this.#taken.has(job.id)) return false;
      this.#taken.add(job.id);
      return true;
    };
    const filter = filterOf(runner);
    const first = await jobs.claimCandidates(null, filter, fewFirst);
    for (const job of first) if (await takes(job)) return job;
    if (first.length < fewFirst) return undefined;
    for await (const row of this.#waiting(first.at(-1)?.id, filter)) {
      if (!tagsFit(row.tags, runner) || !(await takes(row))) continue;
      const job = await jobs.job(null, row.id);
      if (job?.status === 'pending') return job;
      this.#taken.delete(row.id);
    }
    return undefined;
  }

  /** It could not be prepared: others get their turn before it is tried again. */
  putOff(job: JobId): void {
    this.#putOff.delete(job);
    this.#putOff.set(job, this.#deps.clock.monotonic() + putOffMs);
    const [oldest] = this.#putOff.keys();
    if (this.#putOff.size > mostPutOff && oldest !== undefined) this.#putOff.delete(oldest);
  }

  #isHeld(job: JobId): boolean {
    if (this.#taken.has(job)) return true;
    const until = this.#putOff.get(job);
    return until !== undefined && this.#deps.clock.monotonic() < until;
  }

  async *#waiting(behind?: JobId, within: Pick<ClaimFilter, 'projectIds' | 'groupId'> = {}): AsyncGenerator<WaitingJob> {
    let after = behind;
    for (let looked = 0; looked < mostLookedAt; looked += atOnce) {
      const rows = await this.#deps.jobs.waiting(null, atOnce, { after, ...within });
      yield* rows;
      if (rows.length < atOnce) return;
      after = rows.at(-1)?.id;
    }
  }

  release(job: JobId): void {
    this.#taken.delete(job);
  }

  /** For each waiting job the runner that has waited longest of those that may have it; at most one job each. */
  async match(waiters: Iterable<Waiter<RunnerRecord>>): Promise<readonly Waiter<RunnerRecord>[]> {
    const serves = this.#serves();
    const idle = new Set(waiters);
    const woken: Waiter<RunnerRecord>[] = [];
    // Jobs that are alike in all that counts here find nobody either.
    const hopeless = new Set<string>();
    for await (const job of this.#waiting()) {
      const kind = JSON.stringify([job.projectId, job.tags, job.tag, job.ref]);
      if (hopeless.has(kind) || this.#isHeld(job.id)) continue;
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

  /** What the store does not filter by where runners wait: the group that one serves; and protected refs. Each project is looked up once. */
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
  const ownGroup = scope === 'group' && scopeId !== null ? { groupId: scopeId as GroupId } : {};
  return { runnerId, tags, runUntagged, protectedOnly, ...ownProject, ...ownGroup };
}
