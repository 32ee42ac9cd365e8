import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { id, millis, type PipelineId, type ProjectId, type UserId } from '../../src/base/ids.ts';
import { limits } from '../../src/base/limits.ts';
import { Secret } from '../../src/base/secret.ts';
import type { NewCommitStatus } from '../../src/ports/commit-statuses.ts';
import { passFor } from '../support/pass.ts';
import { type Claimed, oneJob, type Reply, startTestServer, type TestServer } from '../support/server.ts';

describe('what other services say of a commit', () => {
  let server: TestServer;
  let [alice, bob, carol] = [
    { id: 0, token: '' },
    { id: 0, token: '' },
    { id: 0, token: '' },
  ];
  let [app, made] = [0, 0];
  let runner = '';
  beforeAll(async () => {
    server = await startTestServer();
    [alice, bob, carol] = [await server.user('alice'), await server.user('bob'), await server.user('carol')];
    app = await server.project('team/app');
    for (const [person, level] of [
      [alice, 40],
      [bob, 30],
      [carol, 30],
    ] as const)
      await server.member(app, person.id, level);
    ({ token: runner } = await server.runner());
  });
  afterAll(() => server.stop());

  const P = () => `/api/v4/projects/${app}`;
  const get = (path: string, token = alice.token) => server.call('GET', `${P()}${path}`, { token });
  const say = (sha: string, body: object, token = alice.token): Promise<Reply> =>
    server.call('POST', `${P()}/statuses/${sha}`, { token, body });
  /** A commit on a branch of its own, without a pipeline unless it has a file that makes one. */
  async function commit(file = 'note.txt', content = `note ${made}`): Promise<{ sha: string; branch: string }> {
    made += 1;
    const branch = made === 1 ? 'main' : `work-${made}`;
    const sha = await server.commit(app, `${made}/${file}`, content, { branch, ...(made === 1 ? {} : { start: 'main' }) });
    return { sha, branch };
  }
  /** With a pipeline whose one job waits for a runner. Of the same content and second it would be the same commit. */
  async function started(): Promise<{ sha: string; branch: string; pipeline: number; job: Claimed }> {
    made += 1;
    const branch = `work-${made}`;
    const sha = await server.commit(app, '.gitlab-ci.yml', `${oneJob}# ${made}\n`, { branch, start: 'main', token: alice.token });
    const job = await server.claim(runner);
    const [line] = (await get(`/pipelines?sha=${sha}`)).list;
    if (job === undefined || line === undefined) throw new Error('no pipeline');
    return { sha, branch, pipeline: Number(line['id']), job };
  }
  let base = { sha: '', branch: '' };
  beforeAll(async () => void (base = await commit()));

  test('a status makes a pipeline of its own where the commit has none, and moves on in it', async () => {
    const { sha, branch } = await commit();
    const link = 'https://ci.example.com/1';
    const first = await say(sha, { state: 'pending', context: 'ci/other', target_url: link, description: 'waits' });
    expect([first.status, first.body]).toEqual([
      201,
      expect.objectContaining({
        sha,
        ref: branch,
        status: 'pending',
        name: 'ci/other',
        target_url: link,
        allow_failure: false,
        coverage: null,
      }),
    ]);
    const { id: number, pipeline_id: line } = first.body;
    expect((await get(`/repository/commits/${sha}`)).body).toMatchObject({
      status: 'pending',
      last_pipeline: { id: line, source: 'external' },
    });
    expect((await say(sha, { state: 'running', name: 'ci/other' })).body).toMatchObject({
      id: number,
      status: 'running',
      description: 'waits',
    });
    const done = await say(sha, { state: 'success', name: 'ci/other', coverage: 81.5, description: '' });
    expect(done.body).toMatchObject({ id: number, pipeline_id: line, status: 'success', coverage: 81.5, description: null });
    expect((await get(`/pipelines/${String(line)}`)).body).toMatchObject({
      status: 'success',
      source: 'external',
      coverage: '81.50',
      ref: branch,
    });
    // What is over is said anew: a status of its own, in place of the first.
    const again = await say(sha, { state: 'failed', name: 'ci/other' });
    expect(again.body['id']).not.toBe(number);
    expect((await get(`/repository/commits/${sha}/statuses`)).list).toMatchObject([{ status: 'failed' }]);
    expect((await get(`/repository/commits/${sha}/statuses?all=true&sort=desc`)).list.map((one) => one['status'])).toEqual([
      'failed',
      'success',
    ]);
    expect((await get(`/repository/commits/${sha}`)).body['status']).toBe('failed');
  });

  test('a status stands among the jobs of the newest pipeline, and counts for it', async () => {
    const { sha, pipeline, job } = await started();
    expect((await say(sha, { state: 'pending', name: 'lint' })).body['pipeline_id']).toBe(pipeline);
    await server.finish(job);
    expect((await get(`/pipelines/${pipeline}`)).body['status']).toBe('running');
    expect(
      (await get(`/repository/commits/${sha}/statuses`)).list.map(({ name, status, target_url }) => [name, status, target_url]),
    ).toEqual([
      ['job', 'success', `${server.url}/team/app/-/jobs/${job.id}`],
      ['lint', 'pending', null],
    ]);
    for (const [query, names] of [
      ['stage=external', ['lint']],
      ['stage=test', ['job']],
      ['name=job', ['job']],
      ['ref=main', []],
      [`pipeline_id=${pipeline}&order_by=pipeline_id&sort=desc`, ['lint', 'job']],
      ['per_page=1&page=2', ['lint']],
    ] as const)
      expect([query, (await get(`/repository/commits/${sha}/statuses?${query}`)).list.map(({ name }) => name)]).toEqual([query, names]);
    expect((await say(sha, { state: 'failed', name: 'lint', pipeline_id: pipeline })).status).toBe(201);
    expect((await get(`/pipelines/${pipeline}`)).body['status']).toBe('failed');
    // A job of the same name speaks for itself.
    expect((await say(sha, { state: 'success', name: 'job' })).text).toBe('{"message":{"name":["has already been taken"]}}');
    const { body } = await server.call('POST', `${P()}/pipelines/${pipeline}/retry`, { token: alice.token });
    expect(body['status']).toBe('failed');
  });

  test('who cancels the pipeline, or pushes what makes it redundant, ends what was said to go on', async () => {
    const { sha, branch } = await commit();
    const { body } = await say(sha, { state: 'running' });
    const line = String(body['pipeline_id']);
    expect((await server.call('POST', `${P()}/pipelines/${line}/cancel`, { token: alice.token })).body['status']).toBe('canceled');
    expect((await get(`/repository/commits/${sha}/statuses`)).list).toMatchObject([{ name: 'default', status: 'canceled' }]);
    const other = await say(sha, { state: 'running', name: 'again' });
    expect((await get(`/pipelines/${line}`)).body['status']).toBe('running');
    await server.commit(app, '.gitlab-ci.yml', oneJob, { branch });
    await expect.poll(async () => (await get(`/pipelines/${line}`)).body['status']).toBe('canceled');
    const newer = await server.claim(runner);
    if (newer !== undefined) await server.finish(newer);
    expect((await say(sha, { state: 'success', name: 'again' })).body['id']).not.toBe(other.body['id']);
    expect((await server.call('DELETE', `${P()}/pipelines/${line}`, { token: server.root })).status).toBe(204);
    expect((await get(`/repository/commits/${sha}/statuses?all=1`)).list).toEqual([]);
  });

  test('several services that speak at once share one pipeline', async () => {
    const { sha } = await commit();
    const replies = await Promise.all(['a', 'b', 'c', 'd'].map((name) => say(sha, { state: 'pending', name })));
    expect(replies.map(({ status }) => status)).toEqual([201, 201, 201, 201]);
    expect(new Set(replies.map(({ body }) => body['pipeline_id'])).size).toBe(1);
    expect((await get(`/pipelines?sha=${sha}`)).list).toHaveLength(1);
  });

  test.each([
    ['no state', {}, 400, '{"error":"state is missing"}'],
    ['a state of nobody', { state: 'done' }, 400, '{"error":"state does not have a valid value"}'],
    ['a link without http', { state: 'success', target_url: 'javascript:alert(1)' }, 400, 'target_url'],
    ['a long text', { state: 'success', description: 'x'.repeat(256) }, 400, 'is too long (maximum is 255 characters)'],
    ['a coverage that is none', { state: 'success', coverage: 'much' }, 400, '{"error":"coverage is invalid"}'],
    ['too much coverage', { state: 'success', coverage: 100.5 }, 400, 'must be between 0 and 100'],
    ['a ref that no ref can be', { state: 'success', ref: 'a..b' }, 400, '{"message":{"ref":["is invalid"]}}'],
    ['a pipeline of nobody', { state: 'success', pipeline_id: 999_999 }, 404, '404 Pipeline for pipeline_id, sha and ref Not Found'],
    ['the same again', { state: 'pending', name: 'twice' }, 400, 'Cannot transition status via :enqueue from :pending'],
  ] as const)('R13 %s is an error that says what to do', async (_what, body, status, text) => {
    if ('name' in body) expect((await say(base.sha, body)).status).toBe(201);
    const reply = await say(base.sha, body);
    expect([reply.status, reply.text]).toEqual([status, expect.stringContaining(text)]);
  });

  test('R13 a commit that is not there, and a pipeline of another commit, hold no status', async () => {
    const [one, other] = [base, await commit()];
    expect((await say('ab'.repeat(20), { state: 'success' })).text).toBe('{"message":"404 Commit Not Found"}');
    expect((await get(`/repository/commits/${'ab'.repeat(20)}/statuses`)).text).toBe('{"message":"404 Commit Not Found"}');
    const { body } = await say(one.sha, { state: 'success', name: 'elsewhere' });
    expect((await say(other.sha, { state: 'success', pipeline_id: body['pipeline_id'] })).status).toBe(404);
    expect((await get(`/repository/commits/${other.sha}/statuses?all=true`)).list).toEqual([]);
  });

  test('R13 a commit holds so many statuses: replaced ones make room, others do not', async () => {
    const { sha } = await commit();
    const { body } = await say(sha, { state: 'success', name: 'first' });
    const row: Omit<NewCommitStatus, 'name'> = {
      projectId: id<ProjectId>(app),
      pipelineId: id<PipelineId>(Number(body['pipeline_id'])),
      sha,
      ref: 'x',
      state: 'success',
      targetUrl: null,
      description: null,
      coverage: null,
      authorId: id<UserId>(alice.id),
      writers: [],
      createdAt: millis(1),
      startedAt: null,
      finishedAt: null,
    };
    await server.store.transactor.write(async (tx) => {
      for (let count = 1; count < limits.statusesPerCommit; count += 1)
        await server.store.commitStatuses.insert(tx, { ...row, name: `held ${count}` });
    });
    expect((await say(sha, { state: 'success', name: 'one more' })).status).toBe(422);
    await server.store.transactor.write(async (tx) => {
      const [last] = (await server.store.commitStatuses.ofPipeline(tx, row.pipelineId)).slice(-1);
      if (last !== undefined) await server.store.commitStatuses.replaceOthers(tx, { ...last, id: 0 as typeof last.id });
    });
    expect((await say(sha, { state: 'success', name: 'one more' })).status).toBe(201);
  });

  test('A7 on a protected ref only who may push or merge there says something; nobody borrows its pipeline by number', async () => {
    const { sha, branch } = await started();
    const [line] = (await get(`/pipelines?sha=${sha}`)).list;
    await server.must('POST', `${P()}/protected_branches`, { name: branch, push_access_level: 40, merge_access_level: 40 }, alice.token);
    for (const body of [{}, { ref: branch }, { pipeline_id: line?.['id'] }]) {
      const reply = await say(sha, { state: 'success', ...body }, bob.token);
      expect([reply.status, reply.text]).toEqual([403, expect.stringContaining('it is protected')]);
    }
    // A ref without a pipeline, and a name that is no ref today: the rules of what it could be.
    await server.must('POST', `${P()}/protected_tags`, { name: 'v*', create_access_level: 40 }, alice.token);
    expect((await say(sha, { state: 'success', ref: 'main' }, bob.token)).status).toBe(403);
    expect((await say(sha, { state: 'success', ref: 'v9' }, bob.token)).status).toBe(403);
    expect((await say(sha, { state: 'success', ref: 'gone' }, bob.token)).status).toBe(201);
    expect((await say(sha, { state: 'success', ref: branch })).status).toBe(201);
  });

  test('R3 R5 a pass says it as all of its principals, and nothing is started by it', async () => {
    const { sha, job } = await started();
    const pass = await passFor(server, job, [alice.id, bob.id]);
    const said = await say(sha, { state: 'pending', name: 'deploy' }, pass);
    expect([said.status, said.body]).toEqual([201, expect.objectContaining({ author: expect.objectContaining({ username: 'alice' }) })]);
    const more = await passFor(server, job, [alice.id, carol.id]);
    expect((await say(sha, { state: 'success', name: 'deploy' }, more)).body['id']).toBe(said.body['id']);
    const [row] = await server.store.commitStatuses.ofPipeline(null, id<PipelineId>(Number(said.body['pipeline_id'])));
    expect(row?.writers).toEqual([alice.id, bob.id, carol.id]);
    // One of them may not: nobody does.
    const outside = await passFor(server, job, [alice.id, (await server.user('dave')).id]);
    expect((await say(sha, { state: 'success', name: 'late' }, outside)).status).toBe(404);
    const fresh = await commit();
    const other = await say(fresh.sha, { state: 'success' }, pass);
    const line = await server.store.jobs.pipeline(null, id<PipelineId>(Number(other.body['pipeline_id'])));
    expect(line).toMatchObject({ creators: [alice.id, bob.id], source: 'external', status: 'success' });
    expect(await server.claim(runner)).toBeUndefined();
    expect((await say(fresh.sha, { state: 'success', name: 'by token' }, job.token)).status).toBe(401);
    await server.finish(job);
    expect((await say(sha, { state: 'success', name: 'late' }, pass)).status).toBe(401);
  });

  test('R2 a status asks again at the moment it takes effect', async () => {
    const { sha, job } = await started();
    const secret = new Secret(await passFor(server, job, [alice.id]));
    const accesses = [{ permission: 'commit_status:create', resource: { kind: 'project', id: id<ProjectId>(app) } }] as const;
    const context = { door: 'api', endpoint: 'test', requestId: 'test', secure: true };
    const admission = await server.gatekeeper.admit({ kind: 'secret', secret, carrier: 'private_token' }, accesses, context);
    if (!admission.ok) throw new Error('refused');
    await server.finish(job);
    const said = { state: 'success', name: 'late', ref: undefined, pipelineId: undefined } as const;
    const nothing = { targetUrl: undefined, description: undefined, coverage: undefined };
    await expect(server.jobs.commitStatuses.say(admission.grant, id<ProjectId>(app), sha, { ...said, ...nothing })).rejects.toMatchObject({
      code: 'pass_dead',
    });
    expect((await get(`/repository/commits/${sha}/statuses?stage=external`)).list).toEqual([]);
  });

  test('R5 no credential in a link that everybody sees', async () => {
    for (const target_url of ['https://user:word@ci.example.com/', 'https://glpat-x@ci.example.com/', 'ftp://ci.example.com/x', '//ci/x']) {
      const reply = await say(base.sha, { state: 'success', target_url });
      expect([target_url, reply.status, reply.text]).toEqual([target_url, 400, expect.stringContaining('target_url')]);
    }
  });

  test('R12 a pass in what is said, in each of its forms, is dead, and nothing is kept', async () => {
    const { sha, job } = await started();
    for (const [field, valueOf] of [
      ['description', (pass: string) => `see ${pass}`],
      ['name', (pass: string) => `x${Buffer.from(`a:${pass}`).toString('base64')}`],
      ['target_url', (pass: string) => `https://ci.example.com/?t=${Buffer.from(pass).toString('hex')}`],
      ['description', (pass: string) => pass.split('').join(' ')],
    ] as const) {
      const pass = await passFor(server, job, [alice.id], 'fetch');
      const value = valueOf(pass);
      const reply = await say(sha, { state: 'success', [field]: value });
      expect([field, reply.status, reply.text]).toEqual([field, 400, expect.stringContaining('R12')]);
      expect((await server.call('GET', '/api/v4/user', { token: pass })).status).toBe(401);
    }
    expect((await get(`/repository/commits/${sha}/statuses?stage=external`)).list).toEqual([]);
    await server.finish(job);
  });

  test('R11 who may read the code and not its pipelines sees no status of it', async () => {
    const { sha } = base;
    await say(sha, { state: 'success', name: 'seen' });
    const planner = await server.user('planner');
    await server.member(app, planner.id, 15);
    expect((await get(`/repository/commits/${sha}`, planner.token)).body).toMatchObject({ id: sha, status: null, last_pipeline: null });
    expect((await get(`/repository/commits/${sha}/statuses`, planner.token)).status).toBe(403);
  });

  test('branches and tags that have a commit', async () => {
    const { sha, branch } = await commit();
    await server.must('POST', `${P()}/repository/tags`, { tag_name: 'has-it', ref: branch }, alice.token);
    const both = [
      { type: 'branch', name: branch },
      { type: 'tag', name: 'has-it' },
    ];
    expect((await get(`/repository/commits/${sha}/refs`)).list).toEqual(both);
    expect((await get(`/repository/commits/${sha}/refs?type=tag`)).list).toEqual([both[1]]);
    expect((await get(`/repository/commits/${sha}/refs?per_page=1&page=2`)).list).toEqual([both[1]]);
  });
});
