import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { BlockList } from 'node:net';
import { type Duplex, Readable } from 'node:stream';
import { type Dispatcher, Pool } from 'undici';
import { JobpassError } from '../../base/errors.ts';
import type { Log } from '../../base/log.ts';
import { audienceOf, sayNo } from './answers.ts';
import type { AnswerChange, ForwardChange, Forwarded, Forwarder } from './forwarder.ts';
import { clientHeaders, pairs, upstreamHeaders } from './headers.ts';

export interface ForwarderOptions {
  /** Origin of the forge. */
  readonly upstream: string;
  /** PEM of the authority that signed its certificate, where the system does not know it. */
  readonly ca: string | undefined;
  /** Proxies in front of us, whose word about the client's address is believed. */
  readonly trustedProxies: BlockList;
  /** Connections to the forge; long polls hold one each. */
  readonly connections?: number;
  /** How long the forge may take to begin its answer: longer than any long poll. */
  readonly headersTimeoutMs?: number;
  readonly log: Log;
}

/** A pool of kept connections; each request is one dispatch, without a stream object on the way down. */
export function makeForwarder(options: ForwarderOptions): Forwarder {
  const tls = options.ca === undefined ? {} : { connect: { ca: options.ca } };
  const pool = new Pool(options.upstream, {
    connections: options.connections ?? 1024,
    pipelining: 1,
    headersTimeout: options.headersTimeoutMs ?? 120_000,
    // How long a body may pause is between the two ends.
    bodyTimeout: 0,
    keepAliveTimeout: 30_000,
    ...tls,
  });
  return {
    forward: (request, response, change = {}) => new Exchange(pool, options, request, response, change).done,
    upgrade: (request, socket, head) => tunnel(options, request, socket, head),
    close: () => pool.destroy(),
  };
}

/** An answer that is read whole before it goes on. */
interface Collected {
  readonly change: Extract<AnswerChange, { kind: 'body' }>;
  readonly headers: readonly string[];
  readonly parts: Buffer[];
  size: number;
}

/** One request and its answer. */
class Exchange implements Dispatcher.DispatchHandler {
  readonly done: Promise<Forwarded>;
  readonly #options: ForwarderOptions;
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #change: ForwardChange;
  readonly #settle: (forwarded: Forwarded) => void;
  #controller: Dispatcher.DispatchController | undefined;
  #status: number | null = null;
  #collected: Collected | undefined;
  #over = false;

  constructor(pool: Pool, options: ForwarderOptions, request: IncomingMessage, response: ServerResponse, change: ForwardChange) {
    this.#options = options;
    this.#request = request;
    this.#response = response;
    this.#change = change;
    const { promise, resolve } = Promise.withResolvers<Forwarded>();
    this.done = promise;
    this.#settle = resolve;
    change.signal?.addEventListener('abort', this.#cut, { once: true });
    response.on('close', this.#closed);
    if (change.signal?.aborted === true) {
      this.#cut();
      return;
    }
    if (request.headers.expect !== undefined && change.body === undefined) response.writeContinue();
    this.#dispatch(pool);
  }

  #dispatch(pool: Pool): void {
    const { body, credential, target, answer } = this.#change;
    const hasBody = this.#request.headers['content-length'] !== undefined || this.#request.headers['transfer-encoding'] !== undefined;
    const lengthBytes = body === undefined ? undefined : Buffer.isBuffer(body) ? body.length : 'unknown';
    const headers = upstreamHeaders(this.#request, {
      trustedProxies: this.#options.trustedProxies,
      ...(credential === undefined ? {} : { credential }),
      ...(lengthBytes === undefined ? {} : { lengthBytes }),
      ...(answer === undefined ? {} : { identity: true }),
    });
    const sent =
      body === undefined ? (hasBody ? this.#request : null) : Buffer.isBuffer(body) ? body : Readable.from(body, { objectMode: false });
    if (sent instanceof Readable && sent !== this.#request) sent.once('error', (error) => this.#fail(error));
    pool.dispatch({ method: methodOf(this.#request), path: target ?? this.#request.url ?? '/', headers, body: sent }, this);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#over) controller.abort(new Error('the client is gone'));
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number, _headers: unknown, statusMessage?: string): void {
    // 103 and the like are the forge's own.
    if (status < 200 || this.#over) return;
    this.#status = status;
    const raw = rawOf(controller.rawHeaders);
    const change = this.#change.answer?.({ status, headers: raw });
    if (change?.kind === 'body') {
      this.#collected = { change, headers: raw, parts: [], size: 0 };
      return;
    }
    const headers = clientHeaders(change?.headers ?? raw);
    this.#response.writeHead(status, statusMessage, headers);
    this.#response.flushHeaders();
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#over) return;
    if (this.#collected !== undefined) {
      this.#collected.size += chunk.length;
      if (this.#collected.size > this.#collected.change.maxBytes)
        controller.abort(new JobpassError('upstream_failed', "The forge's answer is too large to be carried with a pass."));
      else this.#collected.parts.push(chunk);
      return;
    }
    if (this.#response.write(chunk)) return;
    controller.pause();
    this.#response.once('drain', () => controller.resume());
  }

  onResponseEnd(): void {
    if (this.#over) return;
    if (this.#collected === undefined) {
      this.#response.end();
      return;
    }
    const { change, headers, parts } = this.#collected;
    change
      .rewrite(Buffer.concat(parts))
      .then((answer) => this.#answerOther(answer, headers))
      .catch((error: unknown) => this.#fail(error));
  }

  #answerOther(answer: Awaited<ReturnType<Collected['change']['rewrite']>>, headers: readonly string[]): true {
    if (this.#over) return true;
    this.#status = answer.status ?? this.#status;
    const kept = clientHeaders(answer.headers ?? headers, true);
    this.#response.writeHead(this.#status ?? 200, [...kept, 'content-length', String(answer.body.length)]);
    this.#response.end(answer.body);
    return true;
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#fail(error);
  }

  /** The end of the pass, in the middle of everything (R2). */
  readonly #cut = (): void => {
    this.#finish('cut');
    this.#controller?.abort(new Error('cut'));
    this.#request.destroy();
    this.#response.destroy();
  };

  readonly #closed = (): void => {
    if (this.#response.writableFinished) return this.#finish('done');
    this.#finish('cut');
    this.#controller?.abort(new Error('the client is gone'));
  };

  #fail(error: unknown): void {
    if (this.#over) return;
    const known =
      error instanceof JobpassError
        ? error
        : new JobpassError('upstream_failed', { message: 'The forge does not answer.', retryAfterSeconds: 5 }, error);
    this.#options.log.warn('gateway.upstream_failed', { why: error instanceof Error ? error.message : 'unknown' });
    this.#finish('upstream_failed');
    this.#controller?.abort(known);
    if (!this.#request.complete) this.#response.shouldKeepAlive = false;
    sayNo(this.#response, audienceOf((this.#request.url ?? '').split('?', 1)[0] ?? ''), known);
  }

  #finish(outcome: Forwarded['outcome']): void {
    if (this.#over) return;
    this.#over = true;
    this.#change.signal?.removeEventListener('abort', this.#cut);
    this.#settle({ outcome, status: this.#status });
  }
}

function methodOf(request: IncomingMessage): Dispatcher.HttpMethod {
  return request.method ?? 'GET';
}

function rawOf(raw: unknown): readonly string[] {
  return Array.isArray(raw) ? raw.map((part) => (Buffer.isBuffer(part) ? part.toString('latin1') : String(part))) : [];
}

/** Both ends of a protocol that is no longer HTTP; anything but a 101 ends the connection, so that nothing can hide behind it. */
function tunnel(options: ForwarderOptions, request: IncomingMessage, socket: Duplex, head: Buffer): void {
  const headers = upstreamHeaders(request, { trustedProxies: options.trustedProxies });
  headers.push('connection', 'upgrade', 'upgrade', request.headers.upgrade ?? '');
  const send = options.upstream.startsWith('https:') ? httpsRequest : httpRequest;
  const up = send(new URL(request.url ?? '/', options.upstream), {
    method: request.method,
    headers,
    agent: false,
    ...(options.ca === undefined ? {} : { ca: options.ca }),
  });
  const fail = (): void => void socket.end('HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n');
  socket.on('error', () => up.destroy());
  up.on('error', fail);
  up.on('response', (answer) => {
    socket.write(headOf(answer, ['connection', 'close']));
    answer.pipe(socket);
  });
  up.on('upgrade', (answer, upSocket, upHead) => {
    socket.write(headOf(answer, ['connection', 'upgrade', 'upgrade', answer.headers.upgrade ?? '']));
    upSocket.write(head);
    socket.write(upHead);
    upSocket.pipe(socket).pipe(upSocket);
    upSocket.on('error', () => socket.destroy());
    socket.on('error', () => upSocket.destroy());
    void once(socket, 'close').then(() => upSocket.destroy());
    void once(upSocket, 'close').then(() => socket.destroy());
  });
  up.end();
}

function headOf(answer: IncomingMessage, more: readonly string[]): string {
  const lines = [...pairs([...clientHeaders(answer.rawHeaders), ...more])].map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${answer.statusCode ?? 502} ${answer.statusMessage ?? ''}\r\n${lines.join('')}\r\n`;
}
