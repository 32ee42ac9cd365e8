import { expect, test } from 'vitest';
import { type AuditId, id, type JobId, millis, type PassId, type ProjectId, type UserId } from '../../../src/base/ids.ts';
import type { AuditRow } from '../../../src/ports/audit.ts';
import { openStore } from '../../../src/store/open.ts';
import { startChild } from './processes.ts';
import { auditRow, now } from './seed.ts';
import type { Bench } from './suite.ts';

export function auditCases(bench: Bench): void {
  const row = async (auditId: AuditId): Promise<AuditRow | undefined> =>
    (await bench.store.audit.query({ afterId: id<AuditId>(auditId - 1), limit: 1 }))[0];

  test('R10 a row comes back as it was written, with its outcome after it was settled', async () => {
    const { audit } = bench.store;
    const principals = [id<UserId>(3), id<UserId>(5)];
    const made = auditRow({ principals, accesses: ['code:push@project:7'], passId: id<PassId>(4), jobId: id<JobId>(9), count: 3 });
    const auditId = await audit.append(made);
    expect(await row(auditId)).toEqual({ ...made, id: auditId, outcome: null, outcomeAt: null, outcomeDetail: null });
    await audit.settle(auditId, 'failed', 'hook refused', millis(now + 1));
    // The next append's commit takes the outcomes that wait along.
    await audit.append(auditRow());
    expect(await row(auditId)).toMatchObject({ outcome: 'failed', outcomeAt: now + 1, outcomeDetail: 'hook refused' });
    await audit.settle(auditId, 'done', null, now);
    await audit.append(auditRow());
    expect(await row(auditId)).toMatchObject({ outcome: 'failed' });
  });

  // Those of a large GitLab, behind a gateway.
  test('R10 ids have room for more than 2³¹ jobs', async () => {
    const { audit } = bench.store;
    const made = auditRow({
      passId: id<PassId>(9_000_000_000),
      jobId: id<JobId>(9_000_000_001),
      jobProjectId: id<ProjectId>(9_000_000_003),
    });
    expect(await row(await audit.append(made))).toMatchObject(made);
  });

  test('R10 appends of the same moment get ids of their own rows, in order', async () => {
    const { audit } = bench.store;
    const names = Array.from({ length: 450 }, (_, index) => `moment-${index}`);
    const ids = await Promise.all(names.map((requestId) => audit.append(auditRow({ requestId }))));
    expect(ids).toEqual([...ids].toSorted((one, other) => one - other));
    const [first = id<AuditId>(1)] = ids;
    const rows = await audit.query({ afterId: id<AuditId>(first - 1), limit: 450 });
    expect(rows.map((one) => [one.id, one.requestId])).toEqual(ids.map((auditId, index) => [auditId, names[index]]));
  });

  test('R10 outcomes that still wait are written before the store closes', async () => {
    const store = await openStore(bench.url);
    const auditId = await store.audit.append(auditRow());
    await store.audit.settle(auditId, 'cut', null, now);
    await store.close();
    expect(await row(auditId)).toMatchObject({ outcome: 'cut' });
  });

  test('R10 at a start, allows without outcome become unknown; what another node knows better replaces it', async () => {
    const { audit } = bench.store;
    const [allow, deny] = [await audit.append(auditRow()), await audit.append(auditRow({ decision: 'deny' }))];
    expect(await audit.settleUnknown(millis(now + 7))).toBeGreaterThan(0);
    expect(await audit.settleUnknown(millis(now + 8))).toBe(0);
    expect(await row(allow)).toMatchObject({ outcome: 'unknown', outcomeAt: now + 7 });
    expect(await row(deny)).toMatchObject({ outcome: null });
    await audit.settle(allow, 'done', null, millis(now + 9));
    await audit.append(auditRow());
    expect(await row(allow)).toMatchObject({ outcome: 'done', outcomeAt: now + 9 });
  });

  test('rows are found by user, project (of the job or asked for), job and decision; the newest last', async () => {
    const { audit } = bench.store;
    const [user, project, job] = [id<UserId>(770), id<ProjectId>(771), id<JobId>(772)];
    const byUser = await audit.append(auditRow({ principals: [id<UserId>(1), user] }));
    await audit.append(auditRow({ principals: [id<UserId>(7701), id<UserId>(77)] }));
    const ofJob = await audit.append(auditRow({ jobProjectId: project, jobId: job, decision: 'deny' }));
    const asked = await audit.append(auditRow({ accesses: ['code:download@project:1', 'code:push@project:771'] }));
    await audit.append(auditRow({ accesses: ['code:push@project:7711', 'code:push@group:771'] }));
    const found = async (query: Parameters<typeof audit.query>[0]) => (await audit.query(query)).map((one) => one.id);
    expect(await found({ userId: user, limit: 10 })).toEqual([byUser]);
    expect(await found({ projectId: project, limit: 10 })).toEqual([ofJob, asked]);
    expect(await found({ projectId: project, limit: 1 })).toEqual([asked]);
    expect(await found({ projectId: project, afterId: id<AuditId>(ofJob - 1), limit: 1 })).toEqual([ofJob]);
    expect(await found({ jobId: job, limit: 10 })).toEqual([ofJob]);
    expect(await found({ jobId: job, decision: 'allow', limit: 10 })).toEqual([]);
  });

  test('rows of a pass are counted', async () => {
    const { audit } = bench.store;
    const passId = id<PassId>(881);
    await Promise.all([audit.append(auditRow({ passId })), audit.append(auditRow({ passId }))]);
    expect(await audit.countForPass(null, passId)).toBe(2);
    expect(await audit.countForPass(null, id<PassId>(882))).toBe(0);
  });

  test('R10 a row that was acknowledged is there after the process was killed', async () => {
    const child = startChild('append', bench.url, 'killed');
    await child.printed(200);
    child.process.kill('SIGKILL');
    await child.ended;
    const acknowledged = child.lines.filter((line) => /^[0-9]+$/.test(line)).map(Number);
    expect(acknowledged.length).toBeGreaterThanOrEqual(199);
    const [first = 1] = acknowledged;
    const rows = await bench.store.audit.query({ afterId: id<AuditId>(first - 1), limit: 1_000_000 });
    const kept = new Set<number>(rows.filter((one) => one.requestId === 'killed').map((one) => one.id));
    expect(acknowledged.filter((auditId) => !kept.has(auditId))).toEqual([]);
  });

  test('R10 a trail that cannot be written says so', async () => {
    const url = await bench.engine.fresh();
    const store = await openStore(url);
    await bench.engine.execute(url, 'alter table "audit" rename to "elsewhere"');
    await expect(store.audit.append(auditRow())).rejects.toThrow(expect.objectContaining({ code: 'audit_unavailable' }));
    await bench.engine.execute(url, 'alter table "elsewhere" rename to "audit"');
    expect(await store.audit.append(auditRow())).toBeGreaterThan(0);
    await store.close();
  });

  test('R10 an outcome that could not be written is written later', async () => {
    const url = await bench.engine.fresh();
    const store = await openStore(url);
    const auditId = await store.audit.append(auditRow());
    await bench.engine.execute(url, 'alter table "audit" rename to "elsewhere"');
    await store.audit.settle(auditId, 'done', null, now);
    await expect(store.audit.append(auditRow())).rejects.toThrow(expect.objectContaining({ code: 'audit_unavailable' }));
    await bench.engine.execute(url, 'alter table "elsewhere" rename to "audit"');
    await store.audit.append(auditRow());
    expect(await store.audit.query({ limit: 10 })).toMatchObject([{ id: auditId, outcome: 'done' }, { outcome: null }]);
    await store.close();
  });
}
