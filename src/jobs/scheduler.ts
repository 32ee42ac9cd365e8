import { JobpassError } from '../base/errors.ts';
import { type EpochMillis, millis } from '../base/ids.ts';
import type { ScheduleRecord } from '../ports/schedules.ts';
import type { Tx } from '../ports/tx.ts';
import type { JobsDeps } from './deps.ts';
import { mayRunOn } from './ref-rights.ts';
import { refOf, runSchedule, timeOf } from './schedules.ts';
import { asSystem } from './system.ts';

const everyMs = 15_000;
/** Until one is tried again that could not be started: by then the others have had their turn. */
const againMs = 60_000;
/** Schedules that one round starts. */
const atOnce = 50;

/** Another node started it, or somebody changed it. */
class Overtaken extends Error {}

/** Its owner may not run it any more. */
class Disowned extends Error {}

/**
 * Starts what is due, by the injected clock, as the schedule's owner. The row is locked and its next time set in the transaction that makes the
 * pipeline: one of several nodes starts it, once, and a crash before that leaves it due. What came due during a downtime runs once.
 */
export class Scheduler {
  readonly #deps: JobsDeps;
  #timer: NodeJS.Timeout | undefined;
  #work: Promise<void> = Promise.resolve();

  constructor(deps: JobsDeps) {
    this.#deps = deps;
  }

  start(): void {
    this.#timer = setInterval(() => {
      this.#work = this.#work.then(() => this.sweep()).catch((error: unknown) => this.#deps.log.error('scheduler.failed', {}, error));
    }, everyMs).unref();
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#work;
  }

  /** One round. */
  async sweep(): Promise<void> {
    const { schedules, clock, log } = this.#deps;
    for (const schedule of await schedules.due(null, clock.now(), atOnce)) {
      try {
        await this.#run(schedule);
      } catch (error) {
        // One that cannot be started must not hold up the others, now or in the next round: it stays due, and stands behind them.
        log.error('schedule.failed', { schedule: schedule.id }, error);
        await this.#put(schedule, millis(clock.now() + againMs), 'it could not be started, and is tried again').catch((cause: unknown) =>
          log.error('schedule.not_put_off', { schedule: schedule.id }, cause),
        );
      }
    }
  }

  async #run(schedule: ScheduleRecord): Promise<void> {
    const { directory, clock } = this.#deps;
    const next = timeOf(schedule, clock.now());
    const project = await directory.project(null, schedule.projectId);
    if (project?.archived !== false) return this.#put(schedule, next, 'its project is archived');
    try {
      const made = await asSystem(
        this.#deps,
        'schedule',
        schedule.projectId,
        `schedule-${schedule.id}`,
        (grant) =>
          runSchedule(this.#deps, grant, schedule, schedule.ownerId, (tx) =>
            this.#claim(tx, schedule, next, (inside) => grant.confirm(inside)),
          ),
        'pipeline:create',
      );
      if (made === undefined) return await this.#put(schedule, next, 'the ref has no .gitlab-ci.yml');
    } catch (error) {
      if (error instanceof Overtaken) return;
      if (error instanceof Disowned) return this.#put(schedule, next, error.message, false);
      if (!(error instanceof JobpassError) || error.code !== 'not_found') throw error;
      return this.#put(schedule, next, 'its branch or tag is gone', false);
    }
  }

  /** @throws Overtaken, Disowned */
  async #claim(tx: Tx, seen: ScheduleRecord, next: EpochMillis, confirm: (tx: Tx) => Promise<void>): Promise<void> {
    await confirm(tx);
    const now = await this.#deps.schedules.lock(tx, seen.id);
    if (now === undefined || !now.active || now.nextRunAt !== seen.nextRunAt || now.updatedAt !== seen.updatedAt) throw new Overtaken();
    const owner = (await this.#deps.directory.users(tx, [now.ownerId])).get(now.ownerId);
    if (owner?.state !== 'active') throw new Disowned('its owner is blocked');
    if (!(await mayRunOn(this.#deps, tx, [now.ownerId], now.projectId, refOf(now.ref), true)))
      throw new Disowned('its owner may not run pipelines on this branch or tag any more');
    await this.#deps.schedules.change(tx, now.id, { nextRunAt: next });
  }

  /** Nothing was started: says why, and when it is tried again, if at all. */
  async #put(seen: ScheduleRecord, nextRunAt: EpochMillis, problem: string, active = true): Promise<void> {
    const { transactor, schedules, log } = this.#deps;
    await transactor.write(async (tx) => {
      const now = await schedules.lock(tx, seen.id);
      if (now?.nextRunAt !== seen.nextRunAt || now.updatedAt !== seen.updatedAt) return;
      await schedules.change(tx, seen.id, { nextRunAt, problem, active });
    });
    log.warn('schedule.not_run', { schedule: seen.id, project: seen.projectId, active, problem });
  }
}
