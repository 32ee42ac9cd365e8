import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { afterEach, expect, test } from 'vitest';
import { type Log, type LogFields, silentLog } from '../../src/base/log.ts';
import { newPassToken } from '../../src/base/pass-token.ts';
import type { Door, RawContext } from '../../src/doors/door.ts';
import { answerJson, type HttpOptions, type HttpServer, makeHttpServer, mayTakeItsTime } from '../../src/doors/http.ts';
import { chosenPorts } from '../../src/doors/listen.ts';

const closing: HttpServer[] = [];
afterEach(async () => {
  for (const server of closing.splice(0)) await server.close(0);
});

async function serve(handle?: (context: RawContext) => Promise<void>, hosts: readonly string[] = [], more: Partial<HttpOptions> = {}) {
  const lines: LogFields[] = [];
  const contexts: RawContext[] = [];
  const log: Log = { info: (_event, fields = {}) => void lines.push(fields), warn() {}, error() {}, with: () => log };
  const door: Door = {
    kind: 'raw',
    name: 'echo',
    matches: () => true,
    async handle(_request, response, context) {
      contexts.push(context);
      await handle?.(context);
      answerJson(response, 200, {});
    },
  };
  const [host = '127.0.0.1', ...others] = hosts;
  const listen = [{ host, port: 0 }, ...others.map((one) => ({ host: one, port: 0 }))] as const;
  const http = makeHttpServer([door], { listen: [listen[0], ...listen.slice(1)], tls: undefined, allowPlainHttp: false, log, ...more });
  closing.push(http);
  return { http, url: await http.listen(), lines, contexts };
}

test('a port that was chosen is nobody else’s until the server listens there', async () => {
  const host = '127.0.0.1';
  const listen = await chosenPorts([{ host, port: 0 }]);
  const other = createServer().listen(listen[0].port, host);
  expect(await once(other, 'error')).toMatchObject([{ code: 'EADDRINUSE' }]);
  const { url } = await serve(undefined, [], { listen });
  expect(Number(new URL(url).port)).toBe(listen[0].port);
  expect((await fetch(url)).status).toBe(200);
});

test('a sane request id is kept and answered, any other is made anew', async () => {
  const { url, contexts } = await serve();
  const ask = async (given: string) => (await fetch(url, { headers: { 'x-request-id': given } })).headers.get('x-request-id');
  expect(await ask('abcdef-123456')).toBe('abcdef-123456');
  for (const given of ['short', 'a b c d e f g', 'a'.repeat(65)]) expect(await ask(given)).toMatch(/^[0-9a-f]{32}$/);
  expect(contexts[0]?.requestId).toBe('abcdef-123456');
});

test('R6 A26 the log of a request holds its path without query, and never a pass, however it is written', async () => {
  const { http, url, lines, contexts } = await serve();
  const pass = newPassToken('full').reveal();
  expect((await fetch(`${url}/a/b?private_token=glpat-secret`)).status).toBe(200);
  for (const target of [`/x/${pass}`, `/x/${pass.replace('_', '%5F')}`, `/x?a=${pass}`])
    expect((await fetch(url + target)).status).toBe(400);
  await http.close(1000);
  expect(lines.map((line) => [line['path'], line['status']])).toEqual([
    ['/a/b', 200],
    ['[holds a pass]', 400],
    ['[holds a pass]', 400],
    ['[holds a pass]', 400],
  ]);
  expect(contexts).toHaveLength(1);
  expect(JSON.stringify(lines)).not.toMatch(new RegExp(`${pass.slice(5)}|glpat-secret`));
});

test('R16 A23 loopback is secure, and forwarding headers change nothing', async () => {
  const { url, contexts } = await serve();
  await fetch(url, { headers: { 'x-forwarded-for': '203.0.113.9', 'x-forwarded-proto': 'http', forwarded: 'proto=http' } });
  expect(contexts[0]?.secure).toBe(true);
});

test('a connection on which nothing is asked any more is closed; one whose answer takes its time, and a tunnel, are not', async () => {
  const gate = Promise.withResolvers<void>();
  const tunnelled = Promise.withResolvers<Duplex>();
  const { url } = await serve(({ path }) => (path === '/slow' ? gate.promise : Promise.resolve()), [], {
    idleMs: 20,
    front: { take: () => false, wantsUpgrade: () => true, upgrade: (_request, socket) => tunnelled.resolve(socket) },
  });
  const ask = async (path: string, more = ''): Promise<Socket> => {
    const socket = connect(Number(new URL(url).port), '127.0.0.1').on('error', () => {});
    await once(socket, 'connect');
    socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n${more}\r\n`);
    return socket;
  };
  const [slow, tunnel] = [await ask('/slow'), await ask('/tunnel', 'Connection: upgrade\r\nUpgrade: websocket\r\n')];
  const other = await tunnelled.promise;
  // Three that come and go, one after the other, are three times the patience.
  for (let turn = 0; turn < 3; turn += 1) {
    const idle = await ask('/');
    await Promise.all([once(idle, 'data'), once(idle, 'close')]);
  }
  other.end('still here');
  gate.resolve();
  expect((await Promise.all([once(slow, 'data'), once(tunnel, 'data')])).map(([data]) => String(data).slice(0, 15))).toEqual([
    'HTTP/1.1 200 OK',
    'still here',
  ]);
  await once(slow, 'close');
});

test('a server that closes lets the request in flight finish', async () => {
  const gate = Promise.withResolvers<void>();
  const entered = Promise.withResolvers<void>();
  const { http, url } = await serve(() => {
    entered.resolve();
    return gate.promise;
  });
  const reply = fetch(url);
  await entered.promise;
  const closed = http.close(10_000);
  expect(http.draining.aborted).toBe(true);
  gate.resolve();
  expect((await reply).status).toBe(200);
  await closed;
});

test('several addresses share one server: its doors, its counts, its end', async () => {
  const { http, url } = await serve(undefined, ['127.0.0.1', '127.0.0.2']);
  const other = url.replace('127.0.0.1', '127.0.0.2');
  expect([(await fetch(url)).status, (await fetch(other)).status]).toEqual([200, 200]);
  await http.close(1000);
  await expect(fetch(other)).rejects.toThrow();
});

test('A25 R13 a body that does not arrive is given up at a door that reads it itself, too, unless that lets it take its time', async () => {
  const read = async (request: AsyncIterable<Buffer>): Promise<number> => {
    let bytes = 0;
    for await (const chunk of request) bytes += chunk.length;
    return bytes;
  };
  const raw: Door = {
    kind: 'raw',
    name: 'git',
    matches: (path) => path.startsWith('/raw/'),
    async handle(request, response, { path }) {
      if (path === '/raw/patient') mayTakeItsTime(request, 60_000);
      const bytes = await read(request).catch(() => undefined);
      if (bytes === undefined) response.destroy();
      else response.end(String(bytes));
    },
  };
  const listen = [{ host: '127.0.0.1', port: 0 }] as const;
  const http = makeHttpServer([raw], { listen, tls: undefined, allowPlainHttp: false, log: silentLog, bodyTimeoutMs: 30 });
  closing.push(http);
  const { port } = new URL(await http.listen());
  const ask = (path: string) => {
    const socket = connect(Number(port), '127.0.0.1');
    const heard: string[] = [];
    socket.on('data', (chunk) => heard.push(String(chunk)));
    socket.write(`POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{"a"`);
    return { socket, heard };
  };
  const patient = ask('/raw/patient');
  const silent = ask('/raw/any');
  await once(silent.socket, 'close');
  expect(silent.heard.join('')).toMatch(/^HTTP\/1\.1 408 /);
  patient.socket.write('123456');
  await once(patient.socket, 'data');
  expect(patient.heard.join('')).toMatch(/^HTTP\/1\.1 200 [^]*10$/);
  patient.socket.destroy();
});

test('A25 a body that does not arrive is given up, and its connection closed', async () => {
  const routes: Door = {
    kind: 'routes',
    name: 'api',
    register: (app) => void app.post('/api/x', () => ({ fine: true })),
  };
  const listen = [{ host: '127.0.0.1', port: 0 }] as const;
  const http = makeHttpServer([routes], { listen, tls: undefined, allowPlainHttp: false, log: silentLog, bodyTimeoutMs: 30 });
  closing.push(http);
  const { port } = new URL(await http.listen());
  const socket = connect(Number(port), '127.0.0.1');
  let text = '';
  socket.on('data', (chunk) => (text += String(chunk)));
  socket.write('POST /api/x HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{"a"');
  await once(socket, 'close');
  expect(text).toMatch(/^HTTP\/1\.1 408 /);
  const whole = await fetch(`http://127.0.0.1:${port}/api/x`, {
    method: 'POST',
    body: '{}',
    headers: { 'content-type': 'application/json' },
  });
  expect(await whole.json()).toEqual({ fine: true });
});
