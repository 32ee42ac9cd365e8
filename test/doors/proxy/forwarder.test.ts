import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { BlockList, connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { Secret } from '../../../src/base/secret.ts';
import { piecesOf } from '../../../src/doors/proxy/guarded-body.ts';
import { forge, type Handle, rawForge, type Stage, stage, Wire, keeper } from './stage.ts';

const run = promisify(execFile);

const kept = keeper();

async function between(handle: Handle, ...more: Parameters<typeof stage> extends [number, ...infer Rest] ? Rest : never): Promise<Stage> {
  const upstream = kept(await forge(handle));
  return kept(await stage(upstream.port, ...more));
}

const echo: Handle = (request, response) => {
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ method: request.method, url: request.url, headers: request.rawHeaders }));
};

interface Heard {
  readonly method: string;
  readonly url: string;
  readonly headers: readonly string[];
}

/** Asks over a raw socket; the forge's echo comes back. */
async function heard(port: number, lines: readonly string[]): Promise<Heard> {
  const wire = new Wire(port).send([...lines, 'Connection: close', '', ''].join('\r\n'));
  const text = Buffer.from(await wire.end(), 'latin1').toString();
  const [head = '', rest = ''] = text.split('\r\n\r\n');
  if (!head.startsWith('HTTP/1.1 200')) throw new Error(text);
  return JSON.parse(/^[0-9a-f]+\r\n/.test(rest) ? (/\{.*\}/.exec(rest)?.[0] ?? '') : rest) as Heard;
}

const valuesOf = (headers: readonly string[], name: string): string[] =>
  headers.filter((_, index) => index % 2 === 1 && headers[index - 1]?.toLowerCase() === name);

async function collect(request: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return Buffer.concat(parts);
}

describe('requests on their way up', () => {
  test('the target and the order and case of headers stay as they are', async () => {
    const { port } = await between(echo);
    const target = '/a%2Fb/../%2e//c;d|?x=%20&&y[]="';
    const got = await heard(port, [`GET ${target} HTTP/1.1`, 'Host: forge.example', 'X-One: 1', 'x-TWO: \xe9', 'X-One: 2']);
    expect(got.url).toBe(target);
    const named = got.headers.filter((_, index) => index % 2 === 0 && /^x-(one|two)$/i.test(got.headers[index] ?? ''));
    expect(named).toEqual(['X-One', 'x-TWO', 'X-One']);
    expect(valuesOf(got.headers, 'x-one')).toEqual(['1', '2']);
    expect(valuesOf(got.headers, 'x-two')).toEqual(['\xe9']);
    expect(valuesOf(got.headers, 'host')).toEqual(['forge.example']);
  });

  test('hop-by-hop headers, and those that Connection names, end here', async () => {
    const { port } = await between(echo);
    const got = await heard(port, [
      'GET / HTTP/1.1',
      'Host: h',
      'Connection: X-Mine, keep-alive',
      'X-Mine: 1',
      'TE: trailers',
      'Keep-Alive: timeout=5',
      'Proxy-Authorization: Basic eDp5',
      'Proxy-Connection: keep-alive',
      'Trailer: X-T',
      'Authorization: Bearer t',
    ]);
    const names = got.headers.filter((_, index) => index % 2 === 0).map((name) => name.toLowerCase());
    expect(names).toEqual(['host', 'authorization', 'x-forwarded-for', 'x-forwarded-proto', 'x-forwarded-host', 'x-forwarded-port']);
  });

  const spoofed = [
    'GET / HTTP/1.1',
    'Host: forge.example:8443',
    'X-Forwarded-For: 6.6.6.6',
    'X-Forwarded-Proto: https',
    'X-Forwarded-Host: evil.example',
    'X-Forwarded-Port: 1',
    'X_Forwarded_For: 6.6.6.6',
    'X-Forwarded-Prefix: /evil',
    'X-Real-IP: 6.6.6.6',
    'Client-IP: 6.6.6.6',
    'True-Client-IP: 6.6.6.6',
    'Forwarded: for=6.6.6.6;proto=https',
    'X-Original-URL: /admin',
    'X-Rewrite-URL: /admin',
  ];

  test('A23 what a client says about where it comes from is dropped', async () => {
    const { port } = await between(echo);
    const { headers } = await heard(port, spoofed);
    expect(headers.join('\n')).not.toMatch(/6\.6\.6\.6|evil|admin/);
    expect(valuesOf(headers, 'x-forwarded-for')).toEqual(['127.0.0.1']);
    expect(valuesOf(headers, 'x-forwarded-proto')).toEqual(['http']);
    expect(valuesOf(headers, 'x-forwarded-host')).toEqual(['forge.example:8443']);
    expect(valuesOf(headers, 'x-forwarded-port')).toEqual(['8443']);
  });

  test('A23 a trusted proxy is believed, and named', async () => {
    const trustedProxies = new BlockList();
    trustedProxies.addSubnet('127.0.0.0', 8, 'ipv4');
    const { port } = await between(echo, { trustedProxies });
    const { headers } = await heard(port, spoofed);
    expect(valuesOf(headers, 'x-forwarded-for')).toEqual(['6.6.6.6, 127.0.0.1']);
    expect(valuesOf(headers, 'x-forwarded-proto')).toEqual(['https']);
    expect(valuesOf(headers, 'x-forwarded-host')).toEqual(['evil.example']);
    for (const name of ['forwarded', 'x-real-ip', 'x_forwarded_for', 'x-original-url', 'x-forwarded-prefix'])
      expect(valuesOf(headers, name), name).toEqual([]);
  });

  test('R5 R17 every credential is replaced by the one that is given', async () => {
    const { port } = await between(echo, {}, () => ({ credential: { name: 'private-token', value: new Secret('of-alice') } }));
    const { headers } = await heard(port, [
      'GET / HTTP/1.1',
      'Host: h',
      'PRIVATE-TOKEN: jpt_mine',
      'private_token: jpt_mine',
      'JOB-TOKEN: jpt_mine',
      'Authorization: Bearer jpt_mine',
      'Deploy-Token: jpt_mine',
      'Cookie: _gitlab_session=jpt_mine',
      'Sudo: root',
      'Gitlab-Workhorse-Api-Request: jpt_mine',
    ]);
    expect(headers.join('\n')).not.toMatch(/jpt_mine|root/);
    expect(valuesOf(headers, 'private-token')).toEqual(['of-alice']);
  });

  test('bodies of every framing arrive byte for byte', async () => {
    const bodies: { readonly length: string | undefined; readonly body: string }[] = [];
    const { port } = await between((request, response) => {
      void collect(request)
        .then((body) => bodies.push({ length: request.headers['content-length'], body: body.toString('latin1') }))
        .finally(() => response.end('ok'));
    });
    const wire = new Wire(port);
    wire.send('POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhe\r\nl');
    await wire.until(/ok$|ok\r\n0\r\n\r\n$/);
    wire.send('POST /b HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX-Trailer: 1\r\n\r\n');
    await wire.until(/(?:ok[^]*){2}$/);
    wire.send('POST /c HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n');
    await wire.until(/(?:ok[^]*){3}$/);
    wire.send('DELETE /d HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}');
    await wire.until(/(?:ok[^]*){4}$/);
    wire.send('GET /e HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n');
    await wire.end();
    expect(bodies).toEqual([
      { length: '5', body: 'he\r\nl' },
      expect.objectContaining({ body: 'abcde' }),
      { length: '0', body: '' },
      { length: '2', body: '{}' },
      { length: undefined, body: '' },
    ]);
  });

  test.each([
    ['as it came', () => undefined],
    [
      'changed on its way',
      (request: IncomingMessage) =>
        request.url === '/early' ? { body: { stream: request.iterator({ destroyOnReturn: false }), length: 'same' as const } } : undefined,
    ],
    [
      'looked at on its way',
      (request: IncomingMessage) =>
        request.url === '/early'
          ? { body: { stream: piecesOf(request.iterator({ destroyOnReturn: false })), length: 'same' as const } }
          : undefined,
    ],
  ])('what the forge does not want of a body %s is dropped, and the next request on the connection is heard', async (_what, change) => {
    const handle: Handle = (request, response) => {
      const answer = (): void => void response.writeHead(request.url === '/early' ? 413 : 200, { 'content-length': 0 }).end();
      if (request.url === '/early') request.once('data', answer);
      else answer();
    };
    const { port } = await between(handle, {}, change);
    for (const sent of [1000, 200_000]) {
      const wire = new Wire(port).send(`POST /early HTTP/1.1\r\nHost: h\r\nContent-Length: 300000\r\n\r\n${'x'.repeat(sent)}`);
      await wire.until(/HTTP\/1\.1 413/);
      wire.send('x'.repeat(300_000 - sent)).send('GET /next HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n');
      expect(await wire.end()).toMatch(/HTTP\/1\.1 413[^]*HTTP\/1\.1 200/);
    }
  });

  test('no forge: an upload hears it, and is not cut off; neither is what follows it', async () => {
    const gone = await forge(echo);
    await gone.close();
    const { port } = kept(await stage(gone.port));
    const wire = new Wire(port).send('POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 8\r\n\r\nhalf');
    await wire.until(/^HTTP\/1\.1 502 [^]*does not answer/);
    wire.send('more').send('GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n');
    expect((await wire.end()).match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 502', 'HTTP/1.1 502']);
  });
});

describe('requests that two readers could read in two ways', () => {
  const get = 'GET / HTTP/1.1\r\nHost: h\r\n';
  const post = 'POST / HTTP/1.1\r\nHost: h\r\n';
  const smuggled = 'GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n';
  const odd: readonly (readonly [string, string])[] = [
    ['A25 a length and a coding', `${post}Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${smuggled}`],
    ['A25 a coding and a length', `${post}Transfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\n${smuggled}`],
    ['A25 two lengths', `${post}Content-Length: 0\r\nContent-Length: ${smuggled.length}\r\n\r\n${smuggled}`],
    ['A25 two equal lengths', `${post}Content-Length: 1\r\nContent-Length: 1\r\n\r\nx`],
    ['A25 a list of lengths', `${post}Content-Length: 1, 1\r\n\r\nx`],
    ['A25 a signed length', `${post}Content-Length: +1\r\n\r\nx`],
    ['A25 a hexadecimal length', `${post}Content-Length: 0x1\r\n\r\nx`],
    ['A25 a coding behind chunked', `${post}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n`],
    ['A25 a coding before chunked', `${post}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`],
    ['A25 a coding twice', `${post}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
    ['A25 a coding with a tab', `${post}Transfer-Encoding:\tx\tchunked\r\n\r\n0\r\n\r\n`],
    ['A25 a space before the colon', `${post}Content-Length : 1\r\n\r\nx`],
    ['A25 a bare line feed in the head', `GET / HTTP/1.1\nHost: h\n\n`],
    ['A25 a bare line feed between headers', `GET / HTTP/1.1\r\nHost: h\nX: 1\r\n\r\n`],
    ['A25 a bare carriage return in a value', `${get}X: a\rb\r\n\r\n`],
    ['A25 a folded line', `${get}X: a\r\n b\r\n\r\n`],
    ['A25 a header without a name', `${get}: a\r\n\r\n`],
    ['A25 a NUL in a value', `${get}X: a\0b\r\n\r\n`],
    ['A25 a chunk of a bad size', `${post}Transfer-Encoding: chunked\r\n\r\n0x1\r\nx\r\n0\r\n\r\n`],
    ['A25 a chunk that ends in a line feed', `${post}Transfer-Encoding: chunked\r\n\r\n1\nx\n0\n\n`],
    ['A22 two hosts', `${get}Host: other\r\n\r\n`],
    [
      'A25 a length that Connection names',
      `${get}Expect: 100-continue\r\nConnection: content-length\r\nContent-Length: ${smuggled.length}\r\n\r\n${smuggled}`,
    ],
    ['A22 a host that Connection names', `${get}Connection: close, Host\r\n\r\n`],
    ['A22 no host', 'GET / HTTP/1.1\r\n\r\n'],
    ['A22 an absolute target', 'GET http://other/ HTTP/1.1\r\nHost: h\r\n\r\n'],
    ['A22 a target with a space', 'GET /a b HTTP/1.1\r\nHost: h\r\n\r\n'],
    ['A22 a method that is none', 'GIT / HTTP/1.1\r\nHost: h\r\n\r\n'],
  ];

  test.each(odd)('%s: 400, and nothing behind it is heard', async (_what, bytes) => {
    const seen: string[] = [];
    const { port } = await between((request, response) => {
      request.on('error', () => {});
      seen.push(request.url ?? '');
      collect(request).then(
        () => response.end('ok'),
        () => {},
      );
    });
    const wire = new Wire(port).send(bytes);
    const text = await wire.end();
    expect(text).toMatch(/^HTTP\/1\.1 400 /);
    expect(text.match(/HTTP\/1\.1/g)).toHaveLength(1);
    expect(seen).not.toContain('/smuggled');
  });

  test('A25 headers over the limit: 431, none of them is cut short and carried', async () => {
    const seen: string[] = [];
    const { port } = await between((request, response) => {
      seen.push(request.url ?? '');
      response.end();
    });
    const text = await new Wire(port).send(`${get}X: ${'a'.repeat(20_000)}\r\nAuthorization: Bearer x\r\n\r\n`).end();
    expect(text).toMatch(/^HTTP\/1\.1 431 /);
    expect(seen).toEqual([]);
  });

  test('A22 CONNECT opens nothing', async () => {
    const { port } = await between(echo);
    expect(await new Wire(port).send('CONNECT other:443 HTTP/1.1\r\nHost: other:443\r\n\r\n').end()).not.toContain('200');
  });

  test('A25 the end of a forge that answers twice is not the answer to another', async () => {
    const answer = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n';
    const upstream = kept(await rawForge((socket) => socket.on('data', () => socket.write(`${answer}ok${answer}no`))));
    const { url } = kept(await stage(upstream.port));
    for (let count = 0; count < 3; count += 1) {
      const text = await fetch(url).then((response) => response.text());
      expect(text).toBe('ok');
    }
  });
});

describe('answers on their way down', () => {
  test('status, reason, duplicates and order of headers stay; hop-by-hop headers end here', async () => {
    const upstream = kept(
      await rawForge((socket) =>
        socket.on('data', () =>
          socket.write(
            Buffer.from(
              'HTTP/1.1 299 F\xc3\xbcr dich\r\nDate: Mon, 23 Nov 2026 10:00:00 GMT\r\nX-B: 1\r\nSet-Cookie: a=1\r\nX-A: \xe9\r\nset-cookie: b=2\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=9\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nok',
              'latin1',
            ),
          ),
        ),
      ),
    );
    const { port } = kept(await stage(upstream.port));
    const text = await new Wire(port).send('GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n').end();
    expect(text).toBe(
      'HTTP/1.1 299 F\xc3\xbcr dich\r\nDate: Mon, 23 Nov 2026 10:00:00 GMT\r\nX-B: 1\r\nSet-Cookie: a=1\r\nX-A: \xe9\r\nset-cookie: b=2\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok',
    );
  });

  test('answers without a body, and to HEAD, leave the connection as it was', async () => {
    const { port } = await between((request, response) => {
      const status = Number(request.url?.slice(1));
      response.writeHead(status, status === 200 ? { 'content-length': 1234 } : { etag: '"x"' });
      response.end();
    });
    const wire = new Wire(port);
    wire.send('HEAD /200 HTTP/1.1\r\nHost: h\r\n\r\n');
    expect(await wire.until(/\r\n\r\n$/)).toContain('content-length: 1234');
    wire.send('GET /304 HTTP/1.1\r\nHost: h\r\n\r\n');
    await wire.until(/304 Not Modified[^]*\r\n\r\n$/);
    wire.send('GET /204 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n');
    const text = await wire.end();
    expect(text).toMatch(/204 No Content\r\n[^]*\r\n\r\n$/);
    expect(text).not.toMatch(/transfer-encoding/i);
    expect(text.match(/HTTP\/1\.1/g)).toHaveLength(3);
  });

  test('A21 a redirect is passed on, not followed', async () => {
    const seen: string[] = [];
    const { url } = await between((request, response) => {
      seen.push(request.url ?? '');
      response.writeHead(302, { location: 'http://169.254.169.254/latest' }).end();
    });
    const answer = await fetch(`${url}/a`, { redirect: 'manual' });
    expect([answer.status, answer.headers.get('location')]).toEqual([302, 'http://169.254.169.254/latest']);
    expect(seen).toEqual(['/a']);
  });

  test('early hints and other interim answers are not taken for the answer', async () => {
    const { url } = await between((_request, response) => {
      response.writeEarlyHints({ link: '</x>; rel=preload' });
      response.end('ok');
    });
    expect(await fetch(url).then((answer) => answer.text())).toBe('ok');
  });

  test('parts of an answer come as they are sent, long before its end', async () => {
    const { promise, resolve } = Promise.withResolvers<ServerResponse>();
    const { port } = await between((_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write('first');
      resolve(response);
    });
    const wire = new Wire(port).send('GET / HTTP/1.1\r\nHost: h\r\n\r\n');
    await wire.until(/first/);
    const response = await promise;
    response.write('second');
    await wire.until(/second/);
    response.end();
    await wire.until(/0\r\n\r\n$/);
  });

  test('an answer that breaks off breaks off for the client, too', async () => {
    const upstream = kept(
      await rawForge((socket) =>
        socket.on('data', () => {
          socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n', () => socket.destroy());
        }),
      ),
    );
    const { port, next } = kept(await stage(upstream.port));
    const over = next();
    const text = await new Wire(port).send('GET / HTTP/1.1\r\nHost: h\r\n\r\n').end();
    expect(text).toMatch(/half/);
    expect(text).not.toMatch(/0\r\n\r\n$/);
    expect(await over).toEqual({ outcome: 'upstream_failed', status: 200 });
  });

  test('no forge: 502 or 503 with Retry-After, in words that the client understands', async () => {
    const gone = await forge(echo);
    await gone.close();
    const { url } = kept(await stage(gone.port));
    const answer = await fetch(`${url}/api/v4/version`);
    expect(answer.status).toBeGreaterThanOrEqual(502);
    expect(answer.headers.get('retry-after')).toBe('5');
    expect(await answer.json()).toMatchObject({ message: expect.stringContaining('does not answer') });
  });

  test('a forge that is silent for too long is given up', async () => {
    const { url } = await between(() => {}, { silenceMs: 100 });
    expect((await fetch(url)).status).toBeGreaterThanOrEqual(502);
  });

  test('a kept connection that the forge has closed meanwhile costs no request that only reads', async () => {
    let connections = 0;
    const upstream = kept(
      await rawForge((socket) => {
        connections += 1;
        let requests = 0;
        socket.on('data', () => {
          requests += 1;
          if (requests === 2) socket.destroy();
          else socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
        });
      }),
    );
    const { url } = kept(await stage(upstream.port, { connections: 1 }));
    expect((await fetch(url)).status).toBe(200);
    expect((await fetch(url)).status).toBe(200);
    expect(connections).toBe(2);
    expect((await fetch(url, { method: 'POST', body: 'x' })).status, 'what may have taken effect is not repeated').toBeGreaterThanOrEqual(
      502,
    );
  });
});

describe('big bodies and impatient clients', () => {
  test('a large body goes up and comes down unharmed, by curl, with a length and without', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'jobpass-forwarder-'));
    kept({ close: () => rm(dir, { recursive: true }) });
    const bytes = randomBytes(24 * 1024 * 1024);
    const digest = createHash('sha256').update(bytes).digest('hex');
    const { url } = await between((request, response) => {
      const hash = createHash('sha256');
      request.on('data', (chunk: Buffer) => hash.update(chunk));
      request.on('end', () => {
        response.setHeader('x-digest', hash.digest('hex'));
        response.end(bytes);
      });
    });
    const file = join(dir, 'bytes');
    await writeFile(file, bytes);
    for (const more of [[], ['-H', 'Transfer-Encoding: chunked'], ['-H', 'Expect:']]) {
      const out = join(dir, 'out');
      const { stdout } = await run('curl', ['-sS', '-T', file, ...more, '-o', out, '-D', '-', `${url}/upload`]);
      expect(stdout).toContain(`x-digest: ${digest}`);
      expect(
        createHash('sha256')
          .update(await readFile(out))
          .digest('hex'),
      ).toBe(digest);
    }
  });

  test('a range of an answer', async () => {
    const { url } = await between((request, response) => {
      expect(request.headers.range).toBe('bytes=2-3');
      response.writeHead(206, { 'content-range': 'bytes 2-3/10', 'content-length': 2 }).end('cd');
    });
    const { stdout } = await run('curl', ['-sS', '-i', '-r', '2-3', url]);
    expect(stdout).toMatch(/206 Partial Content[^]*content-range: bytes 2-3\/10[^]*cd$/i);
  });

  test('a slow reader holds the forge back: nothing piles up here', async () => {
    let written = 0;
    const { promise, resolve } = Promise.withResolvers<void>();
    const { port } = await between((_request, response) => {
      const chunk = Buffer.alloc(256 * 1024);
      const more = (): void => {
        while (response.write(chunk)) written += chunk.length;
        written += chunk.length;
        // Nobody reads: after the buffers of the kernel are full nothing moves any more.
        const timer = setTimeout(resolve, 500);
        response.once('drain', () => {
          clearTimeout(timer);
          more();
        });
      };
      more();
    });
    const wire = new Wire(port);
    wire.socket.pause();
    wire.send('GET / HTTP/1.1\r\nHost: h\r\n\r\n');
    await promise;
    expect(written).toBeLessThan(32 * 1024 * 1024);
    wire.socket.destroy();
  });

  test('R13 a slow reader gets its own bytes, whatever others are sent meanwhile', async () => {
    const bytes = 16 * 1024 * 1024;
    const { port, url } = await between((request, response) => response.end(Buffer.alloc(bytes, request.url?.slice(1) ?? '')));
    const slow = new Wire(port);
    slow.socket.pause();
    slow.send('GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n');
    for (let count = 0; count < 3; count += 1) expect((await (await fetch(`${url}/b`)).text()).replaceAll('b', '')).toBe('');
    slow.socket.resume();
    const [, body = ''] = (await slow.end()).split('\r\n\r\n');
    expect([body.length, body.replaceAll('a', '')]).toEqual([bytes, '']);
  });

  test('R13 a slow forge gets the bytes that it was sent, whatever others send meanwhile', async () => {
    const bytes = 16 * 1024 * 1024;
    const begin = Promise.withResolvers<void>();
    const { url } = await between((request, response) => {
      void (request.url === '/a' ? begin.promise : Promise.resolve())
        .then(() => collect(request))
        .then((body) => response.end(String(body.equals(Buffer.alloc(bytes, request.url?.slice(1))))));
    });
    const send = async (path: string, chunked: boolean): Promise<string> => {
      const whole = Buffer.alloc(bytes, path);
      const body = chunked ? new Blob([whole]).stream() : whole;
      return (await fetch(`${url}/${path}`, { method: 'POST', body, duplex: 'half' })).text();
    };
    const slow = [send('a', false), send('a', true)];
    expect([await send('b', false), await send('b', true)]).toEqual(['true', 'true']);
    begin.resolve();
    expect(await Promise.all(slow)).toEqual(['true', 'true']);
  });

  test('a client that goes away is gone for the forge, too: while it asks, waits and hears', async () => {
    const gone: string[] = [];
    let wake: (path: string) => void = () => {};
    const { port, next } = await between((request, response) => {
      request.on('error', () => {});
      request.resume();
      response.on('close', () => gone.push(request.url ?? ''));
      if (request.url === '/hears') response.write('x');
      wake(request.url ?? '');
    });
    for (const [path, bytes] of [
      ['/asks', 'POST /asks HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhalf'],
      ['/waits', 'GET /waits HTTP/1.1\r\nHost: h\r\n\r\n'],
      ['/hears', 'GET /hears HTTP/1.1\r\nHost: h\r\n\r\n'],
    ] as const) {
      const arrived = new Promise((resolve) => (wake = resolve));
      const over = next();
      const wire = new Wire(port).send(bytes);
      await arrived;
      if (path === '/hears') await wire.until(/x/);
      wire.socket.destroy();
      expect((await over).outcome, path).toBe('cut');
      await expect.poll(() => gone).toContain(path);
    }
  });

  test('R2 a signal cuts both sides in the middle of an answer', async () => {
    const cut = new AbortController();
    const { promise, resolve } = Promise.withResolvers<void>();
    const { port, next } = await between(
      (_request, response) => {
        response.on('close', () => resolve());
        response.write('begin');
      },
      {},
      () => ({ signal: cut.signal }),
    );
    const over = next();
    const wire = new Wire(port).send('GET / HTTP/1.1\r\nHost: h\r\n\r\n');
    await wire.until(/begin/);
    cut.abort();
    await wire.end();
    await promise;
    expect((await over).outcome).toBe('cut');
    const late = next();
    await new Wire(port).send('GET / HTTP/1.1\r\nHost: h\r\n\r\n').end();
    expect(await late).toEqual({ outcome: 'cut', status: null });
  });
});

describe('100-continue', () => {
  const ask = 'POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n';

  test('is answered when the forge answers it, and the body follows', async () => {
    const upstream = kept(await forge(() => {}));
    const asked = once(upstream.server, 'checkContinue') as Promise<[IncomingMessage, ServerResponse]>;
    const { port, next } = kept(await stage(upstream.port));
    const over = next();
    const wire = new Wire(port).send(ask);
    const [request, response] = await asked;
    response.writeContinue();
    await wire.until(/^HTTP\/1\.1 100 Continue\r\n\r\n$/);
    wire.send('body');
    response.end(await collect(request));
    expect(await wire.until(/200 OK[^]*body/)).toMatch(/^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200/);
    expect(await over).toEqual({ outcome: 'done', status: 200 });
  });

  test('a forge that does not want the body says so before it is sent', async () => {
    const upstream = kept(await forge(() => {}));
    upstream.server.on('checkContinue', (_request: IncomingMessage, response: ServerResponse) => response.writeHead(413).end('no'));
    const { port } = kept(await stage(upstream.port));
    const text = await new Wire(port).send(ask).end();
    expect(text).toMatch(/^HTTP\/1\.1 413/);
    expect(text).not.toContain('100 Continue');
    expect(text).toMatch(/connection: close/i);
  });

  test('a forge that is silent for too long is given up, here and before a tunnel', async () => {
    const upstream = kept(await rawForge(() => {}));
    const { port } = kept(await stage(upstream.port, { silenceMs: 100 }));
    expect(await new Wire(port).send(ask).until(/\r\n\r\n/)).toMatch(/^HTTP\/1\.1 502/);
    expect(await new Wire(port).send('GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n').end()).toMatch(
      /^HTTP\/1\.1 502/,
    );
  });

  test('no forge: an error, not a 100', async () => {
    const gone = await forge(echo);
    await gone.close();
    const { port } = kept(await stage(gone.port));
    // What comes behind it could be the body as well as another request.
    expect(await new Wire(port).send(ask).end()).toMatch(/^HTTP\/1\.1 502 [^]*connection: close[^]*does not answer/i);
  });

  test.each([
    ['answers', 413],
    ['breaks off', 502],
  ])('a forge that asks for the body and %s in its middle is heard by whoever has to send all of it first', async (what, status) => {
    const upstream = kept(await forge(() => {}));
    upstream.server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
      response.writeContinue();
      request.once('data', () => {
        // Not ended: as nothing else is wanted there, the connection would be closed with it.
        if (what === 'answers') response.writeHead(413, { 'content-length': 2 }).write('no');
        else request.destroy();
      });
    });
    const { port } = kept(await stage(upstream.port));
    const bytes = 8 * 1024 * 1024;
    const wire = new Wire(port).send(ask.replace('4', String(bytes)));
    await wire.until(/100 Continue\r\n\r\n/);
    wire.socket.pause();
    wire.send('x'.repeat(bytes));
    await new Promise((resolve) => wire.socket.write('', resolve));
    wire.socket.resume();
    await wire.until(new RegExp(`HTTP/1\\.1 ${status}`));
    // What follows on the connection is heard, too.
    wire.send('GET / HTTP/1.1\r\nHost: h\r\nHost: other\r\n\r\n');
    await wire.until(/HTTP\/1\.1 400/);
  });
});

describe('upgrades', () => {
  const hello =
    'GET /-/cable HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\nOrigin: http://h\r\n\r\n';

  async function cable(seen: string[]): Promise<{ readonly port: number; readonly ended: Promise<void> }> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const upstream = kept(await forge(echo));
    upstream.server.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => {
      seen.push(...request.rawHeaders);
      socket.write(
        'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: y\r\n\r\nwelcome',
      );
      socket.write(head);
      socket.on('data', (chunk: Buffer) => socket.write(chunk));
      socket.on('end', () => {
        socket.destroy();
        resolve();
      });
      socket.on('error', () => {});
    });
    return { port: upstream.port, ended: promise };
  }

  test('ActionCable: bytes go both ways after the 101, and the end of one side ends the other', async () => {
    const seen: string[] = [];
    const upstream = await cable(seen);
    const { port } = kept(await stage(upstream.port));
    const wire = new Wire(port).send(`${hello}early`);
    const text = await wire.until(/welcomeearly$/);
    expect(text).toMatch(/^HTTP\/1\.1 101 Switching Protocols\r\n/);
    expect(text).toMatch(/upgrade: websocket\r\n/i);
    expect(text).toMatch(/sec-websocket-accept: y\r\n/i);
    wire.send('ping');
    await wire.until(/ping$/);
    expect(valuesOf(seen, 'sec-websocket-key')).toEqual(['x']);
    expect(valuesOf(seen, 'x-forwarded-for')).toEqual(['127.0.0.1']);
    wire.socket.destroy();
    await upstream.ended;
  });

  test('a forge that declines is heard, and the connection is spent', async () => {
    const { port } = await between((_request, response) => void response.writeHead(403, { 'content-length': 2 }).end('no'));
    const text = await new Wire(port).send(`${hello}GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n`).end();
    expect(text).toMatch(/^HTTP\/1\.1 403 Forbidden\r\n[^]*connection: close\r\n\r\nno$/i);
  });

  test.each([
    ['declined', hello],
    ['refused', hello.replace('/-/cable', 'http://other/')],
  ])('a client that keeps its end open after it was %s is not kept', async (_what, asked) => {
    const { port } = await between((_request, response) => void response.writeHead(403, { 'content-length': 2 }).end('no'));
    const client = connect({ port, host: '127.0.0.1', allowHalfOpen: true }).on('error', () => {});
    const closed = new Promise((resolve) => client.once('close', resolve));
    client.write(asked);
    client.resume();
    await once(client, 'end');
    // To write where nobody is any more ends a connection, sooner or later.
    const insist = (): void => void client.write('still here', (error) => (error ? undefined : setImmediate(insist)));
    insist();
    await closed;
  });

  test('A21 a target that looks like another server goes to the forge', async () => {
    const { port } = await between(echo);
    const text = await new Wire(port).send(hello.replace('/-/cable', '//169.254.169.254/x')).end();
    expect(text).toContain('"url":"//169.254.169.254/x"');
    expect(await new Wire(port).send(hello.replace('/-/cable', 'http://169.254.169.254/x')).end()).toMatch(/^HTTP\/1\.1 400/);
  });

  test('an offer of h2c, and a body, make it an ordinary request', async () => {
    const { port, url } = await between((request, response) => {
      void collect(request).then((body) => response.end(`${request.headers.upgrade ?? 'plain'} ${body.toString()}`));
    });
    const { stdout } = await run('curl', ['-sS', '--http2', '-d', 'body', url]);
    expect(stdout).toBe('plain body');
    const text = await new Wire(port)
      .send('POST / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 4\r\n\r\nbody')
      .until(/body/);
    expect(text).toContain('plain body');
  });
});
