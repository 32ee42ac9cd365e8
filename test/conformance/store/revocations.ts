import { expect, test } from 'vitest';
import { millis } from '../../../src/base/ids.ts';
import type { Revoked } from '../../../src/ports/revocations.ts';
import { openStore } from '../../../src/store/open.ts';
import { openListener } from '../../../src/store/postgres/database.ts';
import { listen } from '../../../src/store/postgres/notices.ts';
import { parseRevoked } from '../../../src/store/postgres/revocations.ts';
import { addJob, addPass, now } from './seed.ts';
import type { Bench } from './suite.ts';

/** What comes next. */
class Heard<Value> {
  readonly #waiting: ((value: Value) => void)[] = [];
  readonly #come: Value[] = [];
  readonly tell = (value: Value): void => {
    const waiter = this.#waiting.shift();
    if (waiter === undefined) this.#come.push(value);
    else waiter(value);
  };
  next(): Promise<Value> {
    const value = this.#come.shift();
    return value === undefined ? new Promise((resolve) => this.#waiting.push(resolve)) : Promise.resolve(value);
  }
}

export function revocationCases(bench: Bench): void {
  test('R2 whoever listens hears of what another process ended once it is committed, and of nothing that was not', async () => {
    const other = await openStore(bench.url);
    const heard = new Heard<Revoked>();
    const stop = await other.revocations.listen(heard.tell);
    const { transactor, passes } = bench.store;
    const job = await addJob(bench.store, 'running');
    const parent = await addPass(bench.store, job);
    const child = await addPass(bench.store, job, { kind: 'narrowed', parentId: parent.id });
    await addPass(bench.store, job, { kind: 'fetch' });
    const rolledBack = transactor.write(async (tx) => {
      await passes.revokeForJob(tx, job.id, 'never', millis(now));
      throw new Error('rolled back');
    });
    await expect(rolledBack).rejects.toThrow('rolled back');
    await transactor.write((tx) => passes.revoke(tx, parent.id, 'leaked', millis(now)));
    await transactor.write((tx) => passes.revokeForJob(tx, job.id, 'ended', millis(now)));
    // One process has SQLite to itself, and tells itself.
    if (bench.engine.name === 'postgres') {
      const first = await heard.next();
      expect(first.kind === 'passes' ? new Set(first.passIds) : first).toEqual(new Set([parent.id, child.id]));
      expect(await heard.next()).toEqual({ kind: 'job', jobId: job.id });
    }
    await stop();
    await other.close();
  });

  test('R2 a node that lost its connection listens again', async () => {
    if (bench.engine.name !== 'postgres') return;
    const heard = new Heard<string>();
    const listening = await listen(() => openListener(bench.url), 'c', heard.tell);
    const say = () => bench.engine.execute(bench.url, `select pg_notify('c', 'hello')`);
    await say();
    expect(await heard.next()).toBe('hello');
    // As often as it takes: each time the connection breaks under it, and under what it asked meanwhile.
    for (let round = 0; round < 3; round += 1) {
      expect(await bench.engine.cut(bench.url, 'jobpass listens')).toBeGreaterThan(0);
      await listening.check();
      await listening.check();
      await listening.check();
      await say();
      expect(await heard.next()).toBe('hello');
    }
    await listening.close();
  });

  test('R13 what no node of ours says is no revocation', () => {
    for (const text of [
      '',
      'job:',
      'job:0',
      'job:1,2',
      'passes:',
      'passes:1,',
      'passes:x',
      'job:1 ',
      'jobs:1',
      `passes:${'1,'.repeat(200)}1`,
    ])
      expect(parseRevoked(text)).toBeUndefined();
    expect([parseRevoked('job:7'), parseRevoked('passes:1,2')]).toEqual([
      { kind: 'job', jobId: 7 },
      { kind: 'passes', passIds: [1, 2] },
    ]);
  });
}
