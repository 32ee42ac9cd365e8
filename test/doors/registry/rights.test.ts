import { once } from 'node:events';
import { type IncomingMessage, request as httpRequest } from 'node:http';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { JobId } from '../../../src/base/ids.ts';
import { Secret } from '../../../src/base/secret.ts';
import { passFor } from '../../support/pass.ts';
import { basic, bearer, codeOf, digestOf, imageType, manifestOf, RegistryClient } from '../../support/registry.ts';
import { type Claimed, oneJob, startTestServer, type TestServer } from '../../support/server.ts';

/** The trail settles outcomes in batches. */
const waiting = { interval: 20, timeout: 5000 };

describe('the registry: who may do what, through real HTTP', () => {
  let server: TestServer;
  let alice: { id: number; token: string };
  let app: number;
  let tools: number;
  let runner: { token: string };
  let job: Claimed;
  let pass: RegistryClient;
  let passToken: string;
  const nobody = () => new RegistryClient(server, {});
  const asAlice = () => new RegistryClient(server, basic(alice.token));

  beforeAll(async () => {
    server = await startTestServer();
    alice = await server.user('alice');
    app = await server.project('team/app');
    tools = await server.project('ops/tools');
    await server.project('secret/vault');
    await server.member(app, alice.id, 40);
    await server.member(tools, alice.id, 20);
    await server.commit(app, '.gitlab-ci.yml', oneJob, { token: alice.token });
    runner = await server.runner();
    const root = new RegistryClient(server, basic(server.root));
    await root.pushImage('ops/tools', 'latest', 'tools');
    await root.pushImage('secret/vault', 'latest', 'the vault');
    const { id } = await server.must('POST', '/api/v4/groups', { name: 'open', path: 'open', visibility: 'public' });
    await server.must('POST', '/api/v4/projects', { name: 'images', path: 'images', namespace_id: id, visibility: 'public' });
    await root.pushImage('open/images', 'latest', 'for everybody');
  });
  afterAll(() => server.stop());

  beforeEach(async () => {
    const waiting = await server.claim(runner.token);
    if (waiting === undefined) await server.must('POST', `/api/v4/projects/${app}/pipeline`, { ref: 'main' }, alice.token);
    const claimed = waiting ?? (await server.claim(runner.token));
    if (claimed === undefined) throw new Error('no job');
    job = claimed;
    passToken = await passFor(server, job, [alice.id]);
    pass = new RegistryClient(server, basic(passToken));
    return async () => void (await server.finish(job));
  });

  const withToken = async (client: RegistryClient, ...scopes: string[]) =>
    new RegistryClient(server, bearer((await client.token(...scopes)).token));

  test('A17 the realm is a configured address, whatever Host a request names', async () => {
    for (const host of ['evil.example', 'evil.example:80', '127.0.0.1:1', new URL(server.url).host]) {
      const headers = await new Promise<string>((resolve, reject) => {
        httpRequest(`${server.url}/v2/`, { headers: { host } }, (response) => {
          response.resume();
          resolve(String(response.headers['www-authenticate']));
        })
          .on('error', reject)
          .end();
      });
      expect(headers).toBe(`Bearer realm="${server.url}/jwt/auth",service="container_registry"`);
    }
  });

  test('a login without scope works for whoever holds a live credential, and for nobody else', async () => {
    for (const secret of [alice.token, passToken, job.token, job.fetchPass]) {
      const { reply, token } = await new RegistryClient(server, basic(secret)).token();
      expect([reply.status, token.slice(0, 4), reply.body['expires_in']]).toEqual([200, 'jrt_', 300]);
      expect((await server.call('GET', '/v2/', { headers: bearer(token) })).status).toBe(200);
    }
    for (const headers of [basic(`${alice.token}x`), basic('jpt_x'), basic('glcbt-nobody')]) {
      const { reply } = await new RegistryClient(server, headers).token();
      expect([reply.status, reply.headers.get('www-authenticate')]).toEqual([401, 'Basic realm="GitLab"']);
    }
    const { reply } = await nobody().token();
    expect(reply.status).toBe(401);
  });

  test('only GET of the one service is answered', async () => {
    expect((await asAlice().ask('POST', '/jwt/auth?service=container_registry')).status).toBe(404);
    expect((await asAlice().ask('GET', '/jwt/auth?service=other')).status).toBe(404);
    expect((await asAlice().ask('GET', '/jwt/auth')).status).toBe(404);
    const scopes = Array.from({ length: 21 }, () => 'repository:team/app:pull');
    expect((await asAlice().token(...scopes)).reply.status).toBe(400);
  });

  test('A41 R11 hidden and absent are answered alike, with and without a token', async () => {
    for (const client of [asAlice(), pass, new RegistryClient(server, bearer(passToken))]) {
      const replies = [];
      for (const name of ['secret/vault', 'secret/nothing', 'nobody/there']) {
        const { reply } = await client.token(`repository:${name}:pull,push`);
        expect(reply.status).toBe(200);
        const { status, text, headers } = await client.ask('GET', `/v2/${name}/manifests/latest`);
        replies.push([status, text, headers.get('www-authenticate')]);
      }
      expect(replies).toEqual([replies[0], replies[0], replies[0]]);
      expect(replies[0]?.[0]).toBe(404);
    }
    const anonymous = [];
    for (const name of ['secret/vault', 'nobody/there']) {
      const { status, text, headers } = await nobody().ask('GET', `/v2/${name}/manifests/latest`);
      anonymous.push([status, text, headers.get('www-authenticate')?.replace(name, '')]);
    }
    expect(anonymous[0]).toEqual(anonymous[1]);
    expect(anonymous[0]?.[0]).toBe(401);
  });

  test('A14 without a credential only what is public is pulled', async () => {
    const open = await withToken(nobody(), 'repository:open/images:pull,push');
    expect((await open.ask('GET', '/v2/open/images/manifests/latest')).status).toBe(200);
    expect((await open.ask('POST', '/v2/open/images/blobs/uploads/')).status).not.toBe(202);
    const closed = await withToken(nobody(), 'repository:ops/tools:pull');
    for (const name of ['ops/tools', 'nobody/there']) {
      const { status, headers } = await closed.ask('GET', `/v2/${name}/manifests/latest`);
      expect([status, headers.get('www-authenticate')]).toEqual([401, expect.stringContaining(`scope="repository:${name}:pull"`)]);
    }
    expect((await nobody().ask('GET', '/v2/_catalog')).status).toBe(405);
    expect((await asAlice().ask('GET', '/v2/_catalog')).status).toBe(405);
  });

  test('A15 a token that was not handed out here is nothing, whatever it says', async () => {
    const jwt = `${btoa('{"alg":"none","jwk":{}}')}.${btoa('{"access":[]}')}.`.replaceAll('=', '');
    for (const forged of [jwt, `jrt_${'A'.repeat(40)}`, 'jrt_'])
      expect([forged, (await server.call('GET', '/v2/', { headers: bearer(forged) })).status]).toEqual([forged, 401]);
    const { token } = await asAlice().token();
    expect((await server.call('GET', '/v2/', { headers: basic(token) })).status).toBeGreaterThanOrEqual(400);
    expect((await server.call('GET', '/api/v4/user', { headers: { 'private-token': token } })).status).toBe(400);
  });

  test('R1 R8 a pass does what its user may: push to the own project, pull from another; a fetch pass only pulls', async () => {
    const full = await withToken(pass, 'repository:team/app:pull,push', 'repository:ops/tools:pull,push');
    expect((await full.ask('POST', '/v2/team/app/blobs/uploads/')).status).toBe(202);
    expect((await full.ask('GET', '/v2/ops/tools/manifests/latest')).status).toBe(200);
    expect([403, 401]).toContain((await full.ask('POST', '/v2/ops/tools/blobs/uploads/')).status);
    const fetching = new RegistryClient(server, basic(job.fetchPass));
    const fetched = await withToken(fetching, 'repository:team/app:pull,push,delete', 'repository:ops/tools:pull');
    expect((await fetched.ask('GET', '/v2/ops/tools/manifests/latest')).status).toBe(200);
    for (const client of [fetched, fetching]) expect((await client.ask('POST', '/v2/team/app/blobs/uploads/')).status).not.toBe(202);
  });

  test('R1 a job token reaches its own project only, by the role of its user', async () => {
    const token = new RegistryClient(server, basic(job.token, 'gitlab-ci-token'));
    const client = await withToken(token, 'repository:team/app:pull,push', 'repository:ops/tools:pull');
    expect((await client.ask('POST', '/v2/team/app/blobs/uploads/')).status).toBe(202);
    expect((await client.ask('GET', '/v2/ops/tools/manifests/latest')).status).not.toBe(200);
    await server.must('PUT', `/api/v4/projects/${app}/members/${alice.id}`, { access_level: 20 });
    expect((await client.ask('POST', '/v2/team/app/blobs/uploads/')).status).not.toBe(202);
    await server.must('PUT', `/api/v4/projects/${app}/members/${alice.id}`, { access_level: 40 });
  });

  test('A48 R2 a registry token ends with the job that it was had in', async () => {
    const client = await withToken(pass, 'repository:team/app:pull,push');
    const ofJob = await withToken(new RegistryClient(server, basic(job.token)), 'repository:team/app:pull,push');
    const begun = await client.ask('POST', '/v2/team/app/blobs/uploads/');
    expect(begun.status).toBe(202);
    await server.finish(job);
    for (const dead of [client, ofJob, pass]) {
      for (const [method, path] of [
        ['GET', '/v2/'],
        ['GET', '/v2/team/app/tags/list'],
        ['POST', '/v2/team/app/blobs/uploads/'],
        ['PUT', `${begun.headers.get('location') ?? ''}?digest=${digestOf('')}`],
      ] as const)
        expect([path, (await dead.ask(method, path)).status]).toEqual([path, 401]);
    }
    expect((await pass.token('repository:team/app:pull')).reply.status).toBe(401);
  });

  test('A48 a registry token ends with the user token behind it', async () => {
    const { id, token } = await server.must('POST', `/api/v4/users/${alice.id}/personal_access_tokens`, { name: 'x', scopes: ['api'] });
    const client = await withToken(new RegistryClient(server, basic(String(token))), 'repository:ops/tools:pull');
    expect((await client.ask('GET', '/v2/ops/tools/manifests/latest')).status).toBe(200);
    await server.must('DELETE', `/api/v4/personal_access_tokens/${String(id)}`);
    const { status, headers } = await client.ask('GET', '/v2/ops/tools/manifests/latest');
    expect([status, headers.get('www-authenticate')]).toEqual([401, expect.stringContaining('error="invalid_token"')]);
  });

  test('A37 a role that is lost counts from the next request on, whatever the token was granted', async () => {
    const client = await withToken(pass, 'repository:ops/tools:pull');
    expect((await client.ask('GET', '/v2/ops/tools/manifests/latest')).status).toBe(200);
    await server.must('DELETE', `/api/v4/projects/${tools}/members/${alice.id}`);
    expect((await client.ask('GET', '/v2/ops/tools/manifests/latest')).status).toBe(404);
    await server.member(tools, alice.id, 20);
  });

  test('an upload is for who began it: its id is nothing to another caller, who may push there too', async () => {
    const begun = await pass.ask('POST', '/v2/team/app/blobs/uploads/');
    const location = begun.headers.get('location') ?? '';
    const ofJob = new RegistryClient(server, basic(job.token));
    for (const method of ['GET', 'PATCH', 'DELETE']) {
      const reply = await asAlice().ask(method, location);
      expect([reply.status, codeOf(reply)]).toEqual([404, 'BLOB_UPLOAD_UNKNOWN']);
      expect((await new RegistryClient(server, basic(server.root)).ask(method, location)).status).toBe(404);
    }
    for (const client of [pass, ofJob, await withToken(pass, 'repository:team/app:pull,push')])
      expect((await client.ask('GET', location)).status).toBe(204);
  });

  test('R9 a token reaches what it was asked for, and says what is missing', async () => {
    const client = await withToken(pass, 'repository:team/app:pull');
    const { status, headers } = await client.ask('POST', '/v2/team/app/blobs/uploads/');
    expect([status, headers.get('www-authenticate')]).toEqual([
      401,
      `Bearer realm="${server.url}/jwt/auth",service="container_registry",scope="repository:team/app:pull,push",error="insufficient_scope"`,
    ]);
    // Refusals are written within a second, together with others of their kind.
    await expect
      .poll(async () => (await server.store.audit.query({ jobId: job.id as JobId, decision: 'deny', limit: 100 })).at(-1), waiting)
      .toMatchObject({ rule: 'R9', endpoint: 'POST /v2/*/blobs/uploads', accesses: [`container:push@project:${app}`] });
  });

  test('A13 a mount from where the caller may not read is an ordinary upload, and says the same whatever the reason', async () => {
    const hidden = digestOf('the vault');
    const replies = [];
    for (const [mount, from] of [
      [hidden, 'secret/vault'],
      [digestOf('nothing'), 'secret/vault'],
      [hidden, 'nobody/there'],
      [hidden, 'ops/tools'],
      [hidden, 'Not A Name'],
    ] as const) {
      const { status, text, headers } = await pass.ask(
        'POST',
        `/v2/team/app/blobs/uploads/?mount=${mount}&from=${encodeURIComponent(from)}`,
      );
      replies.push([status, text, [...headers.keys()].sort()]);
    }
    for (const reply of replies) expect(reply).toEqual(replies[0]);
    expect(replies[0]?.[0]).toBe(202);
    expect((await pass.ask('HEAD', `/v2/team/app/blobs/${hidden}`)).status).toBe(404);
    const mounted = await pass.ask('POST', `/v2/team/app/blobs/uploads/?mount=${digestOf('tools')}&from=ops/tools`);
    expect(mounted.status).toBe(201);
    expect((await pass.ask('GET', `/v2/team/app/blobs/${digestOf('tools')}`)).text).toBe('tools');
  });

  test('A13 a registry token for the target alone does not mount, though its user may read the source', async () => {
    const target = await withToken(pass, 'repository:team/app:pull,push');
    const path = `/v2/team/app/blobs/uploads/?mount=${digestOf('tools')}&from=ops/tools`;
    expect((await target.ask('POST', path)).status).toBe(202);
    const both = await withToken(pass, 'repository:team/app:pull,push', 'repository:ops/tools:pull');
    expect((await both.ask('POST', path)).status).toBe(201);
    // Whoever has no token yet is told to ask for both, whether or not there is such a source.
    for (const from of ['ops/tools', 'nobody/there']) {
      const asked = await server.call('POST', `/v2/team/app/blobs/uploads/?mount=${digestOf('tools')}&from=${from}`);
      expect([asked.status, asked.headers.get('www-authenticate')]).toEqual([
        401,
        expect.stringContaining(`scope="repository:team/app:pull,push repository:${from}:pull"`),
      ]);
    }
  });

  test('A16 what was pushed is never shown as a page', async () => {
    const page = '<script>alert(1)</script>';
    const digest = await pass.pushBlob('team/app', page);
    for (const headers of [{}, { accept: 'text/html' }]) {
      const reply = await pass.ask('GET', `/v2/team/app/blobs/${digest}?content-type=text/html`, { headers });
      expect(reply.text).toBe(page);
      expect(reply.headers.get('content-type')).toBe('application/octet-stream');
      expect(reply.headers.get('x-content-type-options')).toBe('nosniff');
      expect(reply.headers.get('content-security-policy')).toBe("default-src 'none'; sandbox");
    }
    const wrong = await pass.ask('PUT', '/v2/team/app/manifests/page', { headers: { 'content-type': 'text/html' }, raw: page });
    expect([wrong.status, codeOf(wrong)]).toEqual([400, 'MANIFEST_INVALID']);
  });

  test('A61 R2 an upload whose last byte comes after the job leaves nothing', async () => {
    const begun = await pass.ask('POST', '/v2/team/app/blobs/uploads/');
    const url = new URL(`${begun.headers.get('location') ?? ''}?digest=${digestOf('late bytes')}`, server.url);
    const sending = httpRequest(url, { method: 'PUT', headers: { ...basic(passToken), 'content-length': '10', expect: '100-continue' } });
    sending.on('error', () => undefined);
    sending.flushHeaders();
    await once(sending, 'continue');
    sending.write('late ');
    const ended = new Promise<number>((resolve) => {
      sending.on('response', (response) => resolve(response.statusCode ?? 0));
      sending.on('close', () => resolve(0));
    });
    await server.finish(job);
    sending.end('bytes');
    expect([0, 401]).toContain(await ended);
    const root = new RegistryClient(server, basic(server.root));
    expect((await root.ask('HEAD', `/v2/team/app/blobs/${digestOf('late bytes')}`)).status).toBe(404);
  });

  test('R2 a download that a pass began ends with its job, in mid-air', async () => {
    const bytes = Buffer.alloc(64 * 1024 * 1024);
    const digest = await pass.pushBlob('team/app', bytes);
    const reading = httpRequest(new URL(`/v2/team/app/blobs/${digest}`, server.url), { headers: basic(passToken) });
    reading.end();
    const response = await new Promise<IncomingMessage>((resolve, reject) => reading.on('response', resolve).on('error', reject));
    expect(response.headers['content-length']).toBe(String(bytes.length));
    await once(response, 'readable');
    await server.finish(job);
    let seen = 0;
    response.on('data', (chunk: Buffer) => (seen += chunk.length));
    await expect(once(response, 'end')).rejects.toThrow('aborted');
    expect(seen).toBeLessThan(bytes.length);
  });

  test('A65 who sends no credential leaves nothing in the store: the token of nobody is the same for all', async () => {
    const tokens = [await nobody().token('repository:open/images:pull'), await nobody().token('repository:ops/tools:push')];
    expect(tokens[0]?.token).toBe(tokens[1]?.token);
    expect(await server.store.registryTokens.byDigest(null, new Secret(tokens[0]?.token ?? '').digest())).toBeUndefined();
  });

  test('R17 A26 two credentials, or a pass in the query, are refused', async () => {
    const both = { ...bearer(passToken), 'private-token': alice.token };
    expect((await server.call('GET', '/v2/', { headers: both })).status).toBe(400);
    expect((await server.call('GET', `/jwt/auth?service=container_registry&token=${passToken}`)).status).toBe(400);
  });

  test('R14 A38 a renamed project keeps its images, and its old name gives nothing', async () => {
    const id = await server.project('ops/old');
    const root = new RegistryClient(server, basic(server.root));
    await root.pushImage('ops/old/below', 'v1');
    await server.must('PUT', `/api/v4/projects/${id}`, { path: 'moved' });
    expect((await root.ask('GET', '/v2/ops/moved/below/manifests/v1')).status).toBe(200);
    expect((await root.ask('GET', '/v2/ops/old/below/manifests/v1')).status).toBe(404);
  });

  test('R10 every request of a pass leaves a row, with what it asked and how it ended', async () => {
    await pass.ask('PUT', '/v2/team/app/manifests/v1', { headers: { 'content-type': imageType }, raw: manifestOf('no', 'no') });
    const row = async () =>
      (await server.store.audit.query({ jobId: job.id as JobId, limit: 100 })).find(({ endpoint }) => endpoint.startsWith('PUT /v2/'));
    await expect.poll(row, waiting).toMatchObject({
      door: 'registry',
      endpoint: 'PUT /v2/*/manifests/:reference',
      accesses: [`container:push@project:${app}`],
      decision: 'allow',
      outcome: 'refused',
    });
  });
});
