import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { millis } from '../../../src/base/ids.ts';
import { jobLimits } from '../../../src/jobs/job-limits.ts';
import type { PlaceDirectory } from '../../../src/pass/name-places.ts';
import { passFor } from '../../support/pass.ts';
import { type Claimed, oneJob, startTestServer, type TestServer } from '../../support/server.ts';

const exchange = 'urn:ietf:params:oauth:grant-type:token-exchange';

describe('ceilings and narrowed passes', () => {
  let server: TestServer;
  let alice: { id: number; token: string };
  let app: number;
  let lib: number;
  let other: number;
  let runner: { id: number; token: string };

  beforeAll(async () => {
    server = await startTestServer();
    alice = await server.user('alice');
    [app, lib, other] = [await server.project('team/app'), await server.project('libs/one'), await server.project('libs/two')];
    await server.project('vault/closed');
    for (const project of [app, lib, other]) await server.member(project, alice.id, 40);
    await server.must('POST', '/api/v4/groups/libs/members', { user_id: alice.id, access_level: 10 });
    await server.commit(app, '.gitlab-ci.yml', oneJob, { token: alice.token });
    await server.commit(lib, 'a.txt', 'a', { token: alice.token });
    runner = await server.runner();
  });
  afterAll(() => server.stop());

  async function job(): Promise<Claimed> {
    await server.must('POST', `/api/v4/projects/${app}/pipeline`, { ref: 'main' }, alice.token);
    const claimed = await server.claim(runner.token);
    if (claimed === undefined) throw new Error('no job');
    return claimed;
  }
  const pass = async (): Promise<string> => passFor(server, await job(), [alice.id]);
  const get = async (path: string, token: string) => (await server.call('GET', path, { token })).status;
  const form = async (path: string, fields: readonly [string, string][]) => {
    const response = await fetch(`${server.url}/-/jobpass/oauth/${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams([...fields]).toString(),
    });
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  };
  const narrow = (parent: string, scope: string, places: readonly string[] = [], more: readonly [string, string][] = []) =>
    form('token', [
      ['grant_type', exchange],
      ['subject_token', parent],
      ['scope', scope],
      ...places.map((place): [string, string] => ['resource', place]),
      ...more,
    ]);
  const child = async (...args: Parameters<typeof narrow>): Promise<string> => {
    const { status, body } = await narrow(...args);
    if (status !== 200) throw new Error(JSON.stringify(body));
    return String(body['access_token']);
  };

  test('R9 a child does what it names, where it names it, and nothing else', async () => {
    const full = await pass();
    const small = await child(full, 'project:read repository:read', ['libs/one']);
    expect(small).toMatch(/^jpt_n/);
    expect(await get(`/api/v4/projects/${lib}`, small)).toBe(200);
    expect(await get(`/api/v4/projects/${lib}/repository/tree`, small)).toBe(200);
    expect(await get(`/api/v4/projects/${other}`, small)).toBe(403);
    expect(await get(`/api/v4/projects/${lib}/repository/branches`, small)).toBe(403);
    const told = await server.call('GET', `/api/v4/projects/${lib}/repository/branches`, { token: small });
    expect(told.text).toContain('branch:read on libs/one is missing: the ceiling of the narrowed pass does not name it');
    // What it may not know of stays hidden.
    expect(await get('/api/v4/projects/vault%2Fclosed', small)).toBe(404);
    const group = await child(full, '*:read', ['libs/*']);
    expect([
      await get(`/api/v4/projects/${lib}`, group),
      await get(`/api/v4/projects/${other}`, group),
      await get(`/api/v4/projects/${app}`, group),
    ]).toEqual([200, 200, 403]);
    const list = await server.call('GET', '/api/v4/projects', { token: await child(full, 'project:*', ['libs/*']) });
    expect(new Set(list.list.map((row) => row['path_with_namespace']))).toEqual(new Set(['libs/one', 'libs/two']));
  });

  test('R9 A10 a child of a child is narrower still, dies with its parent, and lives no longer', async () => {
    const full = await pass();
    const first = await child(full, '*:read', ['libs/*'], [['expires_in', '60']]);
    const second = await child(first, '*', [], [['expires_in', '9000000']]);
    expect(await get(`/api/v4/projects/${lib}`, second)).toBe(200);
    expect(await get(`/api/v4/projects/${app}`, second)).toBe(403);
    const write = await server.call('POST', `/api/v4/projects/${lib}/repository/branches?branch=x&ref=main`, { token: second });
    expect(write.status).toBe(403);
    const [one, two] = [await form('introspect', [['token', first]]), await form('introspect', [['token', second]])];
    expect(one.body).toMatchObject({ active: true, scope: '*:read', jobpass_kind: 'narrowed' });
    expect(Number(two.body['exp'])).toBeLessThanOrEqual(Number(one.body['exp']));
    expect(Number(one.body['exp']) - Number(one.body['iat'])).toBeLessThanOrEqual(60);
    await form('revoke', [['token', first]]);
    expect(await get(`/api/v4/projects/${lib}`, second)).toBe(401);
    expect(await get(`/api/v4/projects/${lib}`, full)).toBe(200);
  });

  test('A47 A41 R14 a place is its number: a renamed project keeps, what takes its name gains nothing; the hidden and the absent are answered alike', async () => {
    const full = await pass();
    const moving = await server.project('libs/moving');
    await server.member(moving, alice.id, 40);
    const small = await child(full, 'project:read', ['libs/moving']);
    await server.must('PUT', `/api/v4/projects/${moving}`, { path: 'moved' });
    const squatter = await server.project('libs/moving');
    await server.member(squatter, alice.id, 40);
    expect(await get(`/api/v4/projects/${moving}`, small)).toBe(200);
    expect(await get(`/api/v4/projects/${squatter}`, small)).toBe(403);
    const [hidden, absent] = [await narrow(full, '*', ['vault/closed']), await narrow(full, '*', ['vault/nothing'])];
    expect(hidden.body).toEqual(absent.body);
    expect(hidden.body['error']).toBe('invalid_target');
  });

  test('R13 R17 what is asked wrongly is answered as RFC 6749 says', async () => {
    const claimed = await job();
    const full = await passFor(server, claimed, [alice.id]);
    expect(
      (
        await form('token', [
          ['grant_type', 'password'],
          ['subject_token', full],
        ])
      ).body['error'],
    ).toBe('unsupported_grant_type');
    expect((await narrow(full, 'no:such')).body['error']).toBe('invalid_scope');
    expect((await narrow(full, '')).body['error']).toBe('invalid_scope');
    expect((await narrow('jpt_xnonsense', '*')).body['error']).toBe('invalid_grant');
    expect((await narrow(claimed.fetchPass, '*')).body['error']).toBe('unauthorized_client');
    const doubled = await fetch(`${server.url}/-/jobpass/oauth/token`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded', 'private-token': full },
      body: new URLSearchParams({ grant_type: exchange, subject_token: full, scope: '*' }).toString(),
    });
    expect(doubled.status).toBe(400);
    await server.finish(claimed);
    expect((await narrow(full, '*')).body['error']).toBe('invalid_grant');
    const metadata = await (await fetch(`${server.url}/-/jobpass/oauth/.well-known/oauth-authorization-server`)).json();
    expect(metadata).toMatchObject({ grant_types_supported: [exchange], token_endpoint: `${server.url}/-/jobpass/oauth/token` });
  });

  test('R9 depth and count are bounded', async () => {
    let current = await pass();
    for (let depth = 0; depth < 4; depth += 1) current = await child(current, '*');
    expect((await narrow(current, '*')).body['error']).toBe('unauthorized_client');
    const full = await pass();
    for (let count = 0; count < 50; count += 1) await child(full, '*');
    expect((await narrow(full, '*')).status).toBe(429);
  });

  test('R4 R11 a ceiling of each level narrows, counts at once, and says what to add', async () => {
    const full = await pass();
    const at = {
      instance: '/api/v4/jobpass/ceiling',
      group: '/api/v4/groups/team/jobpass/ceiling',
      project: `/api/v4/projects/${app}/jobpass/ceiling`,
      user: '/api/v4/user/jobpass/ceiling',
    };
    const token = (level: string): string => (level === 'user' ? alice.token : server.root);
    for (const [level, path] of Object.entries(at)) {
      expect(await get(`/api/v4/projects/${lib}/repository/branches`, full), level).toBe(200);
      await server.must('PUT', path, { permissions: ['project:read', 'code:*'] }, token(level));
      const refused = await server.call('GET', `/api/v4/projects/${lib}/repository/branches`, { token: full });
      expect(refused.status, level).toBe(403);
      expect(refused.text).toContain(`the ceiling of the ${level}`);
      expect(refused.text).toContain('add \\"branch:read\\" to its permissions');
      expect(await get(`/api/v4/projects/${lib}`, full), level).toBe(200);
      await server.must('PUT', path, { permissions: ['*'], projects: ['libs/one'] }, level === 'user' ? alice.token : server.root);
      expect(await get(`/api/v4/projects/${lib}/repository/branches`, full), level).toBe(200);
      expect(await get(`/api/v4/projects/${other}`, full), level).toBe(403);
      // A user's own token has no ceiling.
      expect(await get(`/api/v4/projects/${other}`, alice.token), level).toBe(200);
      expect((await server.must('GET', path, undefined, token(level)))['project_ids']).toEqual([lib]);
      await server.call('DELETE', path, { token: token(level) });
    }
    expect(await get(`/api/v4/projects/${other}`, full)).toBe(200);
  });

  test('A43 a ceiling that was set and cannot be read allows nothing', async () => {
    const full = await pass();
    await server.store.transactor.write((tx) =>
      server.store.ceilings.set(tx, { kind: 'project', id: app as never }, '{"permissions":["no:such"],"places":null}', millis(1)),
    );
    const refused = await server.call('GET', `/api/v4/projects/${lib}`, { token: full });
    expect(refused.status).toBe(403);
    expect(refused.text).toContain('cannot be read');
    expect(await server.must('GET', `/api/v4/projects/${app}/jobpass/ceiling`)).toEqual({ set: true, readable: false });
    await server.call('DELETE', `/api/v4/projects/${app}/jobpass/ceiling`, { token: server.root });
    expect(await get(`/api/v4/projects/${lib}`, full)).toBe(200);
  });

  test('R4 R5 bad ceilings are refused in words; no pass sets one', async () => {
    const path = `/api/v4/projects/${app}/jobpass/ceiling`;
    for (const body of [{}, { permissions: [] }, { permissions: ['no:such'] }, { permissions: ['*'], projects: ['no/such'] }]) {
      const refused = await server.call('PUT', path, { token: alice.token, body });
      expect(refused.status, JSON.stringify(body)).toBe(400);
    }
    const hidden = await server.call('PUT', path, { token: alice.token, body: { permissions: ['*'], projects: ['vault/closed'] } });
    const absent = await server.call('PUT', path, { token: alice.token, body: { permissions: ['*'], projects: ['vault/nothing'] } });
    expect([hidden.status, hidden.text]).toEqual([absent.status, absent.text]);
    expect((await server.call('PUT', path, { token: await pass(), body: { permissions: ['*'] } })).status).toBe(403);
  });

  test('A50 the job bounds its own pass in the file; variables given with the pipeline narrow only', async () => {
    const bounded = await server.project('team/bounded');
    await server.member(bounded, alice.id, 40);
    const file = 'variables:\n  JOBPASS_PERMISSIONS: "project:read code:*"\n  JOBPASS_PROJECTS: libs/one\njob:\n  script: ["true"]\n';
    await server.commit(bounded, '.gitlab-ci.yml', file, { token: alice.token });
    const limitsOf = async (): Promise<unknown> => {
      const claimed = await server.claim(runner.token);
      if (claimed === undefined) throw new Error('no job');
      const notes = (claimed.payload['extended_job_token'] as { notes: string[] }).notes;
      await server.finish(claimed);
      return notes.filter((note) => note.startsWith('bounded') || note.startsWith('JOBPASS'));
    };
    while ((await server.claim(runner.token)) !== undefined);
    await server.must('POST', `/api/v4/projects/${bounded}/pipeline`, { ref: 'main' }, alice.token);
    expect(await limitsOf()).toEqual(['bounded by the job: project:read code:* in libs/one']);
    const variables = [{ key: 'JOBPASS_PERMISSIONS', value: '*' }];
    await server.must('POST', `/api/v4/projects/${bounded}/pipeline`, { ref: 'main', variables }, alice.token);
    expect(await limitsOf()).toEqual(['bounded by the job: project:read code:* in libs/one', 'bounded by the pipeline: *']);
  });

  test('R4 R13 more names than a ceiling may have bound a job to nothing, and none of them is looked up', async () => {
    const many = Array.from({ length: 201 }, (_, index) => `libs/${index}`);
    const asked: string[] = [];
    const directory: PlaceDirectory = {
      project: async () => undefined,
      projectByPath: async (_tx, path) => void asked.push(path),
      groupByPath: async () => undefined,
    };
    const bound = (projects: string) => jobLimits(directory, [{ by: 'the job', permissions: undefined, projects }]);
    expect(await bound(many.join(' '))).toEqual({
      limits: [{ by: 'the job', permissions: [], places: { projectIds: [], groupIds: [] }, rule: 'R4' }],
      notes: ['JOBPASS_PROJECTS: at most 200 projects and groups; the pass may do nothing', 'bounded by the job: nothing'],
    });
    expect(asked).toEqual([]);
    await bound(many.slice(1).join('\n'));
    expect(asked).toHaveLength(200);
  });
});
