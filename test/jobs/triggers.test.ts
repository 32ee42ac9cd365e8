import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Claimed, startTestServer, type TestServer } from '../support/server.ts';

describe('trigger tokens, on SQLite and real git', () => {
  let server: TestServer;
  let alice: { id: number; token: string };
  let bob: { id: number; token: string };
  let runner: { id: number; token: string };
  let app: number;
  let other: number;
  let P: string;
  let trigger: Record<string, unknown>;
  let token: string;

  beforeAll(async () => {
    server = await startTestServer();
    [alice, bob] = [await server.user('alice'), await server.user('bob')];
    runner = await server.runner();
    [app, other] = [await server.project('group/app'), await server.project('group/other')];
    for (const project of [app, other]) {
      await server.member(project, alice.id, 40);
      await server.member(project, bob.id, 30);
      await server.commit(project, '.gitlab-ci.yml', 'job:\n  script: ["true"]\n', { token: alice.token });
    }
    P = `/api/v4/projects/${app}`;
    await server.must('POST', `${P}/repository/branches`, { branch: 'work', ref: 'main' }, alice.token);
    await drain();
    trigger = await server.must('POST', `${P}/triggers`, { description: 'bot' }, alice.token);
    token = String(trigger['token']);
  });
  afterAll(() => server.stop());

  async function drain(): Promise<void> {
    for (let job = await server.claim(runner.token); job !== undefined; job = await server.claim(runner.token)) await server.finish(job);
  }
  const form = (path: string, fields: string, headers: Record<string, string> = {}) =>
    server.call('POST', path, { headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers }, raw: fields });
  const variables = (job: Claimed | undefined) =>
    Object.fromEntries(((job?.payload['variables'] ?? []) as { key: string; value: string }[]).map(({ key, value }) => [key, value]));
  /** A job of the project that runs, as alice. */
  async function running(): Promise<Claimed> {
    await drain();
    await server.must('POST', `${P}/pipeline`, { ref: 'main' }, alice.token);
    const job = await server.claim(runner.token);
    if (job === undefined) throw new Error('no job');
    return job;
  }

  test('R6 the token is shown once; only its digest is kept', async () => {
    expect(token).toMatch(/^glptt-[0-9A-Za-z]{40}$/);
    const { list } = await server.call('GET', `${P}/triggers`, { token: alice.token });
    expect(list).toMatchObject([{ id: trigger['id'], description: 'bot', token: 'glpt', owner: { username: 'alice' } }]);
    expect(JSON.stringify(list)).not.toContain(token);
  });

  test.each(['form', 'query', 'JSON'])(
    'a trigger token in %s starts a pipeline as who made it (GitLab: Trigger pipelines)',
    async (place) => {
      await drain();
      const path = `${P}/trigger/pipeline`;
      const made =
        place === 'form'
          ? await form(path, `token=${token}&ref=main&variables[WHO]=bot`)
          : place === 'query'
            ? await server.call('POST', `${P}/ref/main/trigger/pipeline?token=${token}&variables[WHO]=bot`)
            : await server.call('POST', path, { body: { token, ref: 'main', variables: { WHO: 'bot' } } });
      expect([made.status, made.body['source'], made.body['user']]).toMatchObject([201, 'trigger', { username: 'alice' }]);
      expect(variables(await server.claim(runner.token))).toMatchObject({
        WHO: 'bot',
        CI_PIPELINE_SOURCE: 'trigger',
        CI_PIPELINE_TRIGGERED: 'true',
        GITLAB_USER_LOGIN: 'alice',
      });
      expect((await server.must('GET', `${P}/triggers/${String(trigger['id'])}`, undefined, alice.token))['last_used']).not.toBeNull();
    },
  );

  test('A10 a trigger token starts pipelines of its project, and is nothing anywhere else', async () => {
    expect((await form(`/api/v4/projects/${other}/trigger/pipeline`, `token=${token}&ref=main`)).status).toBe(404);
    expect((await server.call('GET', P, { token })).status).toBe(401);
    expect((await server.call('POST', `${P}/pipeline`, { token, body: { ref: 'main' } })).status).toBe(401);
    expect((await form(`${P}/pipeline`, `token=${token}&ref=main`)).status).toBe(404);
  });

  test('R17 one credential: a trigger token beside another is refused, and so is a pass as token', async () => {
    const both = await form(`${P}/trigger/pipeline`, `token=${token}&ref=main`, { 'private-token': alice.token });
    expect([both.status, both.text]).toEqual([400, expect.stringContaining('one credential')]);
    const { fetchPass } = await running();
    for (const reply of [
      await form(`${P}/trigger/pipeline`, `token=${fetchPass}&ref=main`),
      await server.call('POST', `${P}/trigger/pipeline`, { body: { token: fetchPass, ref: 'main' } }),
      await server.call('POST', `${P}/trigger/pipeline?ref=main&token=${fetchPass}`),
    ])
      expect([reply.status, reply.text]).toEqual([400, expect.stringContaining('PRIVATE-TOKEN')]);
  });

  test('R1 it dies with its owner’s right: role, block, and the token itself', async () => {
    const carol = await server.user('carol');
    await server.member(app, carol.id, 40);
    const made = await server.must('POST', `${P}/triggers`, { description: 'of carol' }, carol.token);
    const start = () => form(`${P}/trigger/pipeline`, `token=${String(made['token'])}&ref=work`);
    expect((await start()).status).toBe(201);
    await server.must('PUT', `${P}/members/${carol.id}`, { access_level: 20 });
    expect((await start()).status).toBe(403);
    await server.must('PUT', `${P}/members/${carol.id}`, { access_level: 30 });
    expect((await form(`${P}/trigger/pipeline`, `token=${String(made['token'])}&ref=main`)).status).toBe(403);
    await server.must('POST', `/api/v4/users/${carol.id}/block`);
    expect((await start()).status).toBe(401);
    await server.must('POST', `/api/v4/users/${carol.id}/unblock`);
    await server.must('DELETE', `${P}/triggers/${String(made['id'])}`, undefined, alice.token);
    expect((await start()).status).toBe(401);
    await drain();
  });

  test('nobody but its owner describes it, and it takes a maintainer to see it', async () => {
    const path = `${P}/triggers/${String(trigger['id'])}`;
    expect((await server.call('PUT', path, { token: server.root, body: { description: 'x' } })).status).toBe(403);
    expect(await server.must('PUT', path, { description: 'the bot' }, alice.token)).toMatchObject({ description: 'the bot' });
    expect((await server.call('GET', path, { token: bob.token })).status).toBe(403);
  });

  test('R5 a job token starts a pipeline of its own project only within the chain depth, which records it', async () => {
    const job = await running();
    const start = () => form(`${P}/trigger/pipeline`, `token=${job.token}&ref=work&variables[FROM]=job`);
    const refused = await start();
    expect([refused.status, refused.text]).toEqual([403, expect.stringContaining('jobpass_chain_depth')]);
    await server.must('PUT', P, { jobpass_chain_depth: 1 }, alice.token);
    const made = await start();
    expect([made.status, made.body['source']]).toEqual([201, 'pipeline']);
    expect((await form(`/api/v4/projects/${other}/trigger/pipeline`, `token=${job.token}&ref=main`)).status).toBe(403);
    const pipeline = await server.store.jobs.pipeline(null, made.body['id'] as never);
    expect(pipeline).toMatchObject({ parentJobId: job.id, chainDepth: 1, creators: [alice.id] });
    const child = await server.claim(runner.token);
    const further = await form(`${P}/trigger/pipeline`, `token=${child?.token ?? ''}&ref=work`);
    expect(further.status).toBe(403);
    await server.must('PUT', P, { jobpass_chain_depth: 0 }, alice.token);
  });

  test('R5 no pass reads or writes a trigger token', async () => {
    const { fetchPass } = await running();
    for (const method of ['GET', 'POST'] as const)
      expect((await server.call(method, `${P}/triggers`, { token: fetchPass, body: method === 'POST' ? {} : undefined })).status).toBe(403);
  });
});
