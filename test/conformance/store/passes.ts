import { expect, test } from 'vitest';
import { id, type JobId, millis, type PipelineId } from '../../../src/base/ids.ts';
import type { JobStatus } from '../../../src/ports/jobs.ts';
import { addJob, addPass, digestOf, now, unknownId, unknownJob } from './seed.ts';
import type { Bench } from './suite.ts';

export function passCases(bench: Bench): void {
  test('R6 a pass is found by the digest of its secret, and comes back as it was put', async () => {
    const { passes } = bench.store;
    const job = await addJob(bench.store, 'running');
    const principals = [{ userId: job.userId, reason: 'starter' } as const, { userId: job.userId, reason: 'pusher' } as const];
    const pass = await addPass(bench.store, job, { kind: 'fetch', principals, ownProjectOnly: true, chainDepth: 3 });
    expect(await passes.byDigest(null, pass.digest)).toEqual(pass);
    expect(await passes.byId(null, pass.id)).toEqual(pass);
    expect(await passes.forJob(null, job.id)).toEqual([pass]);
    expect(await passes.byDigest(null, digestOf())).toBeUndefined();
    expect(await passes.byId(null, unknownId as never)).toBeUndefined();
    expect(await passes.forJob(null, unknownJob)).toEqual([]);
  });

  test('R13 a pass may be that of a job with a number beyond 2³¹, as a large GitLab has behind a gateway', async () => {
    const { passes } = bench.store;
    const job = { ...(await addJob(bench.store, 'running')), id: id<JobId>(9_000_000_001), pipelineId: id<PipelineId>(9_000_000_002) };
    const pass = await addPass(bench.store, job);
    expect(await passes.forJob(null, job.id)).toEqual([pass]);
  });

  test('R9 children die with their parent, however deep; the first reason stays', async () => {
    const { transactor, passes } = bench.store;
    const job = await addJob(bench.store, 'running');
    const root = await addPass(bench.store, job);
    const child = await addPass(bench.store, job, { kind: 'narrowed', parentId: root.id });
    const grandchild = await addPass(bench.store, job, { kind: 'narrowed', parentId: child.id });
    const beside = await addPass(bench.store, job, { kind: 'fetch' });
    const revoke = (id: typeof root.id, reason: string, at: number) => transactor.write((tx) => passes.revoke(tx, id, reason, millis(at)));
    expect(await revoke(child.id, 'leaked', now)).toEqual(expect.arrayContaining([child.id, grandchild.id]));
    expect(await revoke(root.id, 'given back', now + 1)).toEqual([root.id]);
    expect(await revoke(root.id, 'again', now + 2)).toEqual([]);
    expect(await passes.byId(null, grandchild.id)).toMatchObject({ revokedAt: now, revokedReason: 'leaked' });
    expect(await passes.byId(null, root.id)).toMatchObject({ revokedAt: now + 1, revokedReason: 'given back' });
    expect(await passes.byId(null, beside.id)).toMatchObject({ revokedAt: null });
    expect(await transactor.write((tx) => passes.revokeForJob(tx, job.id, 'ended', millis(now + 3)))).toBe(1);
    expect(await passes.byId(null, beside.id)).toMatchObject({ revokedReason: 'ended' });
  });

  test.each(['revoke', 'revokeForJob'] as const)(
    'R9 R12 a child that is being made while its parent is revoked dies with it: %s',
    async (how) => {
      const { transactor, passes } = bench.store;
      const job = await addJob(bench.store, 'running');
      const root = await addPass(bench.store, job);
      const parent = await addPass(bench.store, job, { kind: 'narrowed', parentId: root.id });
      const [asked, goOn] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
      const making = transactor.write(async (tx) => {
        // As an exchange asks at its effect: from here on a revocation waits for it.
        await passes.byId(tx, parent.id);
        asked.resolve();
        await goOn.promise;
        const { id: _id, revokedAt: _at, revokedReason: _reason, ...fields } = parent;
        return passes.insert(tx, { ...fields, digest: digestOf(), parentId: parent.id });
      });
      await asked.promise;
      const revoking = transactor.write<unknown>((tx) =>
        how === 'revoke' ? passes.revoke(tx, root.id, 'leaked', now) : passes.revokeForJob(tx, job.id, 'the job reported its end', now),
      );
      await expect.poll(() => bench.engine.blocked(bench.url), { timeout: 20_000, interval: 20 }).toBe(true);
      goOn.resolve();
      const child = await making;
      await revoking;
      const all = await passes.forJob(null, job.id);
      expect(all.map(({ id: pass, revokedAt }) => [pass, revokedAt])).toEqual([root.id, parent.id, child].map((pass) => [pass, now]));
    },
  );

  test('R2 every state of a job says how alive it is; an unknown job is not', async () => {
    const { liveness, jobs, transactor } = bench.store;
    const expected: Readonly<Record<JobStatus, string>> = {
      created: 'waiting',
      pending: 'waiting',
      manual: 'waiting',
      scheduled: 'waiting',
      waiting_for_resource: 'waiting',
      running: 'running',
      canceling: 'canceling',
      success: 'ended',
      failed: 'ended',
      canceled: 'ended',
      skipped: 'ended',
    };
    for (const status of Object.keys(expected) as JobStatus[]) {
      const job = await addJob(bench.store, status);
      expect(await liveness.jobLife(null, job.id), status).toMatchObject({ state: expected[status] });
    }
    const job = await addJob(bench.store, 'running');
    const change = { status: 'canceling', cancelingSince: now, contactAt: millis(now + 1) } as const;
    await transactor.write((tx) => jobs.changeJob(tx, job.id, ['running'], change));
    expect(await liveness.jobLife(null, job.id)).toEqual({ state: 'canceling', cancelingSince: now, contactAt: now + 1 });
    expect(await liveness.jobLife(null, unknownJob)).toBeUndefined();
  });

  test('R2 a job does not end between the question and the effect', async () => {
    const { transactor, liveness, jobs } = bench.store;
    const job = await addJob(bench.store, 'running');
    const order: string[] = [];
    const asked = Promise.withResolvers<void>();
    const goOn = Promise.withResolvers<void>();
    const effect = transactor.write(async (tx) => {
      expect(await liveness.jobLife(tx, job.id)).toMatchObject({ state: 'running' });
      asked.resolve();
      await goOn.promise;
      order.push('effect');
    });
    await asked.promise;
    const end = transactor.write(async (tx) => {
      expect(await jobs.changeJob(tx, job.id, ['running'], { status: 'success' })).toBe(true);
      order.push('end');
    });
    while (order.length === 0 && !(await bench.engine.blocked(bench.url)));
    goOn.resolve();
    await Promise.all([effect, end]);
    expect(order).toEqual(['effect', 'end']);
  });

  test('R2 an effect that asks while the job is ending waits, and hears that it has ended', async () => {
    const { transactor, liveness, jobs } = bench.store;
    const job = await addJob(bench.store, 'running');
    const ending = Promise.withResolvers<void>();
    const goOn = Promise.withResolvers<void>();
    const end = transactor.write(async (tx) => {
      await jobs.changeJob(tx, job.id, ['running'], { status: 'failed' });
      ending.resolve();
      await goOn.promise;
    });
    await ending.promise;
    const heard: unknown[] = [];
    const effect = transactor.write(async (tx) => {
      heard.push(await liveness.jobLife(tx, job.id));
    });
    // Outside of a transaction the last committed state counts.
    expect(await liveness.jobLife(null, job.id)).toMatchObject({ state: 'running' });
    while (heard.length === 0 && !(await bench.engine.blocked(bench.url)));
    goOn.resolve();
    await Promise.all([end, effect]);
    expect(heard).toEqual([expect.objectContaining({ state: 'ended' })]);
  });
}
