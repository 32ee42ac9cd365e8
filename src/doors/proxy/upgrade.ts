import { type IncomingMessage, request as httpRequest, type ClientRequest, type ServerResponse } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { type BlockList, Socket } from 'node:net';
import { type Duplex, finished } from 'node:stream';
import type { Forwarded } from './forwarder.ts';
import { dropRest } from '../unread.ts';
import { clientHeaders, pairs, requestProblem, upstreamHeaders } from './headers.ts';

/** Where requests go that have a connection of their own. */
export interface OwnConnectionOptions {
  readonly upstream: string;
  readonly ca: string | undefined;
  readonly trustedProxies: BlockList;
  /** How long the forge may be silent: before its answer, which a push's hooks can hold up for long, or within it. GitLab's own nginx waits an hour. */
  readonly silenceMs?: number;
}

export const defaultSilenceMs = 3_600_000;
/** How often a silent tunnel's ends are asked whether they are still there. */
const probeMs = 60_000;

/** True for a request that becomes another protocol: it has no body, and is not the `h2c` that curl offers with any request (RFC 9113 §3.1). */
export function wantsTunnel(request: IncomingMessage): boolean {
  const { upgrade, 'content-length': length, 'transfer-encoding': coding } = request.headers;
  return upgrade !== undefined && !/^h2c?\b/i.test(upgrade) && coding === undefined && (length === undefined || length === '0');
}

/** Both ends of a protocol that is no longer HTTP; anything but a 101 ends the connection, so that nothing can hide behind it. */
export function tunnel(options: OwnConnectionOptions, request: IncomingMessage, socket: Duplex, head: Buffer): void {
  const refuse = (line: string): void => void socket.end(`HTTP/1.1 ${line}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`);
  socket.on('error', () => socket.destroy());
  // No half of it stays open, whatever was said: what was sent is flushed, then it is gone. Nothing else bounds it.
  socket.on('finish', () => socket.destroy());
  if (requestProblem(request) !== undefined) return refuse('400 Bad Request');
  const up = connect(options, request, ['connection', 'upgrade', 'upgrade', request.headers.upgrade ?? '']);
  socket.on('close', () => up.destroy());
  up.on('error', () => (socket.writable ? refuse('502 Bad Gateway') : socket.destroy()));
  up.on('response', (answer) => {
    socket.write(headOf(answer, ['connection', 'close']));
    answer.on('error', () => socket.destroy());
    answer.pipe(socket);
  });
  up.on('upgrade', (answer, upSocket, upHead) => {
    up.removeAllListeners('error');
    up.on('error', () => {});
    if (upSocket instanceof Socket) upSocket.setTimeout(0);
    socket.write(headOf(answer, ['connection', 'upgrade', 'upgrade', answer.headers.upgrade ?? '']));
    upSocket.write(head);
    socket.write(upHead);
    upSocket.on('finish', () => upSocket.destroy());
    for (const [one, other] of [
      [socket, upSocket],
      [upSocket, socket],
    ] as const) {
      if (one instanceof Socket) one.setKeepAlive(true, probeMs);
      one.on('error', () => other.destroy());
      // Who has said all is gone before the other has taken it: what is left goes out, but is not kept for ever.
      one.on('close', () => {
        if (!one.readableEnded) return other.destroy();
        const late = setTimeout(() => other.destroy(), options.silenceMs ?? defaultSilenceMs).unref();
        other.once('close', () => clearTimeout(late));
      });
    }
    upSocket.pipe(socket).pipe(upSocket);
  });
  up.end();
}

/** A request whose client waits to hear whether its body is wanted: the forge says so, not we (RFC 9110 §10.1.1). */
export function forwardExpecting(options: OwnConnectionOptions, request: IncomingMessage, response: ServerResponse): Promise<Forwarded> {
  const { promise, resolve } = Promise.withResolvers<Forwarded>();
  let status: number | null = null;
  let asked = false;
  // A body that nobody asked for mostly does not come, and what comes instead could be taken for it: then the connection is spent.
  const isSpent = (): boolean => !request.complete && !asked && !request.readableDidRead;
  const up = connect(options, request, ['expect', '100-continue', ...framing(request)]);
  const fail = (): void => {
    if (request.socket.destroyed) return resolve({ outcome: 'cut', status });
    if (isSpent() && !response.headersSent) response.setHeader('connection', 'close');
    resolve({ outcome: 'upstream_failed', status });
  };
  up.on('error', fail);
  up.on('continue', () => {
    asked = true;
    response.writeContinue();
  });
  up.on('response', (answer) => {
    status = answer.statusCode ?? 502;
    if (isSpent()) response.shouldKeepAlive = false;
    response.writeHead(status, answer.statusMessage ?? '', clientHeaders(answer.rawHeaders));
    answer.pipe(response);
    answer.on('error', () => response.destroy());
  });
  finished(response, (error) => {
    resolve({ outcome: error ? 'cut' : 'done', status });
    // Some clients hear an answer only once they have sent all (`Exchange`).
    if (!request.complete) dropRest(request);
    up.destroy();
  });
  up.flushHeaders();
  // Nothing flows until the client hears the 100, or is out of patience.
  request.pipe(up);
  return promise;
}

function connect(options: OwnConnectionOptions, request: IncomingMessage, more: readonly string[]): ClientRequest {
  const { protocol, hostname, port } = new URL(options.upstream);
  const send = protocol === 'https:' ? httpsRequest : httpRequest;
  const up = send({
    timeout: options.silenceMs ?? defaultSilenceMs,
    // The target as it came: read as a URL, `//host/` would be another server (A21).
    hostname: hostname.replace(/^\[|\]$/g, ''),
    port,
    path: request.url,
    method: request.method,
    headers: [...upstreamHeaders(request, { trustedProxies: options.trustedProxies }), ...more],
    setHost: false,
    agent: false,
    ...(options.ca === undefined ? {} : { ca: options.ca }),
  });
  return up.on('timeout', () => up.destroy(new Error('the forge is silent')));
}

/** How the body is delimited on the way up. */
function framing(request: IncomingMessage): string[] {
  return request.headers['transfer-encoding'] === undefined ? [] : ['transfer-encoding', 'chunked'];
}

function headOf(answer: IncomingMessage, more: readonly string[]): string {
  const lines = [...pairs([...clientHeaders(answer.rawHeaders), ...more])].map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${answer.statusCode ?? 502} ${answer.statusMessage ?? ''}\r\n${lines.join('')}\r\n`;
}
