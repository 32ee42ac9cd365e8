import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { missingEngine, postgresEngine } from '../conformance/store/engine.ts';
import { passFor } from '../support/pass.ts';
import { oneJob, startTestServer, type TestServer } from '../support/server.ts';

describe('a runner that is trusted with less while its job runs', () => {
  let server: TestServer;
  let alice: { id: number; token: string };
  let app: number;

  beforeAll(async () => {
    server = await startTestServer();
    alice = await server.user('alice');
    app = await server.project('team/app');
    await server.member(app, alice.id, 40);
    await server.commit(app, '.gitlab-ci.yml', oneJob, { token: alice.token });
  });
  afterAll(() => server.stop());

  async function running(settings: Record<string, unknown>) {
    const runner = await server.runner();
    await server.must('PUT', `/api/v4/runners/${runner.id}`, settings);
    await server.must('POST', `/api/v4/projects/${app}/pipeline`, { ref: 'main' }, alice.token);
    const job = await server.claim(runner.token);
    if (job === undefined) throw new Error('no job');
    const full = await passFor(server, job, [alice.id]);
    const status = async (pass: string) => (await server.call('GET', '/api/v4/job', { token: pass })).status;
    return { runner, full, fetchPass: job.fetchPass, status };
  }

  test.each([
    ['trust none: nothing is left', { trust: 'full' }, { trust: 'none' }, [401, 401]],
    ['R7 trust fetch: the fetch pass is left', { trust: 'full' }, { trust: 'fetch' }, [401, 200]],
    ['R7 a pinned withhold', { trust: 'full' }, { pinned_verdict: 'withhold' }, [401, 200]],
    ['R7 a pin that is taken away', { trust: 'full', pinned_verdict: 'expose' }, { pinned_verdict: null }, [401, 200]],
    ['R7 unsafe is accepted no longer', { trust: 'full', unsafe_accepted: true }, { unsafe_accepted: false }, [401, 200]],
    ['R3 nobody vouches for it any more: nothing is left', { trust: 'full', vouched: true }, { vouched: false }, [401, 401]],
    ['more trust ends nothing', { trust: 'fetch' }, { trust: 'full' }, [200, 200]],
    ['another setting ends nothing', { trust: 'full' }, { description: 'x' }, [200, 200]],
  ] as const)('%s', async (_what, before, after, wanted) => {
    const { runner, full, fetchPass, status } = await running(before);
    expect([await status(full), await status(fetchPass)]).toEqual([200, 200]);
    await server.must('PUT', `/api/v4/runners/${runner.id}`, after);
    expect([await status(full), await status(fetchPass)]).toEqual(wanted);
  });
});

const engine = await postgresEngine();
describe.skipIf(engine === undefined)('a runner that is being given a job, on PostgreSQL', () => {
  afterAll(() => engine?.stop());

  test.each([
    ['is trusted with less', 'PUT', { trust: 'none' }],
    ['is removed', 'DELETE', undefined],
  ] as const)('R7 R2 and %s: the passes of that job are dead as well', async (_what, method, body) => {
    const { fresh, blocked } = engine ?? missingEngine;
    const database = await fresh();
    const server = await startTestServer({ database });
    try {
      const alice = await server.user('alice');
      const app = await server.project('team/app');
      await server.member(app, alice.id, 40);
      await server.commit(app, '.gitlab-ci.yml', oneJob, { token: alice.token });
      const runner = await server.runner();
      const { jobRights } = server.store;
      const { record } = jobRights;
      const [started, goOn] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
      // The transaction that starts the job has looked at the runner, and is not over.
      const held: typeof record = async (...rights) => {
        started.resolve();
        await goOn.promise;
        return record(...rights);
      };
      Object.assign(jobRights, { record: held });
      const claiming = server.claim(runner.token);
      await started.promise;
      const changing = server.call(method, `/api/v4/runners/${runner.id}`, { token: server.root, body });
      const change = { done: false };
      void changing.then(() => (change.done = true));
      while (!change.done && !(await blocked(database)));
      goOn.resolve();
      const [job, { status }] = [await claiming, await changing];
      expect(status).toBeLessThan(300);
      expect((await server.call('GET', '/api/v4/job', { token: job?.fetchPass ?? '' })).status).toBe(401);
    } finally {
      await server.stop();
    }
  });
});
