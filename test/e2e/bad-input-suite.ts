import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { StoryPlace } from '../support/behind.ts';

/** What nobody should send. @param start makes the place */
export function badInputSuite(where: string, start: () => Promise<StoryPlace>): void {
  describe(`bad input ${where}: a clear error, and nothing is lost`, () => {
    let server: StoryPlace;
    let app: number;
    beforeAll(async () => {
      server = await start();
      app = await server.project('team/app');
    });
    afterAll(() => server?.stop());

    async function pipelineOf(file: string): Promise<Record<string, unknown>> {
      const known = await server.call('GET', `/api/v4/projects/${app}/repository/files/.gitlab-ci.yml?ref=main`, { token: server.root });
      const action = known.status === 200 ? 'update' : 'create';
      await server.must('POST', `/api/v4/projects/${app}/repository/commits`, {
        branch: 'main',
        commit_message: 'ci',
        actions: [{ action, file_path: '.gitlab-ci.yml', content: file }],
      });
      return server.must('GET', `/api/v4/projects/${app}/pipelines/latest`);
    }

    test.each([
      ['broken YAML', 'job:\n  script: [echo\n', /line \d+: .*YAML/i],
      ['an unknown keyword', 'job:\n  script: [echo]\n  scirpt: x\n', /line 3: .*unknown keyword .*scirpt/],
      [
        'a keyword that is not there',
        'job:\n  script: [echo]\n  environment: {name: x, kubernetes: {}}\n',
        /line 3: .*kubernetes.*there is no agent/,
      ],
      [
        'needs in a circle',
        'a:\n  script: [x]\n  needs: [b]\nb:\n  script: [x]\n  needs: [a]\n',
        /line \d+: .*circle.*a.*b|line \d+: .*a.*b.*circle/,
      ],
      ['needs of a job that is not there', 'a:\n  script: [x]\n  needs: [c]\n', /line \d+: .*`?c`?.*does not exist/],
      ['no job', 'stages: [test]\n', /no visible job|no job/i],
      [
        'an alias bomb',
        `a: &a [x,x,x,x,x,x,x,x]\n${'bcdefgh'
          .split('')
          .map((name, index) => `${name}: &${name} [${Array.from({ length: 9 }, () => `*${'abcdefg'[index]}`).join(',')}]`)
          .join('\n')}\n`,
        /./,
      ],
    ])('%s makes a failed pipeline that says why, with the line', async (_name, file, why) => {
      const pipeline = await pipelineOf(file);
      expect(pipeline['status']).toBe('failed');
      expect(pipeline['yaml_errors']).toMatch(why);
    });

    test('R13 A22 path tricks on :id never reach a project', async () => {
      for (const id of [
        'team%2Fapp%2F..%2Fapp',
        'team%252Fapp',
        'team//app',
        'team%2F%2Fapp',
        '..%2Fteam%2Fapp',
        '%2e%2e',
        `${app}%00`,
        `${app};x`,
        'team%5Capp',
        '0',
        '-1',
        '9'.repeat(40),
        '1e0',
        'team%ff',
      ]) {
        const reply = await fetchRaw(`/api/v4/projects/${id}`);
        expect([id, reply]).toEqual([id, expect.stringMatching(/^HTTP\/1\.1 40[04] /)]);
      }
      expect(await fetchRaw('/api/v4/projects/team%2Fapp')).toMatch(/^HTTP\/1\.1 200 /);
    });

    /** fetch would tidy the path up; this sends it as it is. */
    function fetchRaw(path: string, headers = ''): Promise<string> {
      const { hostname, port } = new URL(server.url);
      return new Promise((resolve, reject) => {
        const socket = connect(Number(port), hostname, () =>
          socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nPRIVATE-TOKEN: ${server.root}\r\n${headers}\r\n`),
        );
        let text = '';
        socket.on('data', (chunk) => (text += chunk.toString('latin1')));
        socket.on('error', reject);
        socket.on('close', () => resolve(text));
      });
    }

    test('A25 huge headers are 431, a smuggled length is 400', async () => {
      expect(await fetchRaw('/api/v4/version', `X-Big: ${'a'.repeat(20_000)}\r\n`)).toMatch(/^HTTP\/1\.1 431 /);
      expect(await fetchRaw('/api/v4/version', 'Content-Length: 5\r\nTransfer-Encoding: chunked\r\n')).toMatch(/^HTTP\/1\.1 400 /);
      expect(await fetchRaw('/api/v4/version', 'X-HTTP-Method-Override: DELETE\r\n')).toMatch(/^HTTP\/1\.1 400 /);
    });

    test('A23 forwarding headers prove nothing', async () => {
      expect(
        await fetchRaw('/api/v4/version', 'X-Forwarded-Proto: https\r\nX-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Host: evil.example\r\n'),
      ).toMatch(/^HTTP\/1\.1 200 /);
    });

    test('huge, deep and broken bodies are refused', async () => {
      const json = { 'content-type': 'application/json' };
      const send = (raw: string, headers: Record<string, string> = json) =>
        server.call('POST', '/api/v4/groups', { token: server.root, raw, headers });
      expect((await send(`{"name":"${'a'.repeat(17 * 1024 * 1024)}"}`)).status).toBe(413);
      expect((await send(`${'['.repeat(100)}${']'.repeat(100)}`)).status).toBe(400);
      expect((await send('{"name":')).status).toBe(400);
      expect((await send('<xml/>', { 'content-type': 'text/xml' })).status).toBe(415);
      expect((await send('{}')).body).toEqual({ error: 'name is missing' });
    });

    test('R13 wrong token shapes are 401, also on what is public', async () => {
      for (const token of ['x', 'jpt_', 'jpt_x123', `jpt_x${'a'.repeat(36)}`, 'glpat-', 'glcbt-aaaa', 'glrt-aaaa', 'a'.repeat(5000)]) {
        expect([token.slice(0, 10), (await server.call('GET', '/api/v4/projects', { token })).status]).toEqual([token.slice(0, 10), 401]);
      }
      for (const authorization of ['Basic', 'Basic %%%', 'Basic YQ==', 'Bearer', 'Negotiate x']) {
        expect([authorization, (await server.call('GET', '/api/v4/projects', { headers: { authorization } })).status]).toEqual([
          authorization,
          401,
        ]);
      }
    });

    test('conflicts and limits say what is wrong', async () => {
      expect(await server.call('POST', '/api/v4/groups', { token: server.root, body: { name: 'team', path: 'TEAM' } })).toMatchObject({
        status: 409,
        body: { message: { path: ['has already been taken'] } },
      });
      expect(await server.call('POST', '/api/v4/groups', { token: server.root, body: { name: 'x', path: 'api' } })).toMatchObject({
        status: 400,
        body: { message: { path: ['is a reserved name'] } },
      });
      expect(
        (await server.call('POST', '/api/v4/users', { token: server.root, body: { username: '../x', name: 'x', email: 'x@example.com' } }))
          .status,
      ).toBe(400);
      expect((await server.call('GET', '/api/v4/projects?per_page=0', { token: server.root })).body).toEqual({
        error: 'per_page does not have a valid value',
      });
    });

    test('after all of that everything is as it was', async () => {
      expect((await server.call('GET', '/-/readiness')).body).toEqual({ status: 'ok', store: 'ok' });
      expect((await server.must('GET', `/api/v4/projects/${app}`))['path_with_namespace']).toBe('team/app');
    });
  });
}
