import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { limits } from '../../../src/base/limits.ts';
import { passFor } from '../../support/pass.ts';
import { oneJob, startTestServer, type TestServer } from '../../support/server.ts';

const secret = 'correct-horse-battery';

describe('CI/CD variables over the API', () => {
  let server: TestServer;
  let alice: { id: number; token: string };
  let app: number;
  let lib: number;
  let group: number;

  beforeAll(async () => {
    server = await startTestServer();
    alice = await server.user('alice');
    [app, lib] = [await server.project('team/app'), await server.project('libs/one')];
    for (const project of [app, lib]) await server.member(project, alice.id, 40);
    group = Number((await server.must('GET', '/api/v4/groups/libs'))['id']);
    await server.must('POST', `/api/v4/groups/${group}/members`, { user_id: alice.id, access_level: 50 });
    await server.commit(app, '.gitlab-ci.yml', oneJob, { token: alice.token });
  });
  afterAll(() => server.stop());

  const root = () => `/api/v4/projects/${app}/variables`;
  const fieldsOf = async (body: Record<string, unknown>): Promise<unknown> => {
    const reply = await server.call('POST', root(), { token: alice.token, body });
    return reply.status === 201 ? reply.status : (reply.body['message'] ?? reply.body['error']);
  };

  test("GitLab's shapes: made, read, listed, changed, removed; by scope where a key has several", async () => {
    const made = await server.must('POST', root(), { key: 'DEPLOY', value: secret, masked: true, description: 'for live' }, alice.token);
    expect(made).toEqual({
      key: 'DEPLOY',
      value: secret,
      variable_type: 'env_var',
      protected: false,
      masked: true,
      hidden: false,
      raw: false,
      environment_scope: '*',
      description: 'for live',
    });
    expect(await server.must('GET', `${root()}/DEPLOY`, undefined, alice.token)).toEqual(made);
    await server.must('POST', root(), { key: 'DEPLOY', value: 'other', environment_scope: 'review/*' }, alice.token);
    expect((await server.call('GET', `${root()}/DEPLOY`, { token: alice.token })).status).toBe(409);
    const filtered = `${root()}/DEPLOY?filter[environment_scope]=${encodeURIComponent('review/*')}`;
    expect(await server.must('GET', filtered, undefined, alice.token)).toMatchObject({ value: 'other' });
    const change = { filter: { environment_scope: 'review/*' }, environment_scope: 'live', variable_type: 'file', protected: true };
    expect(await server.must('PUT', `${root()}/DEPLOY`, change, alice.token)).toMatchObject({
      value: 'other',
      environment_scope: 'live',
      variable_type: 'file',
      protected: true,
    });
    const list = await server.call('GET', `${root()}?per_page=1&page=2`, { token: alice.token });
    expect([list.list.map((one) => one['environment_scope']), list.headers.get('x-total')]).toEqual([['live'], '2']);
    for (const scope of ['live', '*'])
      expect((await server.call('DELETE', `${root()}/DEPLOY?filter[environment_scope]=${scope}`, { token: alice.token })).status).toBe(204);
    const gone = await server.call('GET', `${root()}/DEPLOY`, { token: alice.token });
    expect([gone.status, gone.body['message']]).toEqual([404, '404 Variable Not Found']);
  });

  test('what cannot be masked is refused, and so is what is no name', async () => {
    for (const value of ['short', 'with a space', 'two\nlines', ''])
      expect(await fieldsOf({ key: 'M', value, masked: true })).toHaveProperty('value');
    expect(await fieldsOf({ key: 'M', value: 'pa$$word', masked: true })).toHaveProperty('value');
    expect(await fieldsOf({ key: 'M1', value: 'pa$$word', masked: true, raw: true })).toBe(201);
    for (const key of ['1A', 'A-B', 'A=B', 'A'.repeat(256), '$(id)']) expect(await fieldsOf({ key, value: 'x' })).toHaveProperty('key');
    expect(await fieldsOf({ key: 'A', value: 'x', environment_scope: 'a\nb' })).toHaveProperty('environment_scope');
    expect(await fieldsOf({ key: 'A', value: 'x'.repeat(limits.keptVariableCharacters + 1) })).toHaveProperty('value');
    expect(await fieldsOf({ key: 'A' })).toBe('value is missing');
    expect(await fieldsOf({ key: 'M1', value: 'again' })).toEqual({ key: ['(M1) has already been taken'] });
    expect(await fieldsOf({ key: 'EMPTY', value: '' })).toBe(201);
  });

  test('a hidden variable is never shown again, and stays masked', async () => {
    const made = await server.call('POST', root(), { token: alice.token, body: { key: 'HIDDEN', value: secret, masked_and_hidden: true } });
    expect(made.body).toMatchObject({ value: null, hidden: true, masked: true });
    const changed = await server.call('PUT', `${root()}/HIDDEN`, { token: alice.token, body: { value: `${secret}-2` } });
    const list = await server.call('GET', root(), { token: alice.token });
    for (const reply of [made, changed, list]) expect(reply.text).not.toContain(secret);
    const shown = await server.call('PUT', `${root()}/HIDDEN`, { token: alice.token, body: { masked: false } });
    expect([shown.status, shown.body['message']]).toEqual([400, { masked: [expect.stringContaining('hidden')] }]);
  });

  test('values are sealed at rest, with a key beside the store, and stand in no audit row', async () => {
    await server.must('POST', `/api/v4/groups/${group}/variables`, { key: 'AT_REST', value: secret }, alice.token);
    await server.must('POST', '/api/v4/admin/ci/variables', { key: 'AT_REST', value: secret });
    for (const file of ['jobpass.db', 'jobpass.db-wal'])
      expect((await readFile(join(server.dataDir, file)).catch(() => Buffer.alloc(0))).includes(secret)).toBe(false);
    expect((await stat(join(server.dataDir, 'seal.key'))).mode & 0o777).toBe(0o600);
    expect((await server.call('GET', '/api/v4/jobpass/audit?per_page=100', { token: server.root })).text).not.toContain(secret);
  });

  test('R13 a value that was moved to another place does not open', async () => {
    const [from] = await server.store.variables.byKey(null, { kind: 'instance' }, 'AT_REST');
    const [to] = await server.store.variables.byKey(null, { kind: 'group', id: group as never }, 'AT_REST');
    if (from === undefined || to === undefined) throw new Error('no variable');
    await server.store.transactor.write((tx) => server.store.variables.change(tx, to.id, { sealed: from.sealed }));
    const reply = await server.call('GET', `/api/v4/groups/${group}/variables/AT_REST`, { token: alice.token });
    expect([reply.status, reply.body['message']]).toEqual([422, expect.stringContaining('AT_REST cannot be opened')]);
    expect(reply.text).not.toContain(secret);
    expect((await server.call('DELETE', `/api/v4/groups/${group}/variables/AT_REST`, { token: alice.token })).status).toBe(204);
  });

  test('R5 a pass reads variables of its own project, and elsewhere only where a ceiling names them; it writes none', async () => {
    await server.must('POST', `/api/v4/projects/${lib}/variables`, { key: 'LIB', value: secret }, alice.token);
    const runner = await server.runner();
    await server.must('POST', `/api/v4/projects/${app}/pipeline`, { ref: 'main' }, alice.token);
    const job = (await server.claim(runner.token)) ?? (await server.claim(runner.token));
    if (job === undefined) throw new Error('no job');
    const pass = await passFor(server, job, [alice.id]);
    const get = async (path: string) => (await server.call('GET', path, { token: pass })).status;
    const places = [root(), `/api/v4/projects/${lib}/variables/LIB`, `/api/v4/groups/${group}/variables`];
    const statuses = async () => Promise.all(places.map(get));
    expect(await statuses()).toEqual([200, 403, 403]);
    const refusal = await server.call('GET', `/api/v4/projects/${lib}/variables`, { token: pass });
    expect(refusal.body['message']).toContain('variable:read on libs/one is missing: outside its own project');
    for (const [method, path] of [
      ['POST', root()],
      ['PUT', `${root()}/M1`],
      ['DELETE', `${root()}/M1`],
      ['POST', `/api/v4/groups/${group}/variables`],
      ['GET', '/api/v4/admin/ci/variables'],
    ] as const)
      expect(
        (await server.call(method, path, { token: pass, ...(method === 'GET' ? {} : { body: { key: 'X', value: 'y' } }) })).status,
      ).toBe(403);

    // `*` names nothing, and the ordinary job token reads none at all.
    await server.must('PUT', '/api/v4/user/jobpass/ceiling', { permissions: ['*'] }, alice.token);
    expect(await statuses()).toEqual([200, 403, 403]);
    expect((await server.call('GET', root(), { headers: { 'job-token': job.token } })).status).toBe(403);
    await server.must(
      'PUT',
      '/api/v4/user/jobpass/ceiling',
      { permissions: ['*', 'variable:read'], projects: ['team/app', 'libs/one'] },
      alice.token,
    );
    expect(await statuses()).toEqual([200, 200, 403]);
    await server.must('PUT', '/api/v4/user/jobpass/ceiling', { permissions: ['*', 'variable:read'], projects: ['team/app'] }, alice.token);
    expect(await statuses()).toEqual([200, 403, 403]);
    await server.must('PUT', '/api/v4/user/jobpass/ceiling', { permissions: ['variable:*', 'group_variable:read'] }, alice.token);
    expect(await statuses()).toEqual([200, 200, 200]);
    await server.must('DELETE', '/api/v4/user/jobpass/ceiling', undefined, alice.token);
  });
});
