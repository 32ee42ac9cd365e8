import { expect, test } from 'vitest';
import { addJob, unknownJob } from './seed.ts';
import type { Bench } from './suite.ts';

export function jobRightsCases(bench: Bench): void {
  test('R3 whose rights a job intersects comes back as it was recorded, and is written anew when it is taken again', async () => {
    const { jobRights, transactor } = bench.store;
    const job = await addJob(bench.store, 'running');
    expect(await jobRights.of(null, unknownJob)).toBeUndefined();
    const first = { principals: [{ userId: job.userId, reason: 'starter' }], provable: true, sources: [] } as const;
    await transactor.write((tx) => jobRights.record(tx, job.id, first));
    expect(await jobRights.of(null, job.id)).toEqual(first);
    const second = { principals: [{ userId: job.userId, reason: 'pusher' }], provable: false, sources: [unknownJob] } as const;
    await transactor.write((tx) => jobRights.record(tx, job.id, second));
    expect(await jobRights.of(null, job.id)).toEqual(second);
  });
}
