import { expect, test } from 'vitest';
import { millis, type TokenId } from '../../src/base/ids.ts';
import { makeTokenUse } from '../../src/pass/token-use.ts';
import type { Transactor, Tx } from '../../src/ports/tx.ts';
import { startTestServer } from '../support/server.ts';

test('a token is written down as used once a minute, and again where that failed', async () => {
  let now = 0;
  let failing = false;
  const written: (readonly [number, number])[] = [];
  const under: Promise<unknown>[] = [];
  const transactor: Transactor = {
    write: (work) => {
      const done = failing ? Promise.reject(new Error('full')) : work({} as Tx);
      under.push(done.catch(() => undefined));
      return done;
    },
  };
  const used = makeTokenUse({
    transactor,
    clock: { now: () => millis(now), monotonic: () => millis(now) },
    credentials: { touchPersonalToken: (_tx, token, at) => Promise.resolve(void written.push([token, at])) },
  });
  const use = async (token: number, at: number): Promise<void> => {
    now = at;
    used(token as TokenId);
    await Promise.all(under);
  };
  await use(1, 0);
  await use(1, 59_999);
  await use(2, 59_999);
  await use(1, 60_000);
  failing = true;
  await use(1, 120_000);
  failing = false;
  await use(1, 120_001);
  expect(written).toEqual([
    [1, 0],
    [2, 59_999],
    [1, 60_000],
    [1, 120_001],
  ]);
});

test('people see when their tokens were used last', async () => {
  const server = await startTestServer();
  const alice = await server.user('alice');
  const seen = async (id: string) =>
    (await server.call('GET', `/api/v4/personal_access_tokens`, { token: alice.token })).list.find((one) => String(one['id']) === id);
  const { body: other } = await server.call('POST', '/api/v4/user/personal_access_tokens', {
    token: alice.token,
    body: { name: 'idle', scopes: ['api'] },
  });
  const id = String(other['id']);
  expect((await seen(id))?.['last_used_at']).toBeNull();
  await server.call('GET', '/api/v4/user', { token: String(other['token']) });
  // One write after the other: what was begun before is done.
  await server.store.transactor.write(() => Promise.resolve());
  expect((await seen(id))?.['last_used_at']).toMatch(/^20\d\d-/);
  await server.stop();
});
