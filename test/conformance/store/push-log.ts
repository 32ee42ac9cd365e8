import { expect, test } from 'vitest';
import { type Oid, type ProjectId, type RefName, type UserId, zeroOid } from '../../../src/base/ids.ts';
import type { NewPush } from '../../../src/forge/embedded/ports.ts';
import { addProject, addUser, now } from './seed.ts';
import type { Bench } from './suite.ts';

const main = 'refs/heads/main' as RefName;
const other = 'refs/heads/other' as RefName;
const oid = (index: number): Oid => index.toString(16).padStart(40, '0') as Oid;

export function pushLogCases(bench: Bench): void {
  async function place(): Promise<{ project: ProjectId; one: UserId; two: UserId }> {
    const [one, two] = [await addUser(bench.store), await addUser(bench.store)];
    const project = await addProject(bench.store, { id: one.namespaceId }, one.id);
    return { project: project.id, one: one.id, two: two.id };
  }
  const newPush = (
    projectId: ProjectId,
    pushers: readonly UserId[],
    commits: NewPush['commits'],
    refs: readonly RefName[] = [main],
  ): NewPush => ({
    projectId,
    changes: refs.map((ref) => ({ ref, oldOid: zeroOid, newOid: oid(1) })),
    pushers,
    passId: null,
    jobId: null,
    commits,
    skipCi: true,
    at: now,
    node: 3,
  });
  const push = (made: NewPush, moved: readonly RefName[] = [main]) =>
    bench.store.transactor.write(async (tx) => {
      const pushId = await bench.store.forge.pushLog.prepare(tx, made);
      await bench.store.forge.pushLog.finish(tx, pushId, 'applied', moved);
      return pushId;
    });

  test('R3 a commit keeps the first push that brought it, with all of its principals', async () => {
    const { pushLog } = bench.store.forge;
    const { project, one, two } = await place();
    await push(newPush(project, [one, two], [oid(1)]));
    await push(newPush(project, [two], [oid(1), oid(2)]));
    expect(await pushLog.pushersOf(null, project, [oid(1), oid(2), oid(3)])).toEqual(
      new Map([
        [oid(1), [one, two]],
        [oid(2), [two]],
      ]),
    );
    expect(await pushLog.pushersOf(null, (await place()).project, [oid(1)])).toEqual(new Map());
    expect(await pushLog.lastPushers(null, project, main)).toEqual([two]);
  });

  test('R3 more commits than one statement takes are all recorded; unrecorded ones stay unknown', async () => {
    const { pushLog } = bench.store.forge;
    const { project, one } = await place();
    const commits = Array.from({ length: 1203 }, (_, index) => oid(index + 1));
    await push(newPush(project, [one], commits));
    await push(newPush(project, [one], null));
    expect((await pushLog.pushersOf(null, project, [...commits, oid(5000)])).size).toBe(1203);
  });

  test('R3 the push that moved a ref last stays the last one, also where an earlier one is settled after it', async () => {
    const { pushLog } = bench.store.forge;
    const { project, one, two } = await place();
    const { transactor } = bench.store;
    const prepare = (user: UserId) => transactor.write((tx) => pushLog.prepare(tx, newPush(project, [user], [])));
    const [earlier, later] = [await prepare(one), await prepare(two)];
    for (const pushId of [later, earlier]) await transactor.write((tx) => pushLog.finish(tx, pushId, 'applied', [main]));
    expect(await pushLog.lastPushers(null, project, main)).toEqual([two]);
  });

  test('R3 A59 a push that is not settled may have moved its refs already: who pushes counts beside the last one', async () => {
    const { transactor, forge } = bench.store;
    const { pushLog } = forge;
    const { project, one, two } = await place();
    const prepared = await transactor.write((tx) => pushLog.prepare(tx, newPush(project, [two], [], [main, other])));
    // Who moved it before, if anybody did, stays unknown.
    expect(await pushLog.lastPushers(null, project, main)).toBeUndefined();
    await push(newPush(project, [one], []));
    expect(await pushLog.lastPushers(null, project, main)).toEqual([one, two]);
    await transactor.write((tx) => pushLog.finish(tx, prepared, 'dropped', []));
    expect(await pushLog.lastPushers(null, project, main)).toEqual([one]);
  });

  test('R3 A59 a copy knows nobody who last moved a ref that a push was moving', async () => {
    const { transactor, forge } = bench.store;
    const { pushLog } = forge;
    const [{ project, one, two }, copy] = [await place(), (await place()).project];
    await push(newPush(project, [one], [], [main, other]), [main, other]);
    await transactor.write((tx) => pushLog.prepare(tx, newPush(project, [two], [])));
    await transactor.write((tx) => pushLog.shareAll(tx, project, copy));
    expect([await pushLog.lastPushers(null, copy, main), await pushLog.lastPushers(null, copy, other)]).toEqual([undefined, [one]]);
  });

  test('only refs that really moved are remembered', async () => {
    const { pushLog } = bench.store.forge;
    const { project, one } = await place();
    const pushId = await push(newPush(project, [one], [oid(1)], [main, other]), [main]);
    expect(await pushLog.lastPushers(null, project, main)).toEqual([one]);
    expect(await pushLog.lastPushers(null, project, other)).toBeUndefined();
    const row = (await pushLog.unfinished(null)).find((unfinished) => unfinished.id === pushId);
    expect(row).toMatchObject({ projectId: project, state: 'applied', handled: false, skipCi: true, at: now, pushers: [one] });
    expect(row?.changes).toEqual([{ ref: main, oldOid: zeroOid, newOid: oid(1) }]);
  });

  test('a dropped push leaves no commits behind; prepared and unhandled ones are found after a crash', async () => {
    const { transactor, forge } = bench.store;
    const { project, one } = await place();
    const prepared = await transactor.write((tx) => forge.pushLog.prepare(tx, newPush(project, [one], [oid(7)])));
    const unfinished = async () => (await forge.pushLog.unfinished(null)).filter((row) => row.projectId === project);
    expect(await unfinished()).toMatchObject([{ id: prepared, state: 'prepared', node: 3 }]);
    await transactor.write((tx) => forge.pushLog.finish(tx, prepared, 'dropped', []));
    expect(await unfinished()).toEqual([]);
    expect(await forge.pushLog.pushersOf(null, project, [oid(7)])).toEqual(new Map());
    const applied = await push(newPush(project, [one], [oid(8)]));
    await transactor.write((tx) => forge.pushLog.markHandled(tx, applied));
    expect(await unfinished()).toEqual([]);
  });
}
