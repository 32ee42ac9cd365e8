import { describe, expect, test } from 'vitest';
import { Secret } from '../../../src/base/secret.ts';
import type { AnswerChange } from '../../../src/doors/proxy/forwarder.ts';
import { storageUrl } from '../../../src/doors/proxy/redirects.ts';
import { carriedAnswers, scrubbed } from '../../../src/doors/proxy/scrub.ts';
import { forge, type Handle, type Stage, stage, Wire, keeper } from './stage.ts';

const inside = 'http://gitlab.internal:8080';
const outside = 'https://gitlab.example';
const external = (url: string): string => (url.startsWith(`${inside}/`) ? outside + url.slice(inside.length) : url);

const kept = keeper();

/** A gateway that carries answers as it does for a pass. */
async function carrying(handle: Handle, storage: readonly string[], change?: AnswerChange): Promise<Stage> {
  const upstream = kept(await forge(handle));
  const carried = carriedAnswers(external, { forge: [outside, inside], storage });
  return kept(
    await stage(upstream.port, {}, () => ({
      credential: { name: 'private-token', value: new Secret('of-alice') },
      answer: (head) => carried(head, change),
    })),
  );
}

describe('JSON answers to a pass', () => {
  const scrub = (value: unknown): unknown => JSON.parse(scrubbed(external)(Buffer.from(JSON.stringify(value))).toString()) as unknown;

  test('R5 no field that is a credential, however deep', () => {
    const secrets = ['runners_token', 'token', 'import_url', 'feed_token', 'incoming_email_token', 'registration_token'];
    for (const name of secrets) {
      const given = { id: 1, [name]: 'secret-value', list: [{ inner: { [name]: 'secret-value', name: 'x' } }] };
      expect(scrub(given), name).toEqual({ id: 1, list: [{ inner: { name: 'x' } }] });
    }
  });

  test('URLs stand on the external address, and nothing else changes', () => {
    const given = {
      web_url: `${inside}/team/app`,
      http_url_to_repo: `${inside}/team/app.git`,
      _links: { self: `${inside}/api/v4/projects/1` },
      text: `see ${inside}/x`,
      other: 'http://gitlab.internal:80801/x',
      numbers: [1, -0.5, null, true],
      ['__proto__x']: {},
    };
    expect(scrub(given)).toEqual({
      ...given,
      web_url: `${outside}/team/app`,
      http_url_to_repo: `${outside}/team/app.git`,
      _links: { self: `${outside}/api/v4/projects/1` },
    });
  });

  test('R13 what is no JSON, or nests too deep, is not carried', () => {
    const code = expect.objectContaining({ code: 'upstream_failed' });
    expect(() => scrubbed(external)(Buffer.from('<html>'))).toThrow(code);
    expect(() => scrubbed(external)(Buffer.from('['.repeat(200) + ']'.repeat(200)))).toThrow(code);
    expect(scrubbed(external)(Buffer.alloc(0))).toHaveLength(0);
  });
});

describe('headers of answers to a pass', () => {
  test('R5 no session begins, and links lead to the external address', async () => {
    const { port } = await carrying((_request, response) => {
      response.writeHead(201, [
        ['Set-Cookie', '_gitlab_session=x'],
        ['Location', `${inside}/api/v4/projects/1`],
        ['Link', `<${inside}/api/v4/projects?page=2>; rel="next", <${inside}/api/v4/projects?page=1>; rel="first"`],
        ['WWW-Authenticate', `Bearer realm="${inside}/jwt/auth",service="container_registry"`],
      ]);
      response.end('{}');
    }, []);
    const text = await new Wire(port).send('GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n').end();
    expect(text).not.toMatch(/set-cookie|gitlab\.internal/i);
    expect(text).toContain(`Location: ${outside}/api/v4/projects/1\r\n`);
    expect(text).toContain(`<${outside}/api/v4/projects?page=2>; rel="next", <${outside}/api/v4/projects?page=1>; rel="first"`);
    expect(text).toContain(`Bearer realm="${outside}/jwt/auth",service="container_registry"`);
  });

  test('an answer that is read whole: its headers are looked at, too', async () => {
    const change: AnswerChange = { kind: 'body', maxBytes: 100, rewrite: async (body) => ({ body: Buffer.concat([body, body]) }) };
    const handle: Handle = (request, response) => {
      expect(request.headers['accept-encoding'], 'compressed answers could not be read').toBeUndefined();
      response.writeHead(200, { 'set-cookie': 'a=b', etag: '"x"', 'content-length': request.url === '/big' ? 101 : 2 });
      response.end(request.url === '/big' ? 'x'.repeat(101) : 'ok');
    };
    const { port, url } = await carrying(handle, [], change);
    const text = await new Wire(port).send('GET / HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n').end();
    expect(text).toMatch(/^HTTP\/1\.1 200 OK\r\nDate: [^\r]*\r\ncontent-length: 4\r\nConnection: close\r\n\r\nokok$/);
    expect((await fetch(`${url}/big`)).status).toBeGreaterThanOrEqual(502);
  });
});

describe('A21 where answers to a pass send the client', () => {
  const options = { forge: [outside, inside], storage: ['https://s3.example:9000'] };
  const signed = '?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=0123';

  test.each([
    [`${outside}/x`, undefined],
    ['/relative', undefined],
    ['https://downloads.example/tool.tgz', undefined],
    [`${outside}/x${signed}`, undefined],
    ['https://s3.example:9000/bucket/key', undefined],
    [`https://s3.example:9000/bucket/key${signed}`, `https://s3.example:9000/bucket/key${signed}`],
    [`//s3.example:9000/bucket/key${signed}`, `https://s3.example:9000/bucket/key${signed}`],
  ])('%s', (location, wanted) => expect(storageUrl(options, location)).toBe(wanted));

  test.each([
    `https://s3.example/bucket/key${signed}`,
    `https://s3.example:9000@evil.example/${signed}`,
    `http://s3.example:9000/bucket/key${signed}`,
    'https://storage.googleapis.com/b/k?X-Goog-Signature=0123',
    'https://x.blob.core.windows.net/c/k?sv=1&se=2&sp=r&sig=0123',
    'https://swift.example.com/v1/a/c/k?temp_url_sig=0123&temp_url_expires=2',
    'https://cdn.example/k?Expires=1&Signature=0123&Key-Pair-Id=1',
    'https://b.oss-cn-hangzhou.aliyuncs.com/k?x-oss-signature-version=OSS4-HMAC-SHA256&x-oss-signature=0123',
    'https://b.cos.ap-guangzhou.myqcloud.com/k?q-sign-algorithm=sha1&q-signature=0123',
    'https://b.oss-cn-hangzhou.aliyuncs.com/k?security-token=0123',
    'http://[',
  ])('a signed URL to a server that is not named goes nowhere: %s', (location) =>
    expect(() => storageUrl(options, location)).toThrow(expect.objectContaining({ code: 'upstream_failed' })),
  );

  test('R5 what storage holds is read by the gateway: the client sees no signature, the storage no credential', async () => {
    const heard: string[][] = [];
    const storage = kept(
      await forge((request, response) => {
        heard.push(request.rawHeaders);
        if (request.url?.startsWith('/denied') === true) response.writeHead(403).end('<Error>StringToSign</Error>');
        else if (request.url?.startsWith('/again') === true) response.writeHead(302, { location: 'http://169.254.169.254/' }).end();
        else {
          response.writeHead(206, { 'content-range': 'bytes 0-3/9', 'content-length': 4, 'x-amz-request-id': 'x', 'set-cookie': 'a=b' });
          response.end('blob');
        }
      }),
    );
    const origin = `http://127.0.0.1:${storage.port}`;
    const { port, url, ended } = await carrying(
      (request, response) => response.writeHead(302, { location: `${origin}${request.url ?? ''}?X-Amz-Signature=0123` }).end('moved'),
      [origin],
    );
    const text = await new Wire(port)
      .send(
        'GET /key HTTP/1.1\r\nHost: h\r\nRange: bytes=0-3\r\nPRIVATE-TOKEN: jpt_x\r\nCookie: c=d\r\nX-Mine: e\r\nConnection: close\r\n\r\n',
      )
      .end();
    expect(text).toMatch(/^HTTP\/1\.1 206 [^]*content-range: bytes 0-3\/9\r\n[^]*\r\n\r\nblob$/);
    expect(text).not.toMatch(/signature|amz|cookie|location/i);
    expect(heard[0]?.join('\n')).toMatch(/Range\nbytes=0-3/);
    expect(heard[0]?.join('\n')).not.toMatch(/jpt_|alice|cookie|x-mine|forwarded/i);
    expect(ended).toEqual([{ outcome: 'done', status: 206 }]);
    for (const path of ['/denied', '/again']) {
      const answer = await fetch(url + path, { redirect: 'manual' });
      expect(answer.status, path).toBeGreaterThanOrEqual(502);
      expect(await answer.text()).not.toMatch(/StringToSign|169\.254/);
    }
  });
});
