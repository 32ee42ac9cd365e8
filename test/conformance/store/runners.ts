import { expect, test } from 'vitest';
import { id, millis, type ProjectId, type UserId } from '../../../src/base/ids.ts';
import type { PinnedGate } from '../../../src/ports/runners.ts';
import { addRunner, addUser, digestOf, firstPage, now, unknownId } from './seed.ts';
import type { Bench } from './suite.ts';

export function runnerCases(bench: Bench): void {
  test('R7 a new runner is trusted with fetching only; changes set what they name', async () => {
    const { transactor, runners, credentials } = bench.store;
    const user = await addUser(bench.store);
    const runner = await addRunner(bench.store, user.id, { scope: 'project', scopeId: 4, protectedOnly: true });
    expect(runner).toMatchObject({ trust: 'fetch', unsafeAccepted: false, publicKey: null, contactAt: null, scope: 'project', scopeId: 4 });
    expect(await runners.byId(null, runner.id)).toEqual(runner);
    expect(await credentials.runnerToken(null, runner.tokenDigest)).toBe(runner.id);
    const change = {
      trust: 'full',
      publicKey: 'key',
      tags: ['a'],
      paused: true,
      unsafeAccepted: true,
      contactAt: now,
      tokenDigest: digestOf(),
    } as const;
    await transactor.write((tx) => runners.change(tx, runner.id, change));
    await transactor.write((tx) => runners.change(tx, runner.id, {}));
    expect(await runners.byId(null, runner.id)).toEqual({ ...runner, ...change });
    expect(await credentials.runnerToken(null, runner.tokenDigest)).toBeUndefined();
  });

  test('R7 a gate verdict is pinned, pinned anew and cleared; a word that is not known reads withhold', async () => {
    const { transactor, runners } = bench.store;
    const user = await addUser(bench.store);
    const { id: runner, pinned } = await addRunner(bench.store, user.id);
    expect(pinned).toBeNull();
    const change = async (to: PinnedGate | null) => {
      await transactor.write((tx) => runners.change(tx, runner, { pinned: to }));
      return (await runners.byId(null, runner))?.pinned;
    };
    const safe = { verdict: 'expose', reasons: [], at: now } as const;
    const unsafe = { verdict: 'withhold', reasons: ['runners[0].executor: no boundary'], at: millis(now + 1) } as const;
    expect(await change(safe)).toEqual(safe);
    expect(await change(unsafe)).toEqual(unsafe);
    expect(await change({ ...safe, verdict: 'sure' as never })).toMatchObject({ verdict: 'withhold' });
    await transactor.write((tx) => runners.change(tx, runner, { paused: true }));
    expect((await runners.byId(null, runner))?.pinned?.verdict).toBe('withhold');
    expect(await change(null)).toBeNull();
  });

  test('R7 bounds on exposure: none until set, each owner its own, taken away by null, unreadable is withhold', async () => {
    const { transactor, exposureBounds } = bench.store;
    const project = { kind: 'project', id: id<ProjectId>(unknownId) } as const;
    const user = { kind: 'user', id: id<UserId>(unknownId) } as const;
    expect(await exposureBounds.of(null, project)).toBeNull();
    await transactor.write((tx) => exposureBounds.set(tx, project, 'replace'));
    await transactor.write((tx) => exposureBounds.set(tx, project, 'variable'));
    expect([await exposureBounds.of(null, project), await exposureBounds.of(null, user)]).toEqual(['variable', null]);
    await transactor.write((tx) => exposureBounds.set(tx, user, 'everything' as never));
    expect(await exposureBounds.of(null, user)).toBe('withhold');
    await transactor.write((tx) => exposureBounds.set(tx, project, null));
    expect(await exposureBounds.of(null, project)).toBeNull();
  });

  test('a runner that was removed is gone, with its token; ids are not used again (R14)', async () => {
    const { transactor, runners, credentials } = bench.store;
    const user = await addUser(bench.store);
    const runner = await addRunner(bench.store, user.id);
    await transactor.write((tx) => runners.useNonce(tx, runner.id, 'nonce', now));
    await transactor.write((tx) => runners.remove(tx, runner.id));
    expect(await runners.byId(null, runner.id)).toBeUndefined();
    expect(await credentials.runnerToken(null, runner.tokenDigest)).toBeUndefined();
    const next = await addRunner(bench.store, user.id);
    expect(next.id).toBeGreaterThan(runner.id);
    const list = await runners.list(null, firstPage);
    expect(list.rows.map((row) => row.id)).toContain(next.id);
    expect(list.total).toBe(list.rows.length);
    expect(await runners.byId(null, unknownId as never)).toBeUndefined();
  });

  test('A35 one row for each machine that uses a token, renewed by its next word, gone with its runner', async () => {
    const { transactor, runners } = bench.store;
    const user = await addUser(bench.store);
    const runner = await addRunner(bench.store, user.id);
    const info = {
      version: '19.4.0',
      revision: null,
      platform: 'linux',
      architecture: 'amd64',
      executor: 'docker',
      features: ['refspecs'],
    };
    const seen = (systemId: string, change = {}, at = now) =>
      transactor.write((tx) => runners.managerSeen(tx, runner.id, systemId, { ...info, ...change }, at));
    const first = await seen('s_000000000001');
    const other = await seen('<legacy>');
    const later = await seen('s_000000000001', { version: '19.5.0' }, millis(now + 1));
    expect(later).toEqual({ ...first, version: '19.5.0', contactAt: now + 1 });
    expect(await runners.managers(null, runner.id)).toEqual([later, other]);
    expect(await runners.manager(null, other.id)).toEqual(other);
    const remove = (systemId: string) => transactor.write((tx) => runners.removeManager(tx, runner.id, systemId));
    expect([await remove('<legacy>'), await remove('<legacy>')]).toEqual([true, false]);
    await transactor.write((tx) => runners.remove(tx, runner.id));
    expect(await runners.managers(null, runner.id)).toEqual([]);
  });

  test('a runner token runs out; a registration token is kept by digest, one for each scope', async () => {
    const { transactor, runners, credentials } = bench.store;
    const user = await addUser(bench.store);
    const runner = await addRunner(bench.store, user.id, { tokenExpiresAt: now });
    expect(await credentials.runnerToken(null, runner.tokenDigest, millis(now - 1))).toBe(runner.id);
    expect(await credentials.runnerToken(null, runner.tokenDigest, now)).toBeUndefined();
    const [one, two] = [digestOf(), digestOf()];
    const put = (digest: typeof one, scopeId: number | null) =>
      transactor.write((tx) =>
        runners.putRegistrationToken(tx, {
          scope: scopeId === null ? 'instance' : 'project',
          scopeId,
          digest,
          userId: user.id,
          createdAt: now,
        }),
      );
    await put(one, null);
    await put(two, 7);
    expect(await credentials.registrationToken(null, one)).toMatchObject({ scope: 'instance', scopeId: null, userId: user.id });
    expect(await credentials.registrationToken(null, two)).toMatchObject({ scope: 'project', scopeId: 7 });
    await put(digestOf(), null);
    expect(await credentials.registrationToken(null, one)).toBeUndefined();
  });

  test('A60 a nonce works once for its runner, also when the same request comes many times at once', async () => {
    const { transactor, runners } = bench.store;
    const user = await addUser(bench.store);
    const [one, other] = [await addRunner(bench.store, user.id), await addRunner(bench.store, user.id)];
    const use = (runner: typeof one, nonce: string, at = now) => transactor.write((tx) => runners.useNonce(tx, runner.id, nonce, at));
    const uses = await Promise.all(Array.from({ length: 10 }, () => use(one, 'same')));
    expect(uses.filter(Boolean)).toHaveLength(1);
    expect(await use(one, 'same', millis(now + 9 * 60_000))).toBe(false);
    expect(await use(one, 'next')).toBe(true);
    expect(await use(other, 'same')).toBe(true);
  });
}
