import { expect, test } from 'vitest';
import { millis, type RefName } from '../../../src/base/ids.ts';
import type { ScheduleRecord } from '../../../src/ports/schedules.ts';
import { addProject, addUser, firstPage, now } from './seed.ts';
import type { Bench } from './suite.ts';

export function scheduleCases(bench: Bench): void {
  async function schedule(nextRunAt: number | null, active = true): Promise<ScheduleRecord> {
    const user = await addUser(bench.store);
    const project = await addProject(bench.store, { id: user.namespaceId }, user.id);
    const fields = { projectId: project.id, description: 'nightly', ref: 'refs/heads/main' as RefName, cron: '0 4 * * *', timezone: 'UTC' };
    const people = { ownerId: user.id, describedBy: user.id };
    const variables = [{ key: 'B', value: '2', setBy: user.id }];
    return bench.store.transactor.write((tx) =>
      bench.store.schedules.insert(
        tx,
        { ...fields, ...people, active, nextRunAt: nextRunAt === null ? null : millis(nextRunAt), createdAt: now },
        variables,
      ),
    );
  }

  test('a schedule keeps its fields and its variables by key, and goes with its project', async () => {
    const { schedules, transactor, forge } = bench.store;
    const made = await schedule(now + 5);
    expect(await schedules.byId(null, made.id)).toEqual(made);
    await transactor.write(async (tx) => {
      await schedules.putVariable(tx, made.id, { key: 'A', value: '1', setBy: made.ownerId });
      await schedules.putVariable(tx, made.id, { key: 'B', value: '3', setBy: made.ownerId });
      await schedules.change(tx, made.id, { active: false, problem: 'why', nextRunAt: null, updatedAt: millis(now + 1) });
      expect(await schedules.removeVariable(tx, made.id, 'C')).toBe(false);
      expect((await schedules.lock(tx, made.id))?.variables.map(({ key, value }) => key + value)).toEqual(['A1', 'B3']);
    });
    expect(await schedules.byId(null, made.id)).toMatchObject({ active: false, problem: 'why', nextRunAt: null, updatedAt: now + 1 });
    await transactor.write((tx) => forge.projects.remove(tx, made.projectId));
    expect(await schedules.byId(null, made.id)).toBeUndefined();
  });

  test('what is due comes longest waiting first; neither what is off nor what has no time', async () => {
    const { schedules } = bench.store;
    const [late, early] = [await schedule(now - 1), await schedule(now - 2)];
    const others = [await schedule(now + 1000), await schedule(now - 3, false), await schedule(null)];
    const due = (await schedules.due(null, now, 100)).map((one) => one.id);
    expect(due).toEqual([early.id, late.id]);
    expect(due).not.toEqual(expect.arrayContaining(others.map((one) => one.id)));
    expect(await schedules.due(null, now, 1)).toHaveLength(1);
    expect(await schedules.list(null, early.projectId, { active: true }, firstPage)).toMatchObject({ total: 1, rows: [{ id: early.id }] });
    expect(await schedules.list(null, early.projectId, { active: false }, firstPage)).toMatchObject({ total: 0 });
  });
}
