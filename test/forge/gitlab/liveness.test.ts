import { afterEach, expect, test, vi } from 'vitest';
import { systemClock } from '../../../src/base/clock.ts';
import { JobpassError } from '../../../src/base/errors.ts';
import { id, type JobId } from '../../../src/base/ids.ts';
import { type Log, silentLog } from '../../../src/base/log.ts';
import { Secret } from '../../../src/base/secret.ts';
import { GitlabLiveness, type LivenessDeps } from '../../../src/forge/gitlab/liveness.ts';

afterEach(() => vi.useRealTimers());

test('R2 a forge that takes longer to answer than a yes counts is told of in the log', async () => {
  const warned: unknown[] = [];
  const log: Log = { ...silentLog, warn: (event, fields) => warned.push([event, fields]) };
  let [now, tookMs] = [0, 999];
  const job = id<JobId>(7);
  const deps = {
    log,
    clock: { ...systemClock, monotonic: () => now },
    seal: { open: () => new Secret('glcbt-x') },
    jobs: { byId: () => Promise.resolve({ sealedToken: '', state: 'running', contactAt: 0, cancelingSince: null }) },
    upstream: {
      jobOf() {
        now += tookMs;
        return Promise.resolve({ id: job, status: 'running' });
      },
    },
  };
  const liveness = new GitlabLiveness(deps as unknown as LivenessDeps);
  await liveness.look(job);
  expect(warned).toEqual([]);
  tookMs = 1200;
  await liveness.look(job);
  expect(warned[0]).toEqual(['gateway.job_answered_late', { job, ms: 1200 }]);
});

test('a job that is over is not kept in memory, whoever names it', async () => {
  let asked = 0;
  const byId = () => {
    asked += 1;
    return Promise.resolve({ sealedToken: '', state: 'ended', contactAt: 0, cancelingSince: null });
  };
  const liveness = new GitlabLiveness({ jobs: { byId }, seal: { open: () => new Secret('glcbt-x') } } as unknown as LivenessDeps);
  for (let count = 1; count < 3; count += 1) {
    expect(await liveness.jobLife(null, id<JobId>(7))).toMatchObject({ state: 'ended' });
    expect(asked).toBe(count);
  }
});

test('a store that is away while jobs are looked after ends no gateway', async () => {
  vi.useFakeTimers();
  const warned: unknown[] = [];
  const log: Log = { ...silentLog, warn: (event, fields) => warned.push([event, fields]) };
  const jobs = { unended: () => Promise.reject(new JobpassError('store_unavailable')) };
  const liveness = new GitlabLiveness({ jobs, log } as unknown as LivenessDeps);
  liveness.start();
  await vi.advanceTimersByTimeAsync(25_000);
  liveness.stop();
  expect(warned).toEqual([0, 1].map(() => ['gateway.reap_failed', { why: expect.any(String) }]));
});
