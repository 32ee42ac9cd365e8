import { expect, test } from 'vitest';
import { id, type JobId, type PassId } from '../../src/base/ids.ts';
import { LiveGrants } from '../../src/pass/live.ts';

const [job, pass, other] = [id<JobId>(1), id<PassId>(1), id<PassId>(2)];

test('R2 revoking a pass cuts its own streams only', () => {
  const live = new LiveGrants(async () => true, 1e6);
  const [mine, theirs] = [live.enter(job, pass), live.enter(job, other)];
  live.passRevoked(pass);
  expect([mine.signal.aborted, theirs.signal.aborted]).toEqual([true, false]);
  live.jobEnded(job);
  expect(theirs.signal.aborted).toBe(true);
  mine.leave();
  theirs.leave();
  expect(live.size).toBe(0);
});

test('R2 a sweep asks once for each pass, and cuts the dead and those whose question fails', async () => {
  const asked: PassId[] = [];
  const live = new LiveGrants(async ({ passId }) => {
    asked.push(passId);
    if (passId === pass) throw new Error('store');
    return passId === other;
  }, 1e6);
  const dead = live.enter(job, pass);
  const alive = [live.enter(job, other), live.enter(job, other)];
  await live.sweep();
  expect(asked).toEqual([pass, other]);
  expect([dead.signal.aborted, ...alive.map(({ signal }) => signal.aborted)]).toEqual([true, false, false]);
  expect(dead.signal.reason).toMatchObject({ code: 'job_unanswered' });
  live.close();
});

test('R2 no answer means no, and sweeps do not pile up behind a stuck store', async () => {
  let asked = 0;
  const stuck = new LiveGrants(
    () => {
      asked += 1;
      return new Promise<boolean>(() => {});
    },
    1e6,
    1,
  );
  const open = stuck.enter(job, pass);
  await Promise.all([stuck.sweep(), stuck.sweep()]);
  expect([asked, open.signal.aborted, open.signal.reason]).toEqual([1, true, expect.objectContaining({ code: 'job_unanswered' })]);
  stuck.close();
});

test('R2 the sweep runs by itself while something is open', async () => {
  const live = new LiveGrants(async () => false, 1);
  const open = live.enter(job, pass);
  await new Promise((resolve) => open.signal.addEventListener('abort', resolve));
  expect(open.signal.reason).toMatchObject({ code: 'pass_dead' });
  open.leave();
  expect(live.size).toBe(0);
});

test('R2 R9 what another process ended is cut here', () => {
  const live = new LiveGrants(async () => true, 1e6);
  const [one, two, three] = [live.enter(job, pass), live.enter(job, other), live.enter(id<JobId>(2), id<PassId>(3))];
  live.told({ kind: 'passes', passIds: [pass] });
  expect([one.signal.aborted, two.signal.aborted, three.signal.aborted]).toEqual([true, false, false]);
  live.told({ kind: 'job', jobId: job });
  expect([two.signal.aborted, three.signal.aborted]).toEqual([true, false]);
  live.close();
});
