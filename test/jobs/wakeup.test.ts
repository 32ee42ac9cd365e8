import { describe, expect, test } from 'vitest';
import { id, type RunnerId } from '../../src/base/ids.ts';
import { Wakeup, type Waiter } from '../../src/jobs/wakeup.ts';

const waiter = (runner = 1): Waiter<unknown> => ({ runnerId: id<RunnerId>(runner), asked: null });

describe('waiting for jobs', () => {
  test('thousands wait, and a change wakes only those that there is something for', async () => {
    const wakeup = new Wakeup('a');
    const seen = wakeup.version;
    const looks: number[] = [];
    wakeup.matchBy(
      (waiters) => {
        const all = [...waiters];
        looks.push(all.length);
        return Promise.resolve(all.slice(0, 2));
      },
      () => expect.unreachable(),
    );
    const waiting = Array.from({ length: 5000 }, () => wakeup.wait(waiter(), seen, 60_000));
    wakeup.changed();
    expect(await Promise.all(waiting.slice(0, 2).map(({ told }) => told))).toEqual(['wake', 'wake']);
    expect([wakeup.size, looks]).toEqual([4998, [5000]]);
    wakeup.close();
    expect(new Set(await Promise.all(waiting.slice(2).map(({ told }) => told)))).toEqual(new Set(['none']));
    expect(await wakeup.wait(waiter(), wakeup.version, 60_000).told).toBe('none');
  });

  test('a change while it is looked is looked at again', async () => {
    const wakeup = new Wakeup('a');
    let looks = 0;
    wakeup.matchBy(
      (waiters) => {
        looks += 1;
        if (looks === 1) wakeup.changed();
        return Promise.resolve(looks === 1 ? [] : [...waiters]);
      },
      () => expect.unreachable(),
    );
    const { told } = wakeup.wait(waiter(), wakeup.version, 60_000);
    wakeup.changed();
    expect([await told, looks]).toEqual(['wake', 2]);
  });

  test('who looked before a change looks again at once; who hangs up hears nothing; a changed runner wakes its own polls', async () => {
    const wakeup = new Wakeup('a');
    wakeup.matchBy(
      () => Promise.resolve([]),
      () => undefined,
    );
    const seen = wakeup.version;
    wakeup.changed();
    expect(await wakeup.wait(waiter(), seen, 60_000).told).toBe('wake');
    const [left, own, other] = [1, 2, 3].map((runner) => wakeup.wait(waiter(runner), wakeup.version, 60_000));
    left?.leave();
    expect(await left?.told).toBe('none');
    wakeup.release(id<RunnerId>(2));
    expect(await own?.told).toBe('wake');
    expect(wakeup.size).toBe(1);
    other?.leave();
  });

  test('a version of another start is never taken for ours', async () => {
    expect(await new Wakeup('b').wait(waiter(), new Wakeup('a').version, 60_000).told).toBe('wake');
  });
});
