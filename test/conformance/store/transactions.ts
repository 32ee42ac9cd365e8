import { expect, test } from 'vitest';
import { JobpassError } from '../../../src/base/errors.ts';
import { id, type ProjectId, type UserId } from '../../../src/base/ids.ts';
import { openStore } from '../../../src/store/open.ts';
import { addUser, now, uniqueName } from './seed.ts';
import type { Bench } from './suite.ts';

export function transactionCases(bench: Bench): void {
  test('commits what the work wrote, and hands back its result', async () => {
    const { transactor, settings } = bench.store;
    const result = await transactor.write(async (tx) => {
      await settings.set(tx, 'kept', 'one');
      await settings.set(tx, 'kept', 'two');
      return 7;
    });
    expect(result).toBe(7);
    expect(await settings.get(null, 'kept')).toBe('two');
    expect(await settings.get(null, 'never set')).toBeUndefined();
  });

  test('rolls back everything when the work rejects, with the same error', async () => {
    const { transactor, settings, forge } = bench.store;
    const username = uniqueName();
    const error = new Error('no');
    const failing = transactor.write(async (tx) => {
      await settings.set(tx, 'lost', 'one');
      await forge.users.insert(tx, { username, name: 'n', email: 'e@example.org', isAdmin: false, createdAt: now });
      throw error;
    });
    await expect(failing).rejects.toBe(error);
    expect(await settings.get(null, 'lost')).toBeUndefined();
    expect((await forge.users.list(null, { username }, { page: 1, perPage: 1 })).total).toBe(0);
    // The connection is good for the next one.
    await transactor.write((tx) => settings.set(tx, 'next', 'one'));
    expect(await settings.get(null, 'next')).toBe('one');
  });

  test('a read beside an open transaction neither waits for it nor sees it', async () => {
    const { transactor, settings } = bench.store;
    await transactor.write((tx) => settings.set(tx, 'beside', 'old'));
    await transactor.write(async (tx) => {
      await settings.set(tx, 'beside', 'new');
      expect(await settings.get(null, 'beside')).toBe('old');
      expect(await settings.get(tx, 'beside')).toBe('new');
    });
    expect(await settings.get(null, 'beside')).toBe('new');
  });

  test('R13 what a decision reads beside open transactions, one behind another or rolled back, is committed', async () => {
    const { transactor, directory, forge } = bench.store;
    const user = await addUser(bench.store);
    const state = async (tx: Parameters<typeof directory.users>[0]) => (await directory.users(tx, [user.id])).get(user.id)?.state;
    const change = (to: 'active' | 'blocked', fails: boolean): Promise<void> =>
      transactor.write(async (tx) => {
        await forge.users.setState(tx, user.id, to);
        // The row's other states are those that were committed before.
        expect([await state(null), await state(tx)]).toEqual([to === 'blocked' ? 'active' : expect.any(String), to]);
        if (fails) throw new Error('no');
      });
    const ended = await Promise.allSettled([change('blocked', true), change('blocked', false), change('active', true)]);
    expect(ended.map(({ status }) => status)).toEqual(['rejected', 'fulfilled', 'rejected']);
    expect(await state(null)).toBe('blocked');
  });

  test('more transactions at once than there are connections all commit, also where each reads beside itself', async () => {
    const { transactor, settings } = bench.store;
    const names = Array.from({ length: 60 }, (_, index) => `many ${index}`);
    await Promise.all(
      names.map((name) =>
        transactor.write(async (tx) => {
          await settings.set(tx, name, 'set');
          await settings.get(null, name);
        }),
      ),
    );
    expect(await Promise.all(names.map((name) => settings.get(null, name)))).toEqual(names.map(() => 'set'));
  });

  test('a unique name that is taken is a conflict, and nothing of that transaction stays', async () => {
    const { transactor, settings, forge } = bench.store;
    const user = await addUser(bench.store);
    const again = transactor.write(async (tx) => {
      await settings.set(tx, 'before the conflict', 'one');
      await forge.users.insert(tx, { ...user, email: 'other@example.org' });
    });
    await expect(again).rejects.toThrow(expect.objectContaining({ code: 'conflict' }));
    expect(await settings.get(null, 'before the conflict')).toBeUndefined();
  });

  test("an engine's own error becomes store_unavailable, without SQL in its text", async () => {
    const { transactor, settings } = bench.store;
    await bench.engine.execute(bench.url, 'alter table "trustedProjects" rename to "gone"');
    const error: unknown = await transactor
      .write(async (tx) => {
        await settings.set(tx, 'x', 'y');
        await bench.store.trustedProjects.list(tx, id<UserId>(1));
      })
      .catch((caught: unknown) => caught);
    await bench.engine.execute(bench.url, 'alter table "gone" rename to "trustedProjects"');
    expect(error).toBeInstanceOf(JobpassError);
    expect(error).toMatchObject({ code: 'store_unavailable' });
    expect(String(error)).not.toMatch(/select|trusted/i);
  });

  test('R13 a value that the engine cannot keep is what was sent, and no reason to try again', async () => {
    const { transactor, settings } = bench.store;
    const letters = Array.from({ length: 3000 }, (_, at) => String.fromCharCode(0xac00 + ((at * 7919) % 11_000))).join('');
    for (const key of ['a zero \0', letters]) {
      const said = await transactor
        .write((tx) => settings.set(tx, key, 'x'))
        .then(
          () => 'kept',
          (error: unknown) => (error instanceof JobpassError ? error.code : String(error)),
        );
      expect(said).toBe(bench.engine.name === 'postgres' ? 'unprocessable' : 'kept');
    }
  });

  test('R13 a question that holds such a value, also beside a transaction, is no failure of the store', async () => {
    const { mergeRequests, settings } = bench.store;
    const codeOf = (asked: Promise<unknown>) =>
      asked.catch((error: unknown) => (error instanceof JobpassError ? error.code : String(error)));
    const said = bench.engine.name === 'postgres' ? 'unprocessable' : undefined;
    expect(await codeOf(mergeRequests.byIid(null, id<ProjectId>(1), 99_999_999_999))).toBe(said);
    expect(await codeOf(settings.get(null, 'never set \0'))).toBe(said);
  });

  test('closing waits for what is under way, a transaction that reads beside itself and a read, and then comes to its end', async () => {
    const store = await openStore(bench.url);
    const [open, closing] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const writing = store.transactor.write(async (tx) => {
      await store.settings.set(tx, 'at the end', 'set');
      open.resolve();
      await closing.promise;
      return [await store.settings.get(null, 'at the end'), await store.settings.get(tx, 'at the end')];
    });
    await open.promise;
    const reading = store.settings.get(null, 'at the end');
    const closed = store.close();
    closing.resolve();
    expect(await writing).toEqual([undefined, 'set']);
    // Before or behind the commit: it is answered.
    expect([undefined, 'set']).toContain(await reading);
    await closed;
    expect(await bench.store.settings.get(null, 'at the end')).toBe('set');
    await expect(store.settings.get(null, 'at the end')).rejects.toThrow();
  });

  test('answers a ping', async () => {
    await bench.store.ping();
  });
}
