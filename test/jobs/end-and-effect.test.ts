import { afterAll, describe, expect, test } from 'vitest';
import { missingEngine, postgresEngine } from '../conformance/store/engine.ts';
import { passFor } from '../support/pass.ts';
import { oneJob, startTestServer } from '../support/server.ts';

const engine = await postgresEngine();
describe.skipIf(engine === undefined)('a job that ends while its pass writes, on PostgreSQL', () => {
  afterAll(() => engine?.stop());

  test('R2 the end waits for no write that waits for the end', async () => {
    const { fresh, blocked } = engine ?? missingEngine;
    const database = await fresh();
    const server = await startTestServer({ database });
    try {
      const alice = await server.user('alice');
      const app = await server.project('team/app');
      await server.member(app, alice.id, 40);
      await server.commit(app, '.gitlab-ci.yml', oneJob, { token: alice.token });
      const job = await server.claim((await server.runner()).token);
      if (job === undefined) throw new Error('no job');
      const pass = await passFor(server, job, [alice.id]);
      const { liveness } = server.store;
      const { jobLife } = liveness;
      const [asks, goOn] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
      // The write is about to ask whether the job still runs, in its transaction.
      const held: typeof jobLife = async (tx, wanted) => {
        if (tx === null) return jobLife(tx, wanted);
        asks.resolve();
        await goOn.promise;
        return jobLife(tx, wanted);
      };
      Object.assign(liveness, { jobLife: held });
      const headers = { authorization: `Bearer ${pass}`, 'content-type': 'application/vnd.git-lfs+json' };
      const writing = server.call('POST', '/team/app.git/info/lfs/locks', { headers, raw: '{"path":"a"}' });
      const written = writing.then(
        ({ status }) => status,
        () => 'cut',
      );
      await asks.promise;
      const end = { over: false };
      const ending = server.finish(job).finally(() => (end.over = true));
      while (!end.over && !(await blocked(database)));
      goOn.resolve();
      expect([(await ending).status, await written]).toEqual([200, 'cut']);
      const basic = { authorization: `Basic ${Buffer.from(`alice:${alice.token}`).toString('base64')}` };
      expect((await server.call('GET', '/team/app.git/info/lfs/locks', { headers: basic })).text).toBe('{"locks":[]}');
    } finally {
      await server.stop();
    }
  });
});
