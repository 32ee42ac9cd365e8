import { describe, expect, test } from 'vitest';
import { Wakeup } from '../../src/jobs/wakeup.ts';

describe('waiting for jobs', () => {
  test('thousands wait, and all hear of one change', async () => {
    const wakeup = new Wakeup('a');
    const seen = wakeup.version;
    const signal = new AbortController().signal;
    const waiting = Array.from({ length: 5000 }, () => wakeup.wait(seen, 60_000, new AbortController().signal));
    wakeup.changed();
    expect(new Set(await Promise.all(waiting))).toEqual(new Set([true]));
    expect(await wakeup.wait(seen, 60_000, signal)).toBe(true);
  });

  test('who hangs up waits no longer, and hears nothing', async () => {
    const wakeup = new Wakeup('a');
    const gone = new AbortController();
    const waiting = wakeup.wait(wakeup.version, 60_000, gone.signal);
    gone.abort();
    expect(await waiting).toBe(false);
    expect(await wakeup.wait(wakeup.version, 60_000, gone.signal)).toBe(false);
  });

  test('a version of another start is never taken for ours', async () => {
    expect(await new Wakeup('b').wait(new Wakeup('a').version, 60_000, new AbortController().signal)).toBe(true);
  });
});
