import { createServer, type IncomingMessage } from 'node:http';
import { type AddressInfo, Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { plainRequest } from '../../../src/doors/plain/request.ts';
import { PlainResponse } from '../../../src/doors/plain/response.ts';
import { certificate } from '../../support/certificate.ts';
import { forge, type Handle, type Stage, stage, Wire, keeper } from './stage.ts';

const kept = keeper();

const nowhere = new Socket();
const recognised = (text: string) => plainRequest(Buffer.from(text, 'latin1'), nowhere);

describe('a plain request', () => {
  test('is a GET or HEAD with its headers, and is kept as it came', () => {
    const text = 'GET /a%2Fb/../c;d|?x=%20"&y[] HTTP/1.1\r\nHost: h\r\nX-Two:\t \xe9\t \r\nx-two:\r\nConnection: Keep-Alive\r\n\r\n';
    expect(recognised(text)).toMatchObject({
      method: 'GET',
      url: '/a%2Fb/../c;d|?x=%20"&y[]',
      rawHeaders: ['Host', 'h', 'X-Two', '\xe9', 'x-two', '', 'Connection', 'Keep-Alive'],
      last: false,
    });
    expect(recognised('HEAD / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n')).toMatchObject({ method: 'HEAD', last: true });
  });

  const get = (...lines: string[]): string => ['GET / HTTP/1.1', 'Host: h', ...lines, '', ''].join('\r\n');

  test.each([
    ['A25 a length', get('Content-Length: 0')],
    ['A25 a coding', get('Transfer-Encoding: chunked')],
    ['A25 a coding in capitals', get('TRANSFER-ENCODING: chunked')],
    ['A25 something behind it', `${get()}G`],
    ['A25 another behind it', get() + get()],
    ['A25 bare line feeds', get().replaceAll('\r\n', '\n')],
    ['A25 one bare line feed', get('X: 1\nContent-Length: 5')],
    ['A25 a bare carriage return', get('X: 1\rY: 2')],
    ['A25 a folded line', get('X: 1', ' 2')],
    ['A25 a space before the colon', get('X : 1')],
    ['A25 no name', get(': 1')],
    ['A25 a NUL', get('X: \0')],
    ['A22 two hosts', get('host: i')],
    ['A22 no host', 'GET / HTTP/1.1\r\nX: h\r\n\r\n'],
    ['A22 a host without a name', 'GET / HTTP/1.1\r\nHost: \r\n\r\n'],
    ['A22 an absolute target', get().replace('/', 'http://h/')],
    ['A22 a target with a fragment', get().replace('/', '/#')],
    ['A22 a target with more than ASCII', get().replace('/', '/\xe9')],
    ['HTTP/1.0', get().replace('1.1', '1.0')],
    ['another method', get().replace('GET', 'OPTIONS')],
    ['a method in lower case', get().replace('GET', 'get')],
    ['an upgrade', get('Connection: Upgrade', 'Upgrade: websocket')],
    ['an upgrade that Connection does not name', get('Upgrade: websocket')],
    ['headers of this connection', get('Connection: close, X')],
    ['two words about the connection', get('Connection: close', 'Connection: keep-alive')],
    ['an expectation', get('Expect: 100-continue')],
    ['the half of one', get().slice(0, -2)],
    ['too much', get(`X: ${'x'.repeat(16 * 1024)}`)],
    ['too long a target', get().replace('/', `/${'x'.repeat(8 * 1024)}`)],
    ['too many headers', get(...Array.from({ length: 100 }, () => 'X: 1'))],
  ])('is none with %s', (_what, text) => {
    expect(recognised(text)).toBeUndefined();
  });

  const heard: IncomingMessage[] = [];
  const server = createServer((request, response) => {
    heard.push(request);
    response.end();
  });
  beforeAll(() => new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve)));
  afterAll(() => new Promise((resolve) => server.close(resolve)));

  test('A25 A22 is read by Node.js’s parser in the same way, whatever was taken for one', async () => {
    const { port } = server.address() as AddressInfo;
    let taken = 0;
    await fc.assert(
      fc.asyncProperty(near, async (text) => {
        const request = recognised(text);
        if (request === undefined) return;
        taken += 1;
        const wire = new Wire(port).send(text);
        await wire.until(/\r\n\r\n/);
        wire.socket.destroy();
        const [read] = heard.splice(0);
        expect([read?.method, read?.url, read?.rawHeaders, read?.complete]).toEqual([
          request.method,
          request.url,
          request.rawHeaders,
          true,
        ]);
        expect(read?.headers['connection']?.toLowerCase() === 'close').toBe(request.last);
      }),
      { numRuns: 1000 },
    );
    expect(taken).toBeGreaterThan(100);
  });
});

/** Requests, some of them with a byte or two changed. */
const header = fc.oneof(
  fc.constantFrom('Accept: */*', 'PRIVATE-TOKEN: x', 'Connection: close', 'Connection: keep-alive', 'Content-Length: 0', 'Host: i'),
  fc
    .tuple(fc.stringMatching(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,12}$/), fc.stringMatching(/^[\t -~\xa0-\xff]{0,20}$/))
    .map(([name, value]) => `${name}:${value}`),
);
const request = fc
  .tuple(
    fc.constantFrom('GET', 'GET', 'HEAD', 'POST'),
    fc.stringMatching(/^[!-~]{0,20}$/),
    fc.array(header, { maxLength: 5 }),
    fc.constantFrom('Host: h', 'Host: h', 'Host:h:1', 'X: 1'),
  )
  .map(([method, path, headers, host]) => [`${method} /${path} HTTP/1.1`, ...headers, host, '', ''].join('\r\n'));
const near = fc
  .tuple(
    request,
    fc.array(fc.tuple(fc.nat(), fc.constantFrom('', '\r', '\n', '\r\n', ' ', '\t', ':', '\0', '\x80', 'x')), { maxLength: 2 }),
  )
  .map(([text, changes]) => {
    let changed = text;
    for (const [place, what] of changes) {
      const at = place % changed.length;
      changed = changed.slice(0, at) + what + changed.slice(at + (what === '' ? 1 : 0));
    }
    return changed;
  });

const echo: Handle = (request, response) => {
  request.resume().on('end', () => {
    const body = `${request.method} ${request.url}`;
    if (request.url?.includes('none') === true) response.writeHead(204).end();
    else if (request.url?.includes('long') === true) response.writeHead(200, { 'content-length': body.length }).end(body);
    else response.end(body);
  });
};

describe('a connection', () => {
  /** Requests as they would be sent, one of which each connection's last. */
  const asked = fc.array(
    fc.tuple(fc.constantFrom('GET /a', 'GET /long', 'HEAD /a', 'HEAD /long', 'GET /none', 'POST /p', 'OPTIONS /o'), fc.boolean()),
    { minLength: 1, maxLength: 6 },
  );
  const textOf = (line: string): string =>
    line.startsWith('POST') ? `${line} HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc` : `${line} HTTP/1.1\r\nHost: h\r\n\r\n`;
  const answered = (text: string): string => text.replaceAll(/Date: [^\r]*\r\n/g, '');

  async function conversation(to: Stage, lines: readonly (readonly [string, boolean])[], at: readonly number[]): Promise<string> {
    const wire = new Wire(to.port);
    let [sent, count] = ['', 0];
    for (const [line, waits] of lines) {
      sent += textOf(line);
      count += 1;
      if (!waits) continue;
      for (const piece of cut(sent, at)) wire.send(piece);
      sent = '';
      const wanted = count;
      await wire.until(new RegExp(`(?:HTTP/1\\.1 [^]*?){${wanted}}`));
    }
    wire.send(`${sent}GET /end HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n`);
    return answered(await wire.end());
  }
  const cut = (text: string, at: readonly number[]): string[] => {
    const places = [0, ...new Set(at.map((one) => one % (text.length + 1)).toSorted((a, b) => a - b)), text.length];
    return places.slice(1).map((end, index) => text.slice(places[index], end));
  };

  test('hears the same, however plain requests and others follow each other, are cut and come too early', async () => {
    const upstream = kept(await forge(echo));
    const plain = kept(await stage(upstream.port));
    const general = kept(await stage(upstream.port, {}, () => undefined));
    await fc.assert(
      fc.asyncProperty(asked, fc.array(fc.nat(), { maxLength: 3 }), async (lines, at) => {
        expect(await conversation(plain, lines, at)).toBe(await conversation(general, lines, at));
      }),
      { numRuns: 150 },
    );
  });

  test('A25 carries one request at a time: what is asked too early waits for the answer before it', async () => {
    const held: (() => void)[] = [];
    let here: () => void = () => {};
    const urls: string[] = [];
    const upstream = kept(
      await forge((request, response) => {
        urls.push(request.url ?? '');
        if (request.url === '/slow') held.push(() => response.end('slow'));
        else response.end('fast');
        here();
      }),
    );
    const front = kept(await stage(upstream.port));
    for (const early of [textOf('GET /fast'), textOf('GET /fast') + textOf('GET /fast'), textOf('POST /fast')]) {
      const arrived = new Promise<void>((resolve) => (here = resolve));
      const wire = new Wire(front.port).send(textOf('GET /slow'));
      await arrived;
      // Another connection's answer shows that the early ones have been read by now, if they are.
      wire.send(early);
      await (await fetch(`${front.url}/other`)).text();
      expect(urls.splice(0)).toEqual(['/slow', '/other']);
      held.shift()?.();
      expect(await wire.until(/fast/)).toMatch(/^HTTP[^]*slow[^]*HTTP[^]*fast/);
      wire.socket.destroy();
      urls.length = 0;
    }
  });

  test('is closed when nothing is asked on it, at first or any more', async () => {
    const upstream = kept(await forge(echo));
    const front = kept(await stage(upstream.port, {}, undefined, { idleMs: 80 }));
    const [silent, spoke] = [new Wire(front.port), new Wire(front.port).send(textOf('GET /a'))];
    expect(await silent.end()).toBe('');
    expect(await spoke.end()).toMatch(/GET \/a/);
  });

  test('one that is handed over keeps Node.js’s bounds: half a request is no way to hold it, too large a one is refused', async () => {
    const upstream = kept(await forge(echo));
    const front = kept(await stage(upstream.port));
    const wire = new Wire(front.port).send(textOf('GET /a'));
    await wire.until(/GET \/a/);
    expect(await wire.send(`GET / HTTP/1.1\r\nHost: h\r\nX: ${'x'.repeat(17 * 1024)}`).end()).toMatch(/HTTP\/1\.1 431 /);
    expect(await new Wire(front.port).send('GET / HTTP/1.1\nHost: h\n\n').end()).toMatch(/^HTTP\/1\.1 400 /);
  });

  test('a client that leaves is not waited for; one that says nothing more comes, neither', async () => {
    let gone = 0;
    const urls: string[] = [];
    let told: () => void = () => {};
    const upstream = kept(
      await forge((request, response) => {
        urls.push(request.url ?? '');
        response.on('close', () => {
          gone += 1;
          told();
        });
        told();
      }),
    );
    const front = await stage(upstream.port);
    for (const leave of ['destroy', 'end'] as const) {
      const here = new Promise<void>((resolve) => (told = resolve));
      const wire = new Wire(front.port).send(textOf('GET /a'));
      await here;
      const before = gone;
      const left = new Promise<void>((resolve) => (told = resolve));
      const over = front.next();
      // What it asked too early is not asked any more.
      wire.socket.write(textOf('GET /early'), () => wire.socket[leave]());
      await left;
      expect(gone).toBe(before + 1);
      expect((await over).outcome).toBe('cut');
    }
    expect(urls).toEqual(['/a', '/a']);
    // Nobody is waited for any more.
    await front.close(600_000);
  });

  test('where nothing is on its way ends at once when the server stops; what was asked too early is not carried any more', async () => {
    let here: () => void = () => {};
    const held: (() => void)[] = [];
    const upstream = kept(
      await forge((request, response) => {
        if (request.url !== '/slow') return void response.end('quick');
        held.push(() => response.end('slow'));
        here();
      }),
    );
    const front = await stage(upstream.port);
    const idle = new Wire(front.port).send(textOf('GET /a'));
    await idle.until(/quick/);
    const arrived = new Promise<void>((resolve) => (here = resolve));
    const busy = new Wire(front.port).send(textOf('GET /slow'));
    await arrived;
    const closed = front.close(600_000);
    await idle.end();
    busy.send(textOf('GET /early'));
    held.shift()?.();
    const text = await busy.end();
    expect(text).toMatch(/^HTTP\/1\.1 200 [^]*slow/);
    expect(text.split('slow')[1]).not.toContain('quick');
    await closed;
  });

  test('that was cut has heard nothing, though its answer is written', () => {
    const socket = new Socket();
    socket.destroy();
    const response = new PlainResponse(socket, false, true);
    let closed = 0;
    response.on('close', () => (closed += 1));
    response.writeHead(200, 'OK', []).end('x');
    expect([response.writableFinished, closed]).toEqual([false, 0]);
    response.lost();
    expect([response.writableFinished, closed]).toEqual([false, 1]);
  });

  test('over TLS, too', async () => {
    const { cert, key } = await certificate();
    const upstream = kept(await forge(echo));
    const front = kept(await stage(upstream.port, {}, undefined, { tls: { cert, key } }));
    const socket = connectTls({ port: front.port, host: '127.0.0.1', ca: cert });
    let text = '';
    socket.on('data', (piece: Buffer) => (text += piece.toString('latin1')));
    const until = async (wanted: RegExp): Promise<void> => {
      while (!wanted.test(text)) await new Promise((resolve) => socket.once('data', resolve));
    };
    socket.write(textOf('GET /a'));
    await until(/GET \/a/);
    socket.write(textOf('POST /p'));
    await until(/POST \/p/);
    socket.destroy();
  });
});
