import { randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Server as NetServer, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';
import Fastify, { type FastifyInstance } from 'fastify';
import { JobpassError } from '../base/errors.ts';
import { limits } from '../base/limits.ts';
import type { Log } from '../base/log.ts';
import { passInUrl, targetHoldsPass } from './credential.ts';
import type { Door } from './door.ts';
import { IdleConnections } from './idle.ts';
import { pathProblem } from './paths.ts';
import { PlainConnection } from './plain/connection.ts';
import type { PlainRequest } from './plain/request.ts';
import type { PlainResponse } from './plain/response.ts';

export interface Listen {
  readonly host: string;
  /** 0 = any free one; after the first, the first's. */
  readonly port: number;
  /** Has the port already, and hands it over. */
  readonly held?: NetServer;
}

export interface HttpOptions {
  readonly listen: readonly [Listen, ...Listen[]];
  /** PEM texts; undefined = plain HTTP. */
  readonly tls: { readonly cert: string; readonly key: string } | undefined;
  /** Passes travel over plain HTTP beyond loopback too (R16). */
  readonly allowPlainHttp: boolean;
  readonly log: Log;
  /** How long the body of an API request may take; pushes, uploads and polls have their own bounds. 60 s where nothing is said. */
  readonly bodyTimeoutMs?: number;
  /** How long a connection is kept on which nothing is asked; 65 s where nothing is said. */
  readonly idleMs?: number;
  /** How long a client may be waited for that neither sends what it began to send nor takes what it asked for; ten minutes where nothing is said. */
  readonly silenceMs?: number;
  /** Sees each request first, as it came (a gateway's). */
  readonly front?: Front;
  /** Counts for metrics. */
  readonly onRequest?: (door: string, status: number, seconds: number) => void;
}

/** What takes requests before any check or header of ours: they belong to somebody else. */
export interface Front {
  /** @returns false = it is for the doors */
  take(request: IncomingMessage, response: ServerResponse, facts: RequestFacts & { readonly path: string }): boolean;
  /** False for a request that only offers another protocol; it is taken like any other. */
  readonly wantsUpgrade: (request: IncomingMessage) => boolean;
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void;
  /** For requests of which nothing has to be found out; where there is none, all are read by Node.js. */
  readonly plain?: {
    wants(request: PlainRequest, path: string): boolean;
    take(request: PlainRequest, response: PlainResponse, facts: { readonly requestId: string; readonly path: string }): void;
  };
}

export interface HttpServer {
  /** @returns `http://host:port` as it can be reached from this machine */
  listen(): Promise<string>;
  /** Takes no more connections, ends long polls by `draining`, waits for requests in flight at most `graceMs`, then cuts. */
  close(graceMs: number): Promise<void>;
  readonly draining: AbortSignal;
}

/** What the server knows of a request beside the request; for Fastify handlers. */
export interface RequestFacts {
  readonly requestId: string;
  readonly secure: boolean;
}
const facts = new WeakMap<IncomingMessage, RequestFacts>();

/** @throws internal for a request that did not come through our server */
export function factsOf(request: IncomingMessage): RequestFacts {
  const known = facts.get(request);
  if (known === undefined) throw new JobpassError('internal');
  return known;
}

/** One port for every door: checks that hold for all of them, then raw doors, then the routes. */
export function makeHttpServer(doors: readonly Door[], options: HttpOptions): HttpServer {
  const drain = new AbortController();
  const raw = doors.filter((door) => door.kind === 'raw');
  const sockets = new Set<Socket>();
  const unused = new IdleConnections(options.idleMs ?? defaultIdleMs, options.silenceMs ?? defaultSilenceMs);
  const others: Server[] = [];
  let inFlight = 0;
  let idle: (() => void) | undefined;

  const app = Fastify({
    serverFactory: (handler) => {
      // One server for each address, all with the same requests; the framework knows the first only.
      const [first, ...rest] = options.listen.map(() => {
        const server = makeNodeServer(options);
        if (options.front?.plain !== undefined) readPlain(server, options.tls !== undefined, unused, takePlain);
        server.on('request', (request: IncomingMessage, response: ServerResponse) => take(request, response, handler));
        const { front } = options;
        if (front !== undefined) {
          // Whether the client may go on is for who is behind us to say.
          server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => take(request, response, handler));
          server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
            unused.leave(request.socket);
            front.upgrade(request, socket, head);
          });
        }
        server.on('connection', (socket: Socket) => {
          sockets.add(socket);
          socket.on('close', () => sockets.delete(socket));
        });
        return server;
      });
      if (first === undefined) throw new JobpassError('internal');
      others.push(...rest);
      return first;
    },
    bodyLimit: limits.jsonBodyBytes,
    routerOptions: { maxParamLength: limits.urlBytes, ignoreTrailingSlash: false },
    exposeHeadRoutes: true,
    logger: false,
    return503OnClosing: false,
  });
  for (const door of doors) if (door.kind === 'routes') door.register(app);

  /** From its beginning to its end, in the log and in the figures. @param path what the log may hold of it: a token in a query must not reach it */
  function count(
    request: IncomingMessage | PlainRequest,
    response: ServerResponse | PlainResponse,
    requestId: string,
    path: string,
    door: string,
  ): void {
    const started = performance.now();
    const { method, socket } = request;
    unused.begin(socket, request);
    inFlight += 1;
    response.on('close', () => {
      unused.end(socket);
      inFlight -= 1;
      const seconds = (performance.now() - started) / 1000;
      const status = response.statusCode;
      options.log.info('http.request', {
        requestId,
        method: method ?? '',
        path: path.slice(0, 500),
        status,
        ms: Math.round(seconds * 1000),
      });
      options.onRequest?.(door, status, seconds);
      if (inFlight === 0) idle?.();
    });
  }

  function takePlain(request: PlainRequest, response: PlainResponse): boolean {
    const { plain } = options.front ?? {};
    const [path] = splitTarget(request.url);
    if (plain === undefined || drain.signal.aborted || targetHoldsPass(request.url) || !plain.wants(request, path)) return false;
    const requestId = requestIdOf(request.rawHeaders);
    count(request, response, requestId, path, path.startsWith('/api/') ? 'api' : 'other');
    plain.take(request, response, { requestId, path });
    return true;
  }

  function take(
    request: IncomingMessage,
    response: ServerResponse,
    routes: (request: IncomingMessage, response: ServerResponse) => void,
  ): void {
    const requestId = requestIdOf(request.rawHeaders);
    const [path, queryText] = splitTarget(request.url ?? '');
    const secure = isSecure(request.socket, options.allowPlainHttp);
    const leaking = targetHoldsPass(request.url ?? '');
    const door = raw.find((one) => one.matches(path));
    count(request, response, requestId, leaking ? '[holds a pass]' : path, door?.name ?? (path.startsWith('/api/') ? 'api' : 'other'));
    if (!leaking && !drain.signal.aborted && options.front?.take(request, response, { requestId, secure, path }) === true) return;
    if (request.headers.expect !== undefined && options.front !== undefined) response.writeContinue();
    response.setHeader('x-request-id', requestId);
    response.setHeader('x-content-type-options', 'nosniff');
    // A cache between may keep what a PRIVATE-TOKEN fetched, as it knows `Authorization` only (RFC 9111 §3.5).
    response.setHeader('cache-control', 'no-store');
    if (leaking) return answerJson(response, 400, { message: `400 Bad request - ${passInUrl}` });
    const problem = pathProblem(path) ?? overrideProblem(request);
    if (problem !== undefined) return answerJson(response, 400, { error: problem });
    if (drain.signal.aborted) {
      response.setHeader('connection', 'close');
      response.setHeader('retry-after', '5');
      return answerJson(response, 503, { message: '503 Service Unavailable: the server is shutting down' });
    }
    facts.set(request, { requestId, secure });
    // Also where nobody has said yet who asks: a stranger's body that never ends would hold a connection, and a git that waits for it.
    if (door?.boundsBodies !== true) boundBody(request, response, options.bodyTimeoutMs ?? limits.requestTimeoutMs);
    if (door === undefined) return routes(request, response);
    door.handle(request, response, { requestId, secure, path, query: new URLSearchParams(queryText) }).catch((error: unknown) => {
      options.log.error('http.failed', { requestId, door: door.name }, error);
      if (response.headersSent) response.destroy();
      else answerJson(response, 500, { message: '500 Internal Server Error' });
    });
  }

  return {
    draining: drain.signal,
    async listen() {
      const [first, ...rest] = options.listen;
      await (app satisfies FastifyInstance).ready();
      await listening(app.server, first, 0);
      const { port } = app.server.address() as AddressInfo;
      await Promise.all(others.map((server, index) => listening(server, rest[index] ?? first, port)));
      return `${options.tls === undefined ? 'http' : 'https'}://${reachableHost(first.host)}:${port}`;
    },
    async close(graceMs) {
      drain.abort();
      const servers = [app.server, ...others];
      const closed = Promise.all(servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve()))));
      for (const server of servers) server.closeIdleConnections();
      unused.closeIdle();
      if (inFlight > 0) {
        const timer = setTimeout(() => idle?.(), graceMs).unref();
        await new Promise<void>((resolve) => (idle = resolve));
        clearTimeout(timer);
      }
      for (const socket of sockets) socket.destroy();
      await closed;
      await app.close();
    },
  };
}

/** Longer than a load balancer's own (60 s), so that it does not send what is just being closed. */
const defaultIdleMs = 65_000;
/** git packs what it pushes behind the first bytes of a body, which takes minutes where there is much of it. */
const defaultSilenceMs = 600_000;

const timers = new WeakMap<IncomingMessage, NodeJS.Timeout>();

/** A body that is streamed into a file has no bound in time, but for one on silence. */
export function mayTakeItsTime(request: IncomingMessage, idleMs: number): void {
  clearTimeout(timers.get(request));
  const { socket } = request;
  const silent = (): void => void request.destroy(new Error('nothing came for too long'));
  socket.setTimeout(idleMs, silent);
  request.once('close', () => {
    socket.off('timeout', silent);
    socket.setTimeout(0);
  });
}

/** A body that trickles in holds a connection, and what it was admitted for, for ever. */
function boundBody(request: IncomingMessage, response: ServerResponse, timeoutMs: number): void {
  if (request.complete) return;
  const timer = setTimeout(() => {
    if (request.complete) return;
    response.setHeader('connection', 'close');
    if (!response.headersSent) answerJson(response, 408, { message: '408 Request Timeout: the body took too long' });
    response.once('finish', () => request.destroy());
  }, timeoutMs);
  timers.set(request, timer);
  const done = (): void => clearTimeout(timer);
  request.once('end', done);
  response.once('close', done);
}

/** How this machine itself reaches an address that it listens on. */
export function reachableHost(host: string): string {
  if (host === '0.0.0.0' || host === '::') return '127.0.0.1';
  return host.includes(':') ? `[${host}]` : host;
}

function listening(server: Server, { host, port, held }: Listen, samePort: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    if (held === undefined) server.listen(port === 0 ? samePort : port, host, () => resolve());
    else server.listen(held, () => resolve()).ref();
  });
}

function makeNodeServer(options: HttpOptions): Server {
  const settings = {
    maxHeaderSize: limits.headerBytes,
    insecureHTTPParser: false,
    requireHostHeader: true,
    // Uploads and pushes take their time; headers do not.
    requestTimeout: 0,
    headersTimeout: limits.requestTimeoutMs,
    // Ours is one timer for all of them.
    keepAliveTimeout: 0,
    // What a gateway only passes on has no use for the events of a body that there is none of; they cost a tenth. Doors wait for them.
    ...(options.front === undefined ? {} : { optimizeEmptyRequests: true, shouldUpgradeCallback: options.front.wantsUpgrade }),
  };
  const server =
    options.tls === undefined
      ? createServer(settings)
      : (createTlsServer({ ...settings, ...options.tls, minVersion: 'TLSv1.2' }) satisfies Server);
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    if (!socket.writable) return;
    const [status, text] = error.code === 'HPE_HEADER_OVERFLOW' ? [431, 'Request Header Fields Too Large'] : [400, 'Bad Request'];
    socket.end(`HTTP/1.1 ${status} ${text}\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n{"error":"${status} ${text}"}`);
  });
  return server;
}

/**
 * Looks at each connection first, and lets Node.js read it from the first request on that is not plain. Its own reader is the one listener that a server has which
 * was just made; called as the server would call it, its bounds on time and size hold from then on.
 */
function readPlain(
  server: Server,
  tls: boolean,
  unused: IdleConnections,
  take: (request: PlainRequest, response: PlainResponse) => boolean,
): void {
  const event = tls ? 'secureConnection' : 'connection';
  const [reader, ...others] = server.listeners(event);
  if (reader === undefined || others.length > 0)
    throw new JobpassError('internal', {}, new Error('the server reads connections in another way'));
  server.removeAllListeners(event);
  server.on(event, (socket: Socket) => {
    // One on which nothing is asked at all is closed like one on which nothing is asked any more.
    unused.begin(socket);
    unused.end(socket);
    new PlainConnection(socket, { take, handOver: () => void Reflect.apply(reader, server, [socket]) }).read();
  });
}

function splitTarget(target: string): [string, string] {
  const at = target.indexOf('?');
  return at < 0 ? [target, ''] : [target.slice(0, at), target.slice(at + 1)];
}

/** Unlike any of another process, and of this one: 16 characters for the process, 16 for the request. */
const processId = randomBytes(8).toString('hex');
let requests = 0;

function newRequestId(): string {
  requests += 1;
  return processId + requests.toString(16).padStart(16, '0');
}

function requestIdOf(rawHeaders: readonly string[]): string {
  const isName = (name: string, index: number): boolean => index % 2 === 0 && name.length === 12 && name.toLowerCase() === 'x-request-id';
  const at = rawHeaders.findIndex(isName);
  // One of several would be a matter of taste.
  const given = at < 0 || rawHeaders.findLastIndex(isName) !== at ? '' : (rawHeaders[at + 1] ?? '');
  return /^[A-Za-z0-9_-]{8,64}$/.test(given) ? given : newRequestId();
}

/** Headers that make a request something else than its request line says (A22, A23). */
function overrideProblem(request: IncomingMessage): string | undefined {
  for (const name of ['x-http-method-override', 'x-http-method', 'x-method-override', 'x-original-url', 'x-rewrite-url']) {
    if (request.headers[name] !== undefined) return `The ${name} header is not supported.`;
  }
  return undefined;
}

/** R16: TLS, or both ends on this machine, or plain HTTP that the operator allowed. Forwarding headers prove nothing (A23). */
function isSecure(socket: Socket, allowPlainHttp: boolean): boolean {
  if (allowPlainHttp || socket instanceof TLSSocket || socket.remoteAddress === undefined)
    return allowPlainHttp || socket instanceof TLSSocket;
  return isLoopback(socket.remoteAddress) && isLoopback(socket.localAddress ?? '');
}

function isLoopback(address: string): boolean {
  return address === '::1' || /^(?:::ffff:)?127\./.test(address);
}

/** A small JSON answer on a raw response. */
export function answerJson(response: ServerResponse, status: number, body: unknown): void {
  const text = JSON.stringify(body);
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) });
  response.end(text);
}
