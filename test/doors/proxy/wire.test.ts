import { createServer, type IncomingMessage, request as ask } from 'node:http';
import { type AddressInfo, BlockList, createServer as createTcpServer, type Socket } from 'node:net';
import fc from 'fast-check';
import { Agent } from 'undici';
import { describe, expect, test } from 'vitest';
import { silentLog } from '../../../src/base/log.ts';
import { Exchange } from '../../../src/doors/proxy/exchange.ts';
import { AnswerParser } from '../../../src/doors/proxy/wire/answer-parser.ts';
import { type Call, type Hearer, headOf } from '../../../src/doors/proxy/wire/call.ts';
import { forge, rawForge, stage, Wire, keeper } from './stage.ts';

const kept = keeper();

interface Read {
  readonly status: number;
  readonly headers: readonly string[];
  readonly body: string;
  readonly reusable: boolean | undefined;
  readonly left: number;
}

/** What the parser makes of an answer that comes in these pieces. */
function read(pieces: readonly Buffer[], head = false): Read {
  let [status, headers, body]: [number, readonly string[], string] = [0, [], ''];
  let reusable: boolean | undefined;
  const parser = new AnswerParser({
    head: (code, _reason, raw) => ([status, headers] = [code, raw]),
    data: (piece) => (body += piece.toString('latin1')),
    end: (again) => (reusable = again),
  });
  parser.expect(head);
  let left = 0;
  for (const piece of pieces) left += parser.read(piece);
  if (reusable === undefined && !parser.finish()) throw new Error('broken off');
  return { status, headers, body, reusable, left };
}

const cut = (text: string, at: readonly number[]): Buffer[] => {
  const bytes = Buffer.from(text, 'latin1');
  const places = [0, ...new Set(at.map((one) => one % (bytes.length + 1)).toSorted((a, b) => a - b)), bytes.length];
  return places.slice(1).map((end, index) => bytes.subarray(places[index], end));
};

const bodies = fc.stringMatching(/^[a-z\r\n]{0,40}$/);
const chunked = fc.tuple(fc.array(fc.stringMatching(/^[a-z\r\n]{1,20}$/)), fc.boolean()).map(([parts, trailer]) => ({
  body: parts.join(''),
  text: `${parts.map((part) => `${part.length.toString(16)}${part.length % 2 === 0 ? ';x="y"' : ''}\r\n${part}\r\n`).join('')}0\r\n${trailer ? 'X-T: 1\r\n' : ''}\r\n`,
}));
const answers = fc.oneof(
  bodies.map((body) => ({
    body,
    text: `HTTP/1.1 200 OK\r\nX-A: \xe9 b \r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    reusable: true,
  })),
  chunked.map(({ body, text }) => ({ body, text: `HTTP/1.1 299\r\ntransfer-encoding: Chunked\r\n\r\n${text}`, reusable: true })),
  bodies.map((body) => ({ body, text: `HTTP/1.1 200 OK\r\n\r\n${body}`, reusable: false })),
  bodies.map((body) => ({ body, text: `HTTP/1.0 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`, reusable: false })),
  bodies.map((body) => ({
    body,
    text: `HTTP/1.1 200 OK\r\nConnection: x, close\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    reusable: false,
  })),
  fc.constant({ body: '', text: 'HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 204 None\r\nX: \r\n\r\n', reusable: true }),
  fc.constant({ body: '', text: 'HTTP/1.1 304 Same\r\nETag: "x"\r\n\r\n', reusable: true }),
);

describe('the parser of answers', () => {
  test('reads the same, however the bytes are cut', () => {
    fc.assert(
      fc.property(answers, fc.array(fc.nat()), ({ body, text, reusable }, at) => {
        const whole = read(cut(text, []));
        expect(whole).toMatchObject({ body, reusable, left: 0 });
        expect(read(cut(text, at))).toEqual(whole);
      }),
    );
  });

  test('reads what the HTTP client of Node.js reads', async () => {
    let text = '';
    const server = createTcpServer((socket) => socket.once('data', () => socket.end(Buffer.from(text, 'latin1'))));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    await fc.assert(
      fc.asyncProperty(answers, async (answer) => {
        text = answer.text;
        const theirs = await new Promise<Omit<Read, 'reusable' | 'left'>>((resolve, reject) => {
          ask({ port, host: '127.0.0.1', agent: false }, (response: IncomingMessage) => {
            let body = '';
            response.setEncoding('latin1').on('data', (piece: string) => (body += piece));
            response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.rawHeaders, body }));
          })
            .on('error', reject)
            .end();
        });
        expect(read(cut(text, []))).toMatchObject(theirs);
      }),
      { numRuns: 40 },
    );
    server.close();
  });

  test('what follows an answer is not of it', () => {
    expect(read([Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxHTTP/1.1')])).toMatchObject({ body: 'x', left: 8 });
    expect(read([Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nno')], true)).toMatchObject({ body: '', left: 2 });
    expect(read([Buffer.from('HTTP/1.1 204 No\r\nContent-Length: 2\r\n\r\n')]).reusable).toBe(false);
  });
});

describe('answers that two readers could read in two ways', () => {
  const ok = 'HTTP/1.1 200 OK\r\n';
  const odd: readonly (readonly [string, string])[] = [
    ['two lengths', `${ok}Content-Length: 2\r\nContent-Length: 3\r\n\r\nab`],
    ['two equal lengths', `${ok}Content-Length: 2\r\nContent-Length: 2\r\n\r\nab`],
    ['a list of lengths', `${ok}Content-Length: 2, 2\r\n\r\nab`],
    ['a signed length', `${ok}Content-Length: +2\r\n\r\nab`],
    ['a length beyond counting', `${ok}Content-Length: 99999999999999999999\r\n\r\nab`],
    ['a length and a coding', `${ok}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n`],
    ['a coding before chunked', `${ok}Transfer-Encoding: gzip, chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n`],
    ['a coding twice', `${ok}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n`],
    ['a coding in HTTP/1.0', `HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n`],
    ['bare line feeds', `HTTP/1.1 200 OK\nContent-Length: 2\n\nab`],
    ['a bare line feed between headers', `${ok}X: 1\nContent-Length: 2\r\n\r\nab`],
    ['a bare carriage return', `${ok}X: a\rb\r\n\r\nab`],
    ['a folded line', `${ok}X: a\r\n b\r\nContent-Length: 2\r\n\r\nab`],
    ['a space before the colon', `${ok}Content-Length : 2\r\n\r\nab`],
    ['a line without a colon', `${ok}Content-Length\r\n\r\nab`],
    ['a NUL in a value', `${ok}X: a\0b\r\n\r\nab`],
    ['another protocol', `HTTP/2 200 OK\r\n\r\nab`],
    ['a status of two digits', `HTTP/1.1 20 OK\r\n\r\nab`],
    ['a tunnel that nobody asked for', `HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nab`],
    ['a chunk of a bad size', `${ok}Transfer-Encoding: chunked\r\n\r\n0x2\r\nab\r\n0\r\n\r\n`],
    ['a chunk that is longer than it says', `${ok}Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n`],
    ['a chunk that ends in a line feed', `${ok}Transfer-Encoding: chunked\r\n\r\n2\nab\n0\n\n`],
    ['a trailer that is none', `${ok}Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nx\r\n\r\n`],
    ['a head without an end', `${ok}X: ${'a'.repeat(70_000)}\r\n\r\nab`],
    ['interim answers without an end', 'HTTP/1.1 103 Early\r\n\r\n'.repeat(40)],
  ];

  test.each(odd)('A25 %s: an error, and the connection is not used again', async (_what, bytes) => {
    let connections = 0;
    const upstream = kept(
      await rawForge((socket) => {
        connections += 1;
        socket.on('data', () => void socket.write(Buffer.from(connections === 1 ? bytes : `${ok}Content-Length: 2\r\n\r\nok`, 'latin1')));
      }),
    );
    const { url } = kept(await stage(upstream.port, { connections: 1 }));
    expect((await fetch(url, { method: 'POST' })).status).toBe(502);
    expect(await (await fetch(url)).text()).toBe('ok');
    expect(connections).toBe(2);
  });

  test('A25 what follows an answer is not read, and the connection is not used again', async () => {
    let connections = 0;
    const upstream = kept(
      await rawForge((socket) => {
        connections += 1;
        socket.on('data', () => void socket.write(`${ok}Content-Length: 2\r\n\r\nok${ok}Content-Le`));
      }),
    );
    const { url } = kept(await stage(upstream.port));
    for (let count = 0; count < 2; count += 1) expect(await (await fetch(url)).text()).toBe('ok');
    expect(connections).toBe(2);
  });

  test('A25 what the forge says unasked is not the answer to whoever asks next', async () => {
    const sockets: Socket[] = [];
    const upstream = kept(
      await rawForge((socket) => {
        sockets.push(socket);
        socket.on('data', () => socket.write(`${ok}Content-Length: 2\r\n\r\nok`));
      }),
    );
    const { url } = kept(await stage(upstream.port));
    expect(await (await fetch(url)).text()).toBe('ok');
    await new Promise((resolve) => sockets[0]?.write(`${ok}Content-Length: 2\r\n\r\nno`, resolve));
    expect(await (await fetch(url)).text()).toBe('ok');
    expect(sockets).toHaveLength(2);
  });
});

describe('connections to the forge', () => {
  test('A25 one that was answered before all of the request was sent carries no other', async () => {
    const sockets = new Set<Socket>();
    const upstream = kept(
      await forge((request, response) => {
        sockets.add(request.socket);
        response.writeHead(request.method === 'POST' ? 413 : 200, { 'content-length': 0 }).end();
      }),
    );
    const { port } = kept(await stage(upstream.port, { connections: 1 }));
    const wire = new Wire(port).send('POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nhalf');
    await wire.until(/413/);
    wire.send('other');
    wire.send('GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n');
    expect(await wire.end()).toMatch(/413[^]*HTTP\/1\.1 200/);
    expect(sockets.size).toBe(2);
  });

  test('one that the forge keeps for a second only is not kept here', async () => {
    const sockets = new Set<Socket>();
    const upstream = kept(
      await forge((request, response) => {
        sockets.add(request.socket);
        response.writeHead(200, { 'keep-alive': 'timeout=1', connection: 'keep-alive' }).end('ok');
      }),
    );
    const { url } = kept(await stage(upstream.port));
    for (let count = 0; count < 2; count += 1) expect(await (await fetch(url)).text()).toBe('ok');
    expect(sockets.size).toBe(2);
  });

  test('whoever leaves after the forge has said all cuts nobody who has the connection by then', async () => {
    const aborted: Error[] = [];
    const control = { headers: [], abort: (reason: Error) => aborted.push(reason), pause() {}, resume() {} };
    const dispatch = (_call: Call, hearer: Hearer): void => {
      hearer.onRequestStart(control);
      hearer.onResponseStart(control, 200, undefined, 'OK');
      // More than goes out in one turn.
      hearer.onResponseData(control, Buffer.alloc(32 * 1024 * 1024));
      hearer.onResponseEnd();
    };
    const ends = { forge: { dispatch }, storage: new Agent() };
    const over = Promise.withResolvers<string>();
    const server = createServer((request, response) => {
      const exchange = new Exchange(ends, { trustedProxies: new BlockList(), log: silentLog }, request, response, {});
      response.destroy();
      exchange.done.then(({ outcome }) => over.resolve(outcome), over.reject);
    });
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
    new Wire((server.address() as AddressInfo).port).send('GET / HTTP/1.1\r\nHost: h\r\n\r\n');
    expect(await over.promise).toBe('cut');
    expect(aborted).toEqual([]);
    server.close();
  });

  test('A22 a header or target that would be two lines on the wire goes nowhere', () => {
    const call = { method: 'GET', target: '/a?b', headers: ['host', 'h', 'x', 'a\tb'], body: null };
    expect(headOf(call, false)).toBe('GET /a?b HTTP/1.1\r\nhost: h\r\nx: a\tb\r\n\r\n');
    for (const bad of ['a\r\nb', 'a\nb', 'a\0', 'a\u010ab', 'a\u{1f600}']) {
      expect(() => headOf({ ...call, headers: ['x', bad] }, false), JSON.stringify(bad)).toThrow();
      expect(() => headOf({ ...call, target: `/${bad}` }, false), JSON.stringify(bad)).toThrow();
    }
    expect(() => headOf({ ...call, target: '/a b' }, false)).toThrow();
  });
});
