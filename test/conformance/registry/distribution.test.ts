import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { basic, codeOf, configType, digestOf, imageType, indexType, manifestOf, RegistryClient } from '../../support/registry.ts';
import { startTestServer, type TestServer } from '../../support/server.ts';

const repository = 'conformance/repo';
const other = 'conformance/other';
const V = `/v2/${repository}`;

/** The cases of the OCI distribution specification 1.1, in its order; each name is a heading of it. */
describe('OCI distribution-spec 1.1', () => {
  let server: TestServer;
  let client: RegistryClient;
  beforeAll(async () => {
    server = await startTestServer();
    await server.project(repository);
    await server.project(other);
    client = new RegistryClient(server, basic(server.root));
  });
  afterAll(() => server.stop());
  const begin = async (): Promise<string> => {
    const begun = await client.ask('POST', `${V}/blobs/uploads/`);
    expect(begun.status).toBe(202);
    const location = begun.headers.get('location') ?? '';
    expect(location).toMatch(/^\/v2\/conformance\/repo\/blobs\/uploads\/[\w-]{16,}$/);
    return location;
  };
  const patch = (location: string, raw: string, headers: Record<string, string> = {}) =>
    client.ask('PATCH', location, { raw, headers: { 'content-type': 'application/octet-stream', ...headers } });
  const put = (reference: string, raw: string, type = imageType) =>
    client.ask('PUT', `${V}/manifests/${reference}`, { raw, headers: { 'content-type': type } });

  describe('Determining support', () => {
    test('GET /v2/ with a credential is 200, without it 401 and a challenge', async () => {
      expect((await client.ask('GET', '/v2/')).status).toBe(200);
      const refused = await server.call('GET', '/v2/');
      expect([refused.status, codeOf(refused)]).toEqual([401, 'UNAUTHORIZED']);
      expect(refused.headers.get('docker-distribution-api-version')).toBe('registry/2.0');
    });
  });

  describe('Pull', () => {
    test('Pulling manifests: by tag and by digest, as they were pushed, and HEAD alike without a body', async () => {
      const digest = await client.pushImage(repository, 'pulled');
      for (const reference of ['pulled', digest]) {
        const [got, head] = [
          await client.ask('GET', `${V}/manifests/${reference}`),
          await client.ask('HEAD', `${V}/manifests/${reference}`),
        ];
        expect(digestOf(got.text)).toBe(digest);
        expect(head.text).toBe('');
        for (const { status, headers } of [got, head]) {
          expect(status).toBe(200);
          expect(headers.get('content-type')).toBe(imageType);
          expect(headers.get('docker-content-digest')).toBe(digest);
          expect(headers.get('content-length')).toBe(String(got.text.length));
        }
      }
    });
    test.each(['nothing', digestOf('nothing')])('Pulling manifests: %s is not there', async (reference) => {
      const reply = await client.ask('GET', `${V}/manifests/${reference}`);
      expect([reply.status, codeOf(reply)]).toEqual([404, 'MANIFEST_UNKNOWN']);
      expect((await client.ask('HEAD', `${V}/manifests/${reference}`)).status).toBe(404);
    });
    test('Pulling blobs: whole, by HEAD, and in ranges', async () => {
      const digest = await client.pushBlob(repository, '0123456789');
      const path = `${V}/blobs/${digest}`;
      const whole = await client.ask('GET', path);
      expect([whole.status, whole.text, whole.headers.get('docker-content-digest')]).toEqual([200, '0123456789', digest]);
      const head = await client.ask('HEAD', path);
      expect([head.status, head.text, head.headers.get('content-length')]).toEqual([200, '', '10']);
      for (const [range, status, text, shown] of [
        ['bytes=0-3', 206, '0123', 'bytes 0-3/10'],
        ['bytes=4-', 206, '456789', 'bytes 4-9/10'],
        ['bytes=-2', 206, '89', 'bytes 8-9/10'],
        ['bytes=8-99', 206, '89', 'bytes 8-9/10'],
        ['bytes=10-', 416, '', 'bytes */10'],
        ['bytes=5-2', 200, '0123456789', null],
        ['lines=0-3', 200, '0123456789', null],
      ] as const) {
        const reply = await client.ask('GET', path, { headers: { range } });
        expect([range, reply.status, reply.text, reply.headers.get('content-range')]).toEqual([range, status, text, shown]);
      }
    });
    test('Pulling blobs: what is not there, and what is no digest', async () => {
      const missing = await client.ask('GET', `${V}/blobs/${digestOf('missing')}`);
      expect([missing.status, codeOf(missing)]).toEqual([404, 'BLOB_UNKNOWN']);
      const malformed = await client.ask('GET', `${V}/blobs/sha256:zz`);
      expect([malformed.status, codeOf(malformed)]).toEqual([400, 'DIGEST_INVALID']);
    });
  });

  describe('Push', () => {
    test('Pushing a blob monolithically: POST then PUT', async () => {
      const location = await begin();
      const digest = digestOf('post then put');
      const reply = await client.ask('PUT', `${location}?digest=${digest}`, { raw: 'post then put' });
      expect([reply.status, reply.headers.get('location')]).toEqual([201, `${V}/blobs/${digest}`]);
      expect((await client.ask('GET', `${V}/blobs/${digest}`)).text).toBe('post then put');
    });
    test('Pushing a blob monolithically: a single POST; sha512 too', async () => {
      for (const algorithm of ['sha256', 'sha512']) {
        const digest = digestOf('single post', algorithm);
        const reply = await client.ask('POST', `${V}/blobs/uploads/?digest=${digest}`, { raw: 'single post' });
        expect([reply.status, reply.headers.get('docker-content-digest')]).toEqual([201, digest]);
        expect((await client.ask('HEAD', `${V}/blobs/${digest}`)).status).toBe(200);
      }
    });
    test('Pushing a blob in chunks: in order, with status between, out of order 416, and the last chunk in the PUT', async () => {
      const location = await begin();
      const first = await patch(location, 'hello ', { 'content-range': '0-5' });
      expect([first.status, first.headers.get('range')]).toEqual([202, '0-5']);
      const again = await patch(location, 'hello ', { 'content-range': '0-5' });
      expect([again.status, codeOf(again)]).toEqual([416, 'BLOB_UPLOAD_INVALID']);
      const gap = await patch(location, 'x', { 'content-range': '9-9' });
      expect(gap.status).toBe(416);
      const state = await client.ask('GET', location);
      expect([state.status, state.headers.get('range'), state.headers.get('location')]).toEqual([204, '0-5', location]);
      expect((await patch(location, 'big ', { 'content-range': '6-9' })).status).toBe(202);
      const digest = digestOf('hello big world');
      const done = await client.ask('PUT', `${location}?digest=${digest}`, { raw: 'world', headers: { 'content-range': '10-14' } });
      expect(done.status).toBe(201);
      expect((await client.ask('GET', `${V}/blobs/${digest}`)).text).toBe('hello big world');
      expect((await client.ask('GET', location)).status).toBe(404);
    });
    test('Pushing a blob in chunks: without Content-Range, as docker streams', async () => {
      const location = await begin();
      expect((await patch(location, 'stream')).headers.get('range')).toBe('0-5');
      expect((await patch(location, 'ed')).headers.get('range')).toBe('0-7');
      expect((await client.ask('PUT', `${location}?digest=${digestOf('streamed')}`)).status).toBe(201);
    });
    test('Pushing a blob: a wrong digest, none, and one that is none', async () => {
      for (const query of [`?digest=${digestOf('other')}`, '', '?digest=sha256:zz']) {
        const reply = await client.ask('PUT', `${await begin()}${query}`, { raw: 'bytes' });
        expect([query, reply.status, codeOf(reply)]).toEqual([query, 400, 'DIGEST_INVALID']);
      }
    });
    test('Cancelling an upload: it is gone; and nobody finds it from another repository', async () => {
      const location = await begin();
      const elsewhere = location.replace(repository, other);
      for (const method of ['GET', 'DELETE']) {
        const reply = await client.ask(method, elsewhere);
        expect([reply.status, codeOf(reply)]).toEqual([404, 'BLOB_UPLOAD_UNKNOWN']);
      }
      expect((await client.ask('DELETE', location)).status).toBe(204);
      expect((await patch(location, 'x')).status).toBe(404);
      expect((await client.ask('DELETE', location)).status).toBe(404);
    });
    test('Mounting a blob from another repository; what cannot be mounted is uploaded', async () => {
      const digest = await client.pushBlob(repository, 'mounted');
      const mounted = await client.ask('POST', `/v2/${other}/blobs/uploads/?mount=${digest}&from=${repository}`);
      expect([mounted.status, mounted.headers.get('location')]).toEqual([201, `/v2/${other}/blobs/${digest}`]);
      expect((await client.ask('GET', `/v2/${other}/blobs/${digest}`)).text).toBe('mounted');
      for (const query of [`mount=${digestOf('unknown')}&from=${repository}`, `mount=${digestOf('unknown')}`])
        expect((await client.ask('POST', `/v2/${other}/blobs/uploads/?${query}`)).status).toBe(202);
    });
    test('Pushing manifests: by tag and by digest; the tag moves', async () => {
      const first = await client.pushImage(repository, 'moves', 'one');
      const second = await client.pushImage(repository, 'moves', 'two');
      expect((await client.ask('HEAD', `${V}/manifests/moves`)).headers.get('docker-content-digest')).toBe(second);
      expect((await client.ask('HEAD', `${V}/manifests/${first}`)).status).toBe(200);
      const reply = await put(second, manifestOf('{}', 'two'));
      expect([reply.status, reply.headers.get('location')]).toEqual([201, `${V}/manifests/${second}`]);
    });
    test('Pushing manifests: an index, which may hold indexes', async () => {
      const image = await client.pushImage(repository, 'part', 'part of an index');
      const descriptor = { mediaType: imageType, digest: image, size: 100 };
      const index = JSON.stringify({ schemaVersion: 2, mediaType: indexType, manifests: [descriptor] });
      expect((await put('index', index, indexType)).status).toBe(201);
      const outer = { mediaType: indexType, digest: digestOf(index), size: index.length };
      const nested = JSON.stringify({ schemaVersion: 2, mediaType: indexType, manifests: [outer] });
      expect((await put('nested', nested, indexType)).status).toBe(201);
      expect((await client.ask('GET', `${V}/manifests/nested`)).headers.get('content-type')).toBe(indexType);
    });
    test.each([
      ['not JSON', 'nonsense', imageType, 400, 'MANIFEST_INVALID'],
      ['another media type', manifestOf('{}', 'layer'), 'application/json', 400, 'MANIFEST_INVALID'],
      ['a blob that is not here', manifestOf('{}', 'never pushed'), imageType, 404, 'MANIFEST_BLOB_UNKNOWN'],
      ['more than 4 MiB', `{"x":"${'x'.repeat(4 * 1024 * 1024)}"}`, imageType, 413, 'SIZE_INVALID'],
    ])('Pushing manifests: refuses %s', async (_what, raw, type, status, code) => {
      await client.pushBlob(repository, '{}');
      const reply = await put('bad', raw, type);
      expect([reply.status, codeOf(reply)]).toEqual([status, code]);
      expect((await client.ask('GET', `${V}/manifests/bad`)).status).toBe(404);
    });
    test('Pushing manifests: by a digest that is not theirs', async () => {
      await client.pushImage(repository, 'right');
      const reply = await put(digestOf('wrong'), manifestOf('{}', 'layer'));
      expect([reply.status, codeOf(reply)]).toEqual([400, 'DIGEST_INVALID']);
    });
    test('Pushing manifests with subject: the answer says that referrers are kept here, also of what is not', async () => {
      const subject = { mediaType: imageType, digest: digestOf('not here yet'), size: 1 };
      await client.pushImage(repository, 'x', 'layer of a referrer');
      const reply = await put('signed', manifestOf('{}', 'layer of a referrer', { subject }));
      expect([reply.status, reply.headers.get('oci-subject')]).toEqual([201, subject.digest]);
    });
  });

  describe('Content Discovery', () => {
    test('Listing tags: sorted, in pages by n and last, with a Link to the next', async () => {
      for (const tag of ['b', 'a', 'c', 'B']) await client.pushImage('conformance/repo/tags', tag);
      const path = '/v2/conformance/repo/tags/tags/list';
      const all = await client.ask('GET', path);
      expect(all.body).toEqual({ name: 'conformance/repo/tags', tags: ['B', 'a', 'b', 'c'] });
      const page = await client.ask('GET', `${path}?n=2`);
      expect(page.body['tags']).toEqual(['B', 'a']);
      expect(page.headers.get('link')).toBe(`<${path}?n=2&last=a>; rel="next"`);
      const next = await client.ask('GET', `${path}?n=2&last=a`);
      expect([next.body['tags'], next.headers.get('link')]).toEqual([['b', 'c'], null]);
      const none = await client.ask('GET', `${path}?n=0`);
      expect([none.status, none.body['tags']]).toEqual([200, []]);
      expect((await client.ask('GET', `${path}?n=x`)).status).toBe(400);
      const unknown = await client.ask('GET', '/v2/conformance/repo/unknown/tags/list');
      expect([unknown.status, codeOf(unknown)]).toEqual([404, 'NAME_UNKNOWN']);
    });
    test('Listing referrers: an index, filtered by type, empty for what nobody refers to', async () => {
      const name = 'conformance/repo/referrers';
      const digest = await client.pushImage(name, 'subject');
      const subject = { mediaType: imageType, digest, size: 100 };
      const [sbom, signature] = [
        await client.pushImage(name, 'sbom', 'sbom', { subject, artifactType: 'application/x.sbom', annotations: { made: 'here' } }),
        await client.pushImage(name, 'signature', 'signature', { subject }),
      ];
      const path = `/v2/${name}/referrers/${digest}`;
      const all = await client.ask('GET', path);
      expect([all.status, all.headers.get('content-type'), all.headers.get('oci-filters-applied')]).toEqual([200, indexType, null]);
      const manifests = (JSON.parse(all.text) as { manifests: Record<string, unknown>[] }).manifests;
      expect(manifests.map((one) => [one['digest'], one['artifactType'], one['annotations']])).toEqual([
        [sbom, 'application/x.sbom', { made: 'here' }],
        [signature, configType, undefined],
      ]);
      const some = await client.ask('GET', `${path}?artifactType=application/x.sbom`);
      expect(some.headers.get('oci-filters-applied')).toBe('artifactType');
      expect((JSON.parse(some.text) as { manifests: unknown[] }).manifests).toHaveLength(1);
      const page = await client.ask('GET', `${path}?n=1`);
      const link = /^<(.+)>; rel="next"$/.exec(page.headers.get('link') ?? '')?.[1] ?? '';
      expect((JSON.parse((await client.ask('GET', link)).text) as { manifests: { digest: string }[] }).manifests[0]?.digest).toBe(
        signature,
      );
      const none = await client.ask('GET', `/v2/${name}/referrers/${digestOf('nobody')}`);
      expect([none.status, (JSON.parse(none.text) as { manifests: unknown[] }).manifests]).toEqual([200, []]);
      expect((await client.ask('GET', `/v2/${name}/referrers/sha256:zz`)).status).toBe(400);
    });
  });

  describe('Content Management', () => {
    const name = 'conformance/repo/managed';
    test('Deleting tags, manifests and blobs, in this order', async () => {
      const digest = await client.pushImage(name, 'gone', 'managed');
      const layer = `/v2/${name}/blobs/${digestOf('managed')}`;
      const used = await client.ask('DELETE', layer);
      expect([used.status, codeOf(used)]).toEqual([405, 'UNSUPPORTED']);
      expect((await client.ask('DELETE', `/v2/${name}/manifests/gone`)).status).toBe(202);
      expect((await client.ask('GET', `/v2/${name}/manifests/gone`)).status).toBe(404);
      expect((await client.ask('GET', `/v2/${name}/manifests/${digest}`)).status).toBe(200);
      expect((await client.ask('DELETE', `/v2/${name}/manifests/${digest}`)).status).toBe(202);
      expect((await client.ask('GET', `/v2/${name}/manifests/${digest}`)).status).toBe(404);
      expect((await client.ask('DELETE', layer)).status).toBe(202);
      expect((await client.ask('GET', layer)).status).toBe(404);
      for (const path of [`manifests/gone`, `manifests/${digest}`, `blobs/${digestOf('managed')}`])
        expect((await client.ask('DELETE', `/v2/${name}/${path}`)).status).toBe(404);
    });
    test('Deleting a manifest takes its tags along', async () => {
      const digest = await client.pushImage(name, 'one', 'with tags');
      await client.pushImage(name, 'two', 'with tags');
      expect((await client.ask('DELETE', `/v2/${name}/manifests/${digest}`)).status).toBe(202);
      expect((await client.ask('GET', `/v2/${name}/tags/list`)).body['tags']).toEqual([]);
    });
  });

  describe('Error Codes', () => {
    test.each([
      ['GET', '/v2/UPPER/case/manifests/x', 400, 'NAME_INVALID'],
      ['GET', `${V}/manifests/.bad`, 404, 'MANIFEST_UNKNOWN'],
      ['HEAD', `${V}/manifests/.bad`, 404, undefined],
      ['DELETE', `${V}/manifests/.bad`, 404, 'MANIFEST_UNKNOWN'],
      ['PUT', `${V}/manifests/.bad`, 400, 'TAG_INVALID'],
      ['GET', `${V}/manifests/sha256:1`, 400, 'DIGEST_INVALID'],
      ['GET', '/v2/nobody/there/manifests/x', 404, 'NAME_UNKNOWN'],
      ['GET', '/v2/single/manifests/x', 404, 'NAME_UNKNOWN'],
      ['POST', `${V}/manifests/x`, 405, 'UNSUPPORTED'],
      ['PATCH', `${V}/tags/list`, 405, 'UNSUPPORTED'],
      ['GET', '/v2/_catalog', 405, 'UNSUPPORTED'],
      ['GET', '/v2/what/ever', 404, 'UNSUPPORTED'],
    ])('%s %s is %i %s', async (method, path, status, code) => {
      const reply = await client.ask(method, path);
      expect([reply.status, codeOf(reply)]).toEqual([status, code]);
      expect(reply.headers.get('content-type')).toBe('application/json');
    });
  });
});
