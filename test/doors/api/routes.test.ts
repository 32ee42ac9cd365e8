import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { newPassToken } from '../../../src/base/pass-token.ts';
import { startTestServer, type TestServer } from '../../support/server.ts';

describe('the REST API: what must not be learned or widened by it', () => {
  let server: TestServer;
  let alice: { id: number; token: string };
  let app: number;
  let hidden: number;
  const P = () => `/api/v4/projects/${app}`;
  beforeAll(async () => {
    server = await startTestServer();
    alice = await server.user('alice');
    app = await server.project('team/app');
    hidden = await server.project('secret/assets');
    await server.project('2026/year');
    await server.member(app, alice.id, 40);
    await server.commit(app, 'README.md', '# hello\n', { token: alice.token });
    await server.must('POST', `${P()}/releases`, { tag_name: 'v1', ref: 'main' }, alice.token);
  });
  afterAll(() => server.stop());

  const post = (path: string, body: unknown) => server.call('POST', path, { token: alice.token, body });
  const addLink = (url: string) => post(`${P()}/releases/v1/assets/links`, { name: url.slice(-40), url });

  test('A12 R11 a release link to a hidden project and to none at all are refused in the same words, however it is written', async () => {
    const paths = [
      '/secret/assets/-/jobs/1/artifacts',
      '/secret/nothing/-/jobs/1/artifacts',
      '/secret%2Fassets/-/jobs/1/artifacts',
      '/secret/assets.git/info/refs',
      '/2026/year/-/archive',
      `/api/v4/projects/${hidden}/jobs/1/artifacts`,
      '/api/v4/projects/99999/jobs/1/artifacts',
      '/api/v4/projects/secret%2Fassets/jobs/1/artifacts',
      '/',
    ];
    for (const path of paths)
      expect([path, (await addLink(server.url + path)).text]).toEqual([path, '{"message":"404 Project Not Found"}']);
    expect((await addLink(`${server.url}/%zz`)).status).toBe(400);
    expect((await addLink(`${server.url}/api/v4/projects/${app}/jobs/1/artifacts`)).status).toBe(201);
    expect((await addLink(`${server.url}/team/app/-/archive`)).status).toBe(201);
  });

  test('R11 a hidden namespace and one that is not there are refused in the same words', async () => {
    const { namespace } = await server.must('GET', `/api/v4/projects/${hidden}`);
    const { id } = namespace as { id: number };
    const answers = [];
    for (const namespace_id of [id, 99_999]) answers.push((await post('/api/v4/projects', { name: 'x', namespace_id })).text);
    expect(answers[0]).toBe(answers[1]);
    expect((await post('/api/v4/projects', { name: 'x', namespace_id: 'secret' })).text).toBe('{"error":"namespace_id is invalid"}');
  });

  test('a change of role leaves the end of a membership where it is; null takes it away', async () => {
    const bob = await server.user('bob');
    await server.must('POST', `${P()}/members`, { user_id: bob.id, access_level: 20, expires_at: '2099-01-01' }, alice.token);
    const put = (body: object) => server.must('PUT', `${P()}/members/${bob.id}`, body, alice.token);
    expect(await put({ access_level: 30 })).toMatchObject({ access_level: 30, expires_at: '2099-01-01' });
    expect(await put({ access_level: 30, expires_at: '2099-02-01' })).toMatchObject({ expires_at: '2099-02-01' });
    expect(await put({ access_level: 30, expires_at: null })).toMatchObject({ expires_at: null });
    const group = await server.must('POST', '/api/v4/groups', { name: 'g', path: 'g' }, alice.token);
    const member = `/api/v4/groups/${String(group['id'])}/members`;
    await server.must('POST', member, { user_id: bob.id, access_level: 20, expires_at: '2099-01-01' }, alice.token);
    expect(await server.must('PUT', `${member}/${bob.id}`, { access_level: 30 }, alice.token)).toMatchObject({ expires_at: '2099-01-01' });
    expect((await server.call('PUT', `${member}/99999`, { token: alice.token, body: { access_level: 30 } })).status).toBe(404);
  });

  test('a token that has expired is not active', async () => {
    const body = { name: 'old', scopes: ['api'], expires_at: '2020-01-01' };
    expect(await server.must('POST', '/api/v4/user/personal_access_tokens', body, alice.token)).toMatchObject({ active: false });
  });

  test('content in base64 is taken with line breaks, and refused where it is none', async () => {
    const write = (content: string) =>
      post(`${P()}/repository/files/f${content.length}`, { branch: 'main', commit_message: 'm', encoding: 'base64', content });
    expect((await write('aGVs\nbG8=\n')).status).toBe(201);
    expect((await server.call('GET', `${P()}/repository/files/f10/raw`, { token: alice.token })).text).toBe('hello');
    expect((await write(`${' '.repeat(200_000)}!`)).text).toBe('{"error":"content is not base64"}');
  });

  test('bodies over 1 MiB are read for files and commits only', async () => {
    const content = 'a'.repeat(1_200_000);
    expect((await server.call('POST', '/api/v4/groups', { body: { name: content } })).status).toBe(413);
    expect((await post(`${P()}/repository/files/large`, { branch: 'main', commit_message: 'm', content })).status).toBe(201);
  });

  test('R6 no cache between keeps an answer', async () => {
    expect((await server.call('GET', '/api/v4/user', { token: alice.token })).headers.get('cache-control')).toBe('no-store');
  });

  test('R17 A26 a pass in the URL of any door is refused with the header to use', async () => {
    const pass = newPassToken('full').reveal();
    for (const path of [
      `/api/v4/projects/${pass}`,
      `/team/app.git/info/refs?service=git-upload-pack&private_token=${pass}`,
      `/-/health?${pass}`,
    ]) {
      const reply = await server.call('GET', path);
      expect([reply.status, reply.text.includes('PRIVATE-TOKEN'), reply.text.includes(pass)]).toEqual([400, true, false]);
    }
  });

  test('R17 A67 the oauth routes take the one form field and nothing beside it', async () => {
    const pass = newPassToken('full').reveal();
    const send = (raw: string, headers: Record<string, string> = {}, query = '') =>
      server.call('POST', `/-/jobpass/oauth/introspect${query}`, {
        headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers },
        raw,
      });
    expect((await send(`token=${pass}`)).text).toBe('{"active":false}');
    for (const reply of [
      await send(`token=${pass}`, { 'private-token': alice.token }),
      await send(`token=${pass}`, { authorization: `Bearer ${pass}` }),
      await send(`token=${pass}`, { cookie: `a=${pass}` }),
      await send(`token=${pass}`, {}, `?private_token=${alice.token}`),
      await send(`token=${pass}`, {}, `?x=${pass}`),
      await send(`token=${pass}&other=${pass}`),
      await send(`token=${pass}&token=${pass}`),
    ])
      expect(reply.status).toBe(400);
  });
});
