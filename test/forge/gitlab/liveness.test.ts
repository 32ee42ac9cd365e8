import { afterEach, expect, test, vi } from 'vitest';
import { JobpassError } from '../../../src/base/errors.ts';
import { type Log, silentLog } from '../../../src/base/log.ts';
import { GitlabLiveness, type LivenessDeps } from '../../../src/forge/gitlab/liveness.ts';

afterEach(() => vi.useRealTimers());

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
