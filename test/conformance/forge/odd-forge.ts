import { createServer, type IncomingMessage, request as ask, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

const pieceBytes = 97;
const [largeBytes, largePieceBytes] = [100_000, 65_536];
const lastingAnswers = 5;

/**
 * The same forge, with answers as nobody is used to them, and all of them legal: in small chunks without a length, behind early hints, with fields, headers and
 * cookies that nobody knows, without totals, on connections that end all the time.
 */
export async function oddForge(forge: string): Promise<{ readonly url: string; close(): void }> {
  let answers = 0;
  const server = createServer((request, response) => {
    const { hostname, port } = new URL(forge);
    const up = ask({ hostname, port, path: request.url, method: request.method, headers: request.rawHeaders, agent: false });
    up.on('error', () => response.destroy());
    response.on('close', () => up.destroy());
    up.on('response', (answer) => {
      answers += 1;
      void tell(request, response, answer, answers % lastingAnswers === 0).catch(() => response.destroy());
    });
    request.pipe(up);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
}

async function tell(request: IncomingMessage, response: ServerResponse, answer: IncomingMessage, last: boolean): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of answer) chunks.push(chunk as Buffer);
  const whole = Buffer.concat(chunks);
  const json = /\bjson\b/.test(answer.headers['content-type'] ?? '') && (request.url ?? '').startsWith('/api/');
  const body = json && whole.length > 0 ? Buffer.from(JSON.stringify(stranger(JSON.parse(whole.toString())))) : whole;
  response.writeEarlyHints({ link: '</assets/application.css>; rel=preload' });
  const status = answer.statusCode ?? 502;
  const without = request.method === 'HEAD' || status === 204 || status === 304;
  const headers: string[] = [];
  for (let index = 0; index + 1 < answer.rawHeaders.length; index += 2) {
    const [name = '', value = ''] = answer.rawHeaders.slice(index, index + 2);
    const dropped = /^(?:connection|keep-alive|transfer-encoding|x-total|x-total-pages)$/i.test(name);
    if (dropped || (!without && name.toLowerCase() === 'content-length')) continue;
    headers.push(name.toUpperCase(), json && name.toLowerCase() === 'content-type' ? 'application/json; charset=UTF-8' : value);
  }
  headers.push('X-Nobody-Knows', '\u00e4', 'Set-Cookie', '_gitlab_session=odd; HttpOnly', 'Connection', last ? 'close' : 'keep-alive');
  response.writeHead(status, headers);
  const bytes = body.length > largeBytes ? largePieceBytes : pieceBytes;
  if (!without) for (let at = 0; at < body.length; at += bytes) response.write(body.subarray(at, at + bytes));
  response.end();
}

/** With fields of a later version in each object. */
function stranger(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(stranger);
  if (typeof value !== 'object' || value === null) return value;
  const inner = Object.entries(value).map(([name, one]): [string, unknown] => [name, stranger(one)]);
  return { of_a_later_version: null, ...Object.fromEntries(inner), more_of_it: [{ id: -1 }] };
}
