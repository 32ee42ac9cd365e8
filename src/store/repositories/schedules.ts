import type { Selectable } from 'kysely';
import { id, millis, type PipelineId, type ProjectId, type RefName, type UserId } from '../../base/ids.ts';
import type { ScheduleId, ScheduleInput, ScheduleRecord, ScheduleStore, ScheduleVariable } from '../../ports/schedules.ts';
import type { MaybeTx } from '../../ports/tx.ts';
import { type Database, readJson } from '../database.ts';
import type { SchedulesTable } from '../schema.ts';
import { paged } from './paged.ts';

export function scheduleRepository(db: Database): ScheduleStore {
  const variablesOf = async (tx: MaybeTx, schedule: number): Promise<readonly ScheduleVariable[]> => {
    const rows = await db.on(tx).selectFrom('scheduleVariables').selectAll().where('scheduleId', '=', schedule).orderBy('key').execute();
    return rows.map(({ key, value, setBy }) => ({ key, value, setBy: id<UserId>(setBy) }));
  };
  const whole = async (tx: MaybeTx, row: Selectable<SchedulesTable>): Promise<ScheduleRecord> => ({
    id: id<ScheduleId>(row.id),
    projectId: id<ProjectId>(row.projectId),
    description: row.description,
    ref: row.ref as RefName,
    cron: row.cron,
    timezone: row.timezone,
    active: row.active === 1,
    nextRunAt: row.nextRunAt === null ? null : millis(row.nextRunAt),
    ownerId: id<UserId>(row.ownerId),
    describedBy: id<UserId>(row.describedBy),
    problem: row.problem,
    lastPipelineId: row.lastPipelineId === null ? null : id<PipelineId>(row.lastPipelineId),
    createdAt: millis(row.createdAt),
    updatedAt: millis(row.updatedAt),
    inputs: readJson<ScheduleInput[]>(row.inputs),
    variables: await variablesOf(tx, row.id),
  });
  return {
    async insert(tx, schedule, variables) {
      const on = db.on(tx);
      const row = await on
        .insertInto('schedules')
        .values({ ...schedule, active: schedule.active ? 1 : 0, problem: null, lastPipelineId: null, updatedAt: schedule.createdAt })
        .returningAll()
        .executeTakeFirstOrThrow();
      for (const variable of variables)
        await on
          .insertInto('scheduleVariables')
          .values({ ...variable, projectId: schedule.projectId, scheduleId: row.id })
          .execute();
      return whole(tx, row);
    },
    async byId(tx, schedule) {
      const row = await db.on(tx).selectFrom('schedules').selectAll().where('id', '=', schedule).executeTakeFirst();
      return row === undefined ? undefined : whole(tx, row);
    },
    async lock(tx, schedule) {
      const query = db.on(tx).selectFrom('schedules').selectAll().where('id', '=', schedule);
      const row = await (db.engine.rowLocks ? query.forUpdate() : query).executeTakeFirst();
      return row === undefined ? undefined : whole(tx, row);
    },
    async list(tx, project, filter, page) {
      let query = db.on(tx).selectFrom('schedules').where('projectId', '=', project);
      if (filter.active !== undefined) query = query.where('active', '=', filter.active ? 1 : 0);
      const found = await paged(
        query,
        page,
        (rows) => rows.selectAll().orderBy('id').execute(),
        (row) => row,
      );
      return { rows: await Promise.all(found.rows.map((row) => whole(tx, row))), total: found.total };
    },
    async change(tx, schedule, { active, inputs, ...plain }) {
      const values = {
        ...plain,
        ...(active === undefined ? {} : { active: active ? 1 : 0 }),
        ...(inputs === undefined ? {} : { inputs: JSON.stringify(inputs) }),
      };
      if (Object.keys(values).length > 0) await db.on(tx).updateTable('schedules').set(values).where('id', '=', schedule).execute();
    },
    async remove(tx, schedule) {
      await db.on(tx).deleteFrom('scheduleVariables').where('scheduleId', '=', schedule).execute();
      await db.on(tx).deleteFrom('schedules').where('id', '=', schedule).execute();
    },
    async putVariable(tx, schedule, { key, value, setBy }) {
      const on = db.on(tx);
      const { projectId } = await on.selectFrom('schedules').select('projectId').where('id', '=', schedule).executeTakeFirstOrThrow();
      await on
        .insertInto('scheduleVariables')
        .values({ projectId, scheduleId: schedule, key, value, setBy })
        .onConflict((conflict) => conflict.columns(['scheduleId', 'key']).doUpdateSet({ value, setBy }))
        .execute();
    },
    async removeVariable(tx, schedule, key) {
      const done = await db
        .on(tx)
        .deleteFrom('scheduleVariables')
        .where('scheduleId', '=', schedule)
        .where('key', '=', key)
        .executeTakeFirst();
      return done.numDeletedRows > 0n;
    },
    async due(tx, now, limit) {
      const rows = await db
        .on(tx)
        .selectFrom('schedules')
        .selectAll()
        .where('active', '=', 1)
        .where('nextRunAt', '<=', now)
        .orderBy('nextRunAt')
        .limit(limit)
        .execute();
      return Promise.all(rows.map((row) => whole(tx, row)));
    },
  };
}
