import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { silentLog } from '../../src/base/log.ts';
import { gatewayEndpoints } from '../../src/policy/gateway-endpoints.ts';
import { endpoints } from '../../src/policy/endpoints.ts';
import { isNeverAllowed, matchEndpoint, matchGatewayEndpoint } from '../../src/policy/match.ts';
import { permissionRule } from '../../src/policy/permissions.ts';
import { Wire } from '../doors/proxy/stage.ts';
import { type Handed, jobOfBoth, type Scene, scene } from '../support/scripted.ts';

const P = '/api/v4/projects/7';
const filled = (path: string): string =>
  path
    .replace('/api/v4/projects/:id', P)
    .replaceAll(/:[a-z_]+/g, '9')
    .replace('*', 'x');

describe('what a GitLab has beside the shared table', () => {
  let gate: Scene;
  let job: Handed;
  beforeAll(async () => {
    gate = await scene();
    job = await gate.job();
  });
  beforeEach(() => gate.gitlab.answers.clear());
  afterAll(() => gate.stop());

  const answering = (method: string, path: string, reply: readonly [number, unknown?]): void =>
    void gate.gitlab.answers.set(`${method} ${path.replace('/api/v4', '')}`, reply);

  test('R13 each row is carried as its user by number, with a token of the narrowest scope, and none stands in the shared table', async () => {
    for (const { method, path, permissions } of gatewayEndpoints) {
      expect(isNeverAllowed(method, filled(path)), path).toBe(false);
      expect(permissions.map((one) => permissionRule(one).pass)).not.toContain('never');
      // Matched by what it is, not by a row with parameters that stands before it.
      expect(matchGatewayEndpoint(method, filled(path))?.endpoint.permissions, `${method} ${path}`).toEqual(permissions);
      expect(
        endpoints.some((row) => row.method === method && row.path === path),
        path,
      ).toBe(false);
      answering(method, filled(path), [200, { id: 1, runners_token: 'secret' }]);
      const before = gate.gitlab.carried().length;
      const upload = method === 'POST' && path.endsWith('/packages/pypi');
      const answer = await gate.call(method, filled(path).replace('/7', '/team%2Fapp'), job.pass, {
        ...(upload
          ? { raw: '--boundary1\r\nContent-Disposition: form-data; name="content"; filename="a"\r\n\r\nx\r\n--boundary1--\r\n' }
          : {}),
        headers: upload ? { 'content-type': 'multipart/form-data; boundary=boundary1' } : {},
      });
      const isFile = method === 'GET' && /\/(?:raw|raw\/\*|artifacts\/\*|packages\/(?:maven|pypi)\/\*)$/.test(path);
      const told = isFile ? '{"id":1,"runners_token":"secret"}' : '{"id":1}';
      expect([method, path, answer.status, answer.text]).toEqual([method, path, 200, told]);
      const [carried, ...more] = gate.gitlab.carried().slice(before);
      expect(more).toEqual([]);
      expect(carried).toMatchObject({ method, path: filled(path).replace('/api/v4', '') });
      const token = gate.gitlab.acting.get(String(carried?.headers['private-token']));
      expect(token).toEqual({ user: 2, scopes: [method === 'GET' ? 'read_api' : 'api'] });
    }
  });

  test('files come as they are, though they be JSON with fields that are secrets elsewhere', async () => {
    const file = '{ "password" : "of a test",\n "token": 1 }\n{"more":2}';
    for (const path of [
      '/jobs/9/artifacts/report.json',
      '/jobs/artifacts/main/raw/report.json',
      '/jobs/9/artifacts',
      '/packages/generic/a/1/b.json',
      '/packages/maven/a/b.json',
      '/repository/blobs/9/raw',
      '/repository/files/a.json/raw',
      '/uploads/9/a.json',
    ]) {
      answering('GET', `${P}${path}`, [200, file]);
      expect([path, (await gate.call('GET', `${P}${path}`, job.pass)).text]).toEqual([path, file]);
    }
    answering('GET', `${P}/repository/files/a.json`, [200, { content: 'e30=', token: 'x' }]);
    expect((await gate.call('GET', `${P}/repository/files/a.json`, job.pass)).text).toBe('{"content":"e30="}');
  });

  test('R14 A21 a path that a project had before is nothing, and nobody follows where the forge leads', async () => {
    const [at, before] = ['/projects/team%2Fwas', gate.gitlab.carried().length];
    gate.gitlab.answers.set(`GET ${at}`, [301, { message: 'Moved Permanently' }]);
    const answer = await gate.call('GET', `/api/v4${at}/issues`, job.pass);
    expect([answer.status, gate.gitlab.carried().length]).toEqual([404, before]);
  });

  test('R5 git is told of no bundles: their addresses at the forge are signed, and would outlive the job', async () => {
    gate.gitlab.answers.set('POST /team/app.git/git-upload-pack', [200, 'as it came']);
    const authorization = `Basic ${Buffer.from(`x:${job.pass}`).toString('base64')}`;
    const headers = { authorization, 'content-type': 'application/x-git-upload-pack-request', 'git-protocol': 'version=2' };
    const asked = async (raw: string) => {
      const before = gate.gitlab.carried().length;
      const answer = await gate.call('POST', '/team/app.git/git-upload-pack', undefined, { raw, headers });
      return [
        answer.status,
        answer.text,
        gate.gitlab
          .carried()
          .slice(before)
          .map(({ body }) => body),
      ];
    };
    expect(await asked('0017command=bundle-uri\n0000')).toEqual([200, '0000', []]);
    const fetch = '0012command=fetch\n0001000cwant x\n0000';
    expect(await asked(fetch)).toEqual([200, 'as it came', [fetch]]);
    expect((await asked('0012command=other\n0000')).slice(0, 1)).toEqual([403]);
  });

  test('R13 to the shared table they are unknown', () => {
    for (const { method, path } of gatewayEndpoints) expect(matchEndpoint(method, filled(path)), path).toBeUndefined();
  });

  test('R3 R4 CI lint is not carried: the forge would include with the rights of one user, and without a ceiling', async () => {
    for (const [method, body] of [
      ['GET', undefined],
      ['POST', '{"content":"a: {script: x}"}'],
    ] as const) {
      const answer = await gate.call(method, `${P}/ci/lint`, job.pass, body === undefined ? {} : { raw: body });
      expect([answer.status, answer.text]).toEqual([501, expect.stringContaining('without a ceiling')]);
    }
  });

  test('R5 R6 the token by which the forge hears a pass is shown to nobody', async () => {
    const before = gate.gitlab.carried().length;
    const answer = await gate.call('GET', '/api/v4/personal_access_tokens/self', job.pass);
    expect([answer.status, answer.text, gate.gitlab.carried().length]).toEqual([
      400,
      expect.stringContaining('not a personal access token'),
      before,
    ]);
  });

  test('R13 A62 a quick action is refused in the query, too, and in every form of a name', async () => {
    const notes = `${P}/merge_requests/9/notes`;
    for (const [query, body, type] of [
      [`?body=${encodeURIComponent('hi\n/merge')}`, '{}', 'application/json'],
      ['', new URLSearchParams({ 'note[body]': '/merge' }).toString(), 'application/x-www-form-urlencoded'],
      [
        '',
        new URLSearchParams([
          ['body', '/merge'],
          ['body', 'fine'],
        ]).toString(),
        'application/x-www-form-urlencoded',
      ],
      ['', JSON.stringify({ body: ['/merge'] }), 'application/json'],
    ] as const) {
      const answer = await gate.call('POST', `${notes}${query}`, job.pass, { raw: body, headers: { 'content-type': type } });
      expect([answer.status, answer.text]).toEqual([403, expect.stringContaining('quick action')]);
    }
  });

  test.each([
    ['sudo in the body', '', '{"sudo":"root"}', 'application/json'],
    ['sudo in a form', '', 'sudo=1', 'application/x-www-form-urlencoded'],
    ['sudo behind a semicolon', '?a=1;sudo=1', '{}', 'application/json'],
    ['sudo behind a semicolon of a form', '', 'a=1;sudo=1', 'application/x-www-form-urlencoded'],
    ['a second credential in the body', '', '{"private_token":"glpat-bob"}', 'application/json'],
    ['another method in a form', '', '_method=DELETE', 'application/x-www-form-urlencoded'],
    ['sudo with something in brackets', '?sudo%5Bx%5D=1', '{}', 'application/json'],
    ['a second credential with something in brackets', '', 'private_token[x]=glpat-bob', 'application/x-www-form-urlencoded'],
    ["a trigger token, which is somebody's", '', 'token=glptt-bob', 'application/x-www-form-urlencoded'],
    ["an OAuth token in the query, which is somebody else's", '?bearer_token=x', '{}', 'application/json'],
    ['an OAuth token in a form', '', 'bearer_token=x', 'application/x-www-form-urlencoded'],
    ['one type that is a list', '', '{}', 'application/json, application/x-www-form-urlencoded'],
  ])('R17 A22 A3 %s goes nowhere', async (_what, query, raw, type) => {
    const before = gate.gitlab.carried().length;
    const answer = await gate.call('POST', `${P}/issues${query}`, job.pass, { raw, headers: { 'content-type': type } });
    expect([answer.status, gate.gitlab.carried().length]).toEqual([400, before]);
  });

  test('A22 a header that names another method goes nowhere with a pass', async () => {
    const before = gate.gitlab.carried().length;
    for (const name of ['x-http-method-override', 'x-http-method', 'x-method-override']) {
      const answer = await gate.call('POST', `${P}/issues`, job.pass, { body: {}, headers: { [name]: 'DELETE' } });
      expect(answer.status, name).toBe(400);
    }
    expect(gate.gitlab.carried().length).toBe(before);
  });

  test('A22 a body of two types goes nowhere', async () => {
    const before = gate.gitlab.carried().length;
    const body = '{"title":"x&_method=DELETE&y=1"}';
    for (const [method, path, ...types] of [
      ['POST', `${P}/issues`, 'application/json', 'application/x-www-form-urlencoded'],
      ['PUT', `${P}/packages/generic/a/1/a.txt`, '', 'application/x-www-form-urlencoded'],
      ['PUT', `${P}/packages/generic/a/1/a.txt`, 'application/x-www-form-urlencoded, application/octet-stream'],
      ['POST', '/team/app.git/info/lfs/locks', 'application/x-www-form-urlencoded,x/y'],
    ] as const) {
      const headers = [
        `PRIVATE-TOKEN: ${job.pass}`,
        ...types.map((type) => `Content-Type: ${type}`),
        `Content-Length: ${body.length}`,
        'Connection: close',
      ];
      const text = await new Wire(Number(new URL(gate.gateway.url).port))
        .send([`${method} ${path} HTTP/1.1`, 'Host: h', ...headers, '', body].join('\r\n'))
        .end();
      expect(text, path).toMatch(/^HTTP\/1\.1 400 /);
    }
    expect(gate.gitlab.carried().length).toBe(before);
  });

  test('A22 A25 what Connection would take away is about the request: with a pass, or of a runner, it goes nowhere', async () => {
    const before = gate.gitlab.carried().length;
    const sent = (line: string, headers: readonly string[], body: string): Promise<string> =>
      new Wire(Number(new URL(gate.gateway.url).port))
        .send([line, 'Host: h', ...headers, `Content-Length: ${body.length}`, '', body].join('\r\n'))
        .end();
    const pass = `PRIVATE-TOKEN: ${job.pass}`;
    const json = 'Content-Type: application/json';
    const smuggling = '{"title":"x&_method=DELETE&sudo=root&y=1"}';
    // Without its type, GitLab reads the body of a POST as a form, and of a PUT as JSON.
    for (const [line, headers, body] of [
      [`POST ${P}/issues HTTP/1.1`, [pass, json, 'Connection: close, content-type'], smuggling],
      [`POST ${P}/issues HTTP/1.1`, [pass, json, 'Connection: close', 'connection: Content-Type'], smuggling],
      [
        `PUT ${P}/merge_requests/9/merge HTTP/1.1`,
        [pass, 'Content-Type: application/x-www-form-urlencoded', 'Connection: content-type, close'],
        '{"auto_merge":true}',
      ],
      ['POST /api/v4/jobs/request HTTP/1.1', ['RUNNER-TOKEN: glrt-five', json, 'Connection: runner-token, close'], '{"token":"glrt-six"}'],
    ] as const)
      expect(await sent(line, headers, body), headers.join()).toMatch(/^HTTP\/1\.1 400 .*Connection header may not name/s);
    expect(gate.gitlab.carried().length).toBe(before);
    answering('POST', `${P}/issues`, [201, { id: 1 }]);
    expect(await sent(`POST ${P}/issues HTTP/1.1`, [pass, json, 'Connection: close, TE', 'TE: trailers'], '{}')).toMatch(
      /^HTTP\/1\.1 201 /,
    );
  });

  test('A22 a form in the body of a request that reads goes nowhere', async () => {
    const before = gate.gitlab.carried().length;
    const { request } = await import('node:http');
    const status = await new Promise((resolve, reject) => {
      const headers = { 'private-token': job.pass, 'content-type': 'application/x-www-form-urlencoded', 'content-length': '6' };
      const sent = request(`${gate.gateway.url}${P}/issues`, { method: 'GET', headers }, (response) =>
        resolve(response.resume().statusCode),
      );
      sent.on('error', reject).end('sudo=1');
    });
    expect([status, gate.gitlab.carried().length]).toEqual([400, before]);
  });

  test('R5 what would be done later, or bring another project in, is refused', async () => {
    for (const [method, path, body, status] of [
      ['PUT', '/merge_requests/9/merge', { merge_when_pipeline_succeeds: true }, 403],
      ['PUT', '/merge_requests/9/merge', { auto_merge: 'true' }, 403],
      ['POST', '/merge_requests', { source_branch: 'a', target_branch: 'b', target_project_id: 8 }, 403],
      ['POST', '/repository/commits', { branch: 'a', start_project: 8, actions: [] }, 403],
    ] as const) {
      const answer = await gate.call(method, `${P}${path}`, job.pass, { body });
      expect([path, answer.status]).toEqual([path, status]);
    }
  });

  test('R3 a comparison with another project goes nowhere: the forge would read it with the rights of one user', async () => {
    const before = gate.gitlab.carried().length;
    const answer = await gate.call('GET', `${P}/repository/compare?from=a&to=b&from_project_id=8`, job.pass);
    expect([answer.status, answer.text, gate.gitlab.carried().length]).toEqual([403, expect.stringContaining('from_project_id'), before]);
  });

  test('R4 A66 no pass writes below .jobpass/', async () => {
    for (const [method, path, body] of [
      ['POST', '/repository/files/.jobpass%2Fx', { branch: 'a', content: 'x', commit_message: 'x' }],
      ['POST', '/repository/commits', { branch: 'a', commit_message: 'x', actions: [{ action: 'create', file_path: '.jobpass/x' }] }],
      [
        'POST',
        '/repository/commits',
        { branch: 'a', commit_message: 'x', actions: [{ action: 'move', file_path: 'a', previous_path: '.JOBPASS/x' }] },
      ],
    ] as const) {
      const answer = await gate.call(method, `${P}${path}`, job.pass, { body });
      expect([answer.status, answer.text]).toEqual([403, expect.stringContaining('.jobpass/')]);
    }
  });

  test.each([
    ['a field beside the file', '--boundary1\r\nContent-Disposition: form-data; name="sudo"\r\n\r\nroot\r\n--boundary1--\r\n'],
    [
      'a second part',
      '--boundary1\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nx\r\n--boundary1\r\nContent-Disposition: form-data; name="sudo"\r\n\r\nroot\r\n--boundary1--\r\n',
    ],
    ['no end', '--boundary1\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nx'],
    [
      'something after its end',
      '--boundary1\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nx\r\n--boundary1--\r\nmore',
    ],
    ['two names', '--boundary1\r\nContent-Disposition: form-data; name="file"; name="sudo"; filename="a"\r\n\r\nx\r\n--boundary1--\r\n'],
  ])('R13 A22 an upload with %s never arrives whole', async (_what, raw) => {
    const before = gate.gitlab.carried().length;
    const answer = await gate.call('POST', `${P}/uploads`, job.pass, {
      raw,
      headers: { 'content-type': 'multipart/form-data; boundary=boundary1' },
    });
    expect([answer.status, gate.gitlab.carried().length]).toEqual([400, before]);
  });

  const part = (name: string, value: string, more = ''): string =>
    `--boundary1\r\nContent-Disposition: form-data; name="${name}"${more}\r\n\r\n${value}\r\n`;
  const wheel = part('content', 'PK bytes', '; filename="tool-1.0.whl"');

  test.each([
    ['as clients send it', [part('name', 'tool'), part(':action', 'file_upload'), part('description', '\r\n/close\r\n'), wheel], 201],
    ['with a field that is none of a package', [part('name', 'tool'), part('sudo', 'root'), wheel], 400],
    ['with a field that looks like one', [part('name', 'tool', '; x="sudo"'), wheel], 400],
    ['with a field behind the file', [wheel, part('name', 'tool')], 400],
    ['with two files', [wheel, wheel], 400],
    ['whose file has another name', [part('file', 'x', '; filename="a"')], 400],
    ['with a boundary in a field', [part('name', 'to--boundary1ol'), wheel], 400],
    ['with fields that are too large', [part('description', 'x'.repeat(1024 * 1024)), wheel], 413],
  ])('A22 R13 a Python package %s', async (_what, parts, status) => {
    const before = gate.gitlab.carried().length;
    gate.gitlab.answers.set('POST /projects/7/packages/pypi', [201, {}]);
    const raw = `${parts.join('')}--boundary1--\r\n`;
    const authorization = `Basic ${Buffer.from(`gitlab-ci-token:${job.pass}`).toString('base64')}`;
    const headers = { authorization, 'content-type': 'multipart/form-data; boundary=boundary1' };
    const answer = await gate.call('POST', `${P}/packages/pypi`, undefined, { raw, headers });
    expect([
      answer.status,
      gate.gitlab
        .carried()
        .slice(before)
        .map(({ body }) => body),
    ]).toEqual([status, status === 201 ? [raw] : []]);
  });

  test('R12 a pass in a field of a package, over two pieces, is revoked, and nothing of it arrives', async () => {
    const leaking = await gate.job();
    const before = gate.gitlab.carried().length;
    const raw = `${part('summary', `see ${leaking.fetch} there`)}${wheel}--boundary1--\r\n`;
    const headers = { 'content-type': 'multipart/form-data; boundary=boundary1' };
    const answer = await gate.call('POST', `${P}/packages/pypi`, leaking.pass, { raw, headers });
    expect([answer.status, gate.gitlab.carried().length]).toEqual([400, before]);
    const [fetchPass] = (await gate.gateway.store.passes.forJob(null, leaking.id as never)).filter(({ kind }) => kind === 'fetch');
    expect(fetchPass?.revokedReason).toContain('found in');
    await gate.end(leaking);
  });

  test('A22 a package whose type makes it parameters goes nowhere', async () => {
    const before = gate.gitlab.carried().length;
    const answer = await gate.call('PUT', `${P}/packages/generic/a/1/f`, job.pass, {
      raw: 'sudo=1',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
    });
    expect([answer.status, gate.gitlab.carried().length]).toEqual([501, before]);
  });

  test('R12 a pass in what a job writes is revoked, and nothing of it arrives', async () => {
    const leaking = await gate.job();
    const before = gate.gitlab.carried().length;
    const note = await gate.call('POST', `${P}/issues/9/notes`, leaking.pass, { body: { body: `see ${leaking.fetch} there` } });
    expect([note.status, gate.gitlab.carried().length]).toEqual([400, before]);
    // Its own pass: the request is cut with it, and hears why.
    const own = await gate.call('PUT', `${P}/packages/generic/a/1/f`, leaking.pass, { raw: `x ${leaking.pass} y` });
    expect([own.status, gate.gitlab.carried().length]).toEqual([401, before]);
    expect((await gate.call('GET', '/api/v4/user', leaking.pass)).status).toBe(401);
    await gate.end(leaking);
  });

  test('R3 notes and issues, and artifacts that some may not read, are not read for several people; what both may see is', async () => {
    const both = await jobOfBoth(gate);
    expect(both.notes).toContain('bob (pusher)');
    const archives = ['/jobs/artifacts/main/download', '/jobs/9/artifacts/a.txt', '/jobs/artifacts/main/raw/a.txt'];
    for (const path of ['/issues', '/issues/9', '/merge_requests/9/notes', ...archives]) {
      const answer = await gate.call('GET', `${P}${path}`, both.pass);
      expect([path, answer.status, answer.text]).toEqual([path, 403, expect.stringContaining('several people')]);
    }
    answering('GET', `${P}/merge_requests/9`, [200, { iid: 9 }]);
    expect((await gate.call('GET', `${P}/merge_requests/9`, both.pass)).status).toBe(200);
    // A whole archive: each of them has to be one who may read any; one person reads what the forge lets that person read.
    answering('GET', `${P}/jobs/9/artifacts`, [200, { whole: 'archive' }]);
    const before = gate.gitlab.carried().length;
    expect([(await gate.call('GET', `${P}/jobs/9/artifacts`, both.pass)).status, gate.gitlab.carried().length]).toEqual([403, before]);
    const bobs = await jobOfBoth(gate, { userId: 3 });
    expect(bobs.notes).not.toContain('alice');
    expect(await gate.call('GET', `${P}/jobs/9/artifacts`, bobs.pass)).toMatchObject({ status: 200 });
    answering('GET', `${P}/jobs/9/artifacts`, [403, { message: '403 Forbidden' }]);
    expect((await gate.call('GET', `${P}/jobs/9/artifacts`, bobs.pass)).status).toBe(403);
    await gate.end(bobs);
    await gate.end(both);
  });
});

describe('R5 what passes write is known, whatever becomes of the answer', () => {
  let gate: Scene;
  let over: (path: unknown) => void = () => {};
  beforeAll(async () => {
    gate = await scene({}, { ...silentLog, info: (event, fields) => void (event === 'http.request' && over(fields?.['path'])) });
  });
  beforeEach(() => gate.gitlab.answers.clear());
  afterAll(() => gate.stop());

  test('R5 a file that was written is found by its commit, which the forge does not tell', async () => {
    const job = await gate.job();
    const made = 'ef'.repeat(20);
    let written = false;
    gate.gitlab.answers.set('GET /projects/7/repository/commits', () => [
      200,
      [...(written ? [made] : []), gate.sha].map((id) => ({ id, parent_ids: [] })),
    ]);
    gate.gitlab.answers.set('POST /projects/7/repository/files/a.txt', () => {
      written = true;
      return [201, { file_path: 'a.txt', branch: 'main' }];
    });
    const answer = await gate.call('POST', `${P}/repository/files/a.txt`, job.pass, {
      body: { branch: 'main', content: 'x', commit_message: 'x' },
    });
    expect(answer.status, answer.text).toBe(201);
    expect((await gate.job({ sha: made })).payload).not.toHaveProperty('extended_job_token');
    expect((await gate.job()).payload).toHaveProperty('extended_job_token');
    await gate.end(job);
  });

  const form = { 'content-type': 'application/x-www-form-urlencoded' };
  test.each([
    ['a name that Rack mends', '', 'branch]=main&content=x', form],
    ['another one, beside a branch of no account', '', 'branch=none&[branch=main&content=x', form],
    ['a space before its name', '', 'content=x& branch=main', form],
    ['a name of the query that Rack mends', '?branch%5D=main', '{"content":"x"}', undefined],
    ['a number, which is read as its name', '', '{"branch":123}', undefined],
    ['nothing', '', '{"content":"x"}', undefined],
  ])('R5 A22 a file is written to no branch that is named by %s: nobody would know the commit', async (_what, query, raw, headers) => {
    const job = await gate.job();
    const before = gate.gitlab.carried().length;
    const answer = await gate.call('PUT', `${P}/repository/files/a.txt${query}`, job.pass, {
      raw,
      headers: headers ?? { 'content-type': 'application/json' },
    });
    expect([answer.status, gate.gitlab.carried().length]).toEqual([400, before]);
    // It was not sent: no job of the project is in doubt.
    expect((await gate.job()).payload).toHaveProperty('extended_job_token');
    await gate.end(job);
  });

  test('R5 the jobs that stop an environment, at its stop or with its branch or merge request, were started by the pass', async () => {
    const job = await gate.job();
    const { answers } = gate.gitlab;
    const hasPass = async (given: object): Promise<boolean> => 'extended_job_token' in (await gate.job(given)).payload;
    const [before, later] = ['2026-01-01T00:00:00Z', new Date(Date.now() + 3_600_000).toISOString()];
    answers.set('GET /projects/7/environments/9', [200, { id: 9, name: 'review/x' }]);
    answers.set('GET /projects/7/deployments', ({ path }) => [
      200,
      path.includes('environment=review%2Fx') ? [{ deployable: { pipeline: { id: 777 } } }, { deployable: null }] : [],
    ]);
    answers.set('POST /projects/7/environments/9/stop', [200, { id: 9, state: 'stopping' }]);
    expect((await gate.call('POST', `${P}/environments/9/stop`, job.pass, { body: {} })).status).toBe(200);
    expect([await hasPass({ pipelineId: 777 }), await hasPass({ pipelineId: 778 })]).toEqual([false, true]);

    answers.set('DELETE /projects/7/repository/branches/old', [204]);
    expect((await gate.call('DELETE', `${P}/repository/branches/old`, job.pass)).status).toBe(204);
    const command = `${gate.sha} ${'0'.repeat(40)} refs/heads/older\0 report-status delete-refs`;
    const raw = `${(command.length + 4).toString(16).padStart(4, '0')}${command}0000`;
    const authorization = `Basic ${Buffer.from(`x:${job.pass}`).toString('base64')}`;
    const headers = { authorization, 'content-type': 'application/x-git-receive-pack-request' };
    answers.set('POST /team/app.git/git-receive-pack', [200, '']);
    expect((await gate.call('POST', '/team/app.git/git-receive-pack', undefined, { raw, headers })).status).toBe(200);
    answers.set('PUT /projects/7/merge_requests/5/merge', [200, { iid: 5, sha: gate.sha, source_branch: 'topic', target_branch: 'x' }]);
    expect((await gate.call('PUT', `${P}/merge_requests/5/merge`, job.pass, { body: {} })).status).toBe(200);
    for (const ref of ['old', 'older', 'topic'])
      expect([ref, await hasPass({ ref, createdAt: before }), await hasPass({ ref, createdAt: later })]).toEqual([ref, false, true]);

    answers.set('PUT /projects/7/merge_requests/6', ({ body }) => [
      200,
      { iid: 6, sha: 'x', state: /close/.test(body) ? 'closed' : 'opened' },
    ]);
    answers.set('GET /projects/7/merge_requests/6', [200, { source_project_id: 7, source_branch: 'else' }]);
    const ofRequest = { ref: 'refs/merge-requests/6/head', createdAt: before };
    expect((await gate.call('PUT', `${P}/merge_requests/6`, job.pass, { body: { title: 'x' } })).status).toBe(200);
    expect(await hasPass(ofRequest)).toBe(true);
    expect((await gate.call('PUT', `${P}/merge_requests/6`, job.pass, { body: { state_event: 'close' } })).status).toBe(200);
    expect(await hasPass(ofRequest)).toBe(false);
    await gate.end(job);
  });

  test.each([
    ['that has a longer sha', [201, { id: 'ab'.repeat(32) }], { sha: 'ab'.repeat(32) }, true],
    ['of which nothing is said', [201, {}], {}, false],
    ['of which something else is said than JSON', [201, 'made', { 'content-type': 'text/plain' }], {}, false],
  ] as const)('R5 R13 a commit %s is known, or else nobody knows what came of it', async (_what, answer, of, others) => {
    const job = await gate.job();
    gate.gitlab.answers.set('POST /projects/7/repository/commits', answer);
    const written = await gate.call('POST', `${P}/repository/commits`, job.pass, {
      body: { branch: 'main', commit_message: 'x', actions: [] },
    });
    expect(written.status, written.text).toBe(201);
    expect((await gate.job(of)).payload).not.toHaveProperty('extended_job_token');
    expect('extended_job_token' in (await gate.job()).payload).toBe(others);
    await gate.end(job);
    await gate.gateway.store.transactor.write(async (tx) => {
      for (const { what } of await gate.gateway.store.passWrites.startingWith(tx, 7 as never, '?'))
        await gate.gateway.store.passWrites.forget(tx, 7 as never, what);
    });
  });

  test('R5 a client that leaves before the answer hides nothing', async () => {
    const job = await gate.job();
    const made = '12'.repeat(20);
    const arrived = Promise.withResolvers<() => void>();
    gate.gitlab.answers.set(
      'POST /projects/7/repository/commits',
      () => new Promise((resolve) => arrived.resolve(() => resolve([201, { id: made, parent_ids: [gate.sha] }]))),
    );
    const client = new AbortController();
    const gone = fetch(`${gate.gateway.url}${P}/repository/commits`, {
      method: 'POST',
      signal: client.signal,
      headers: { 'private-token': job.pass, 'content-type': 'application/json' },
      body: JSON.stringify({ branch: 'main', commit_message: 'x', actions: [] }),
    });
    const go = await arrived.promise;
    const noticed = new Promise<void>((resolve) => {
      over = (path) => void (path === `${P}/repository/commits` && resolve());
    });
    client.abort();
    await expect(gone).rejects.toThrow('abort');
    await noticed;
    const child = gate.job({ sha: made });
    go();
    expect((await child).payload).not.toHaveProperty('extended_job_token');
    // The answer was heard all the same: it holds for that commit only.
    expect((await gate.job()).payload).toHaveProperty('extended_job_token');
    await gate.end(job);
  });

  test('R5 R13 after a write whose answer nobody heard, new jobs of the project get no pass for a while; older and other ones do', async () => {
    const job = await gate.job();
    gate.gitlab.answers.set('POST /projects/7/pipeline', (_heard, response) => {
      response.destroy();
      return undefined;
    });
    expect((await gate.call('POST', `${P}/pipeline`, job.pass, { body: { ref: 'main' } })).status).toBe(502);
    expect((await gate.job()).payload).not.toHaveProperty('extended_job_token');
    expect((await gate.job({ createdAt: '2026-01-01T00:00:00Z' })).payload).toHaveProperty('extended_job_token');
    expect((await gate.job({ projectId: 8 })).payload).toHaveProperty('extended_job_token');
    await gate.end(job);
  });
});
