import type { IncomingMessage, ServerResponse } from 'node:http';
import type { BlockList } from 'node:net';
import { Readable } from 'node:stream';
import type { Agent, Dispatcher, Pool } from 'undici';
import { JobpassError } from '../../base/errors.ts';
import type { Log } from '../../base/log.ts';
import { audienceOf, sayNo } from './answers.ts';
import type { AnswerChange, ForwardChange, Forwarded } from './forwarder.ts';
import { clientHeaders, storageHeaders, storedHeaders, upstreamHeaders } from './headers.ts';

/** What a client hears where no answer came. */
export function noAnswer(cause?: unknown): JobpassError {
  return new JobpassError('upstream_failed', { message: 'The forge does not answer.', retryAfterSeconds: 5 }, cause);
}

/** Tells the client, and the log, that the forge failed. */
export function sayFailed(log: Log, request: IncomingMessage, response: ServerResponse, error: JobpassError): void {
  const cause = error.cause ?? error;
  log.warn('gateway.upstream_failed', { why: cause instanceof Error ? cause.message : 'unknown' });
  // What was not read would otherwise be taken for the next request.
  if (!request.complete) response.shouldKeepAlive = false;
  sayNo(response, audienceOf((request.url ?? '').split('?', 1)[0] ?? ''), error);
}

/** Where answers come from. */
export interface Ends {
  readonly forge: Pool;
  readonly storage: Agent;
}

/** An answer that is read whole before it goes on. */
interface Collected {
  readonly change: Extract<AnswerChange, { kind: 'body' }>;
  readonly headers: readonly string[];
  readonly parts: Buffer[];
  size: number;
}

/** What an exchange knows of its gateway. */
export interface ExchangeOptions {
  readonly trustedProxies: BlockList;
  readonly log: Log;
}

/** One request and its answer, by the shortest way through undici: it hears the parser itself, without a stream in between. */
export class Exchange implements Dispatcher.DispatchHandler {
  readonly done: Promise<Forwarded>;
  readonly #options: ExchangeOptions;
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #change: ForwardChange;
  readonly #settle: (forwarded: Forwarded) => void;
  readonly #ends: Ends;
  #controller: Dispatcher.DispatchController | undefined;
  #status: number | null = null;
  #collected: Collected | undefined;
  /** What the forge sent us away to; `asked` once it was asked there. */
  #elsewhere: { readonly url: URL; asked: boolean } | undefined;
  #over = false;
  /** Nobody hears the answer any more; it is awaited all the same (`finish`). */
  #deaf = false;
  /** The forge has said all. */
  #told = false;
  /** May be asked once more. */
  #again = false;

  constructor(ends: Ends, options: ExchangeOptions, request: IncomingMessage, response: ServerResponse, change: ForwardChange) {
    this.#ends = ends;
    this.#options = options;
    this.#request = request;
    this.#response = response;
    this.#change = change;
    const { promise, resolve } = Promise.withResolvers<Forwarded>();
    this.done = promise;
    this.#settle = resolve;
    change.signal?.addEventListener('abort', this.#cut, { once: true });
    response.on('close', this.#closed);
    if (change.signal?.aborted === true || response.destroyed) {
      this.#finish('cut');
      this.#cut();
      return;
    }
    this.#again = !hasBody(request) && change.body === undefined && /^(?:GET|HEAD|OPTIONS)$/.test(request.method ?? '');
    this.#dispatch();
  }

  #dispatch(): void {
    const { body, credential, target, answer } = this.#change;
    const lengthBytes = Buffer.isBuffer(body) ? body.length : body?.length === 'other' ? 'unknown' : undefined;
    const headers = upstreamHeaders(this.#request, {
      trustedProxies: this.#options.trustedProxies,
      ...(credential === undefined ? {} : { credential }),
      ...(lengthBytes === undefined ? {} : { lengthBytes }),
      ...(answer === undefined ? {} : { identity: true }),
    });
    this.#ends.forge.dispatch(
      { method: methodOf(this.#request), path: target ?? this.#request.url ?? '/', headers, body: this.#sent() },
      this,
    );
  }

  #sent(): Buffer | Readable | null {
    const { body } = this.#change;
    if (Buffer.isBuffer(body)) return body;
    if (body === undefined && !hasBody(this.#request)) return null;
    const stream = body === undefined ? lent(this.#request) : Readable.from(body.stream, { objectMode: false });
    return stream.once('error', (error) => this.#fail(error));
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#over) controller.abort(new Error('the client is gone'));
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number, _headers: unknown, statusMessage?: string): void {
    // 103 and the like are the forge's own.
    if (status < 200 || this.#over) return;
    const raw = rawOf(controller.rawHeaders);
    if (this.#elsewhere !== undefined) return this.#answerStored(status, raw);
    this.#status = status;
    const change = this.#change.answer?.({ status, headers: raw });
    if (this.#deaf && change?.kind !== 'body') return;
    if (change?.kind === 'body') {
      this.#collected = { change, headers: raw, parts: [], size: 0 };
      return;
    }
    if (change?.kind === 'follow') {
      this.#elsewhere = { url: new URL(change.url), asked: false };
      this.#again = false;
      this.#status = null;
      return;
    }
    this.#begin(status, latin1(statusMessage), clientHeaders(change?.headers ?? raw));
  }

  #begin(status: number, message: string, headers: string[]): void {
    this.#response.writeHead(status, message, headers);
    // Out at once, as what follows may take its time; and as Latin-1, which flushHeaders() does not keep.
    this.#response.write('', 'latin1');
  }

  #answerStored(status: number, raw: readonly string[]): void {
    // What else it says is about signatures and buckets.
    if (![200, 206, 304, 416].includes(status)) throw new JobpassError('upstream_failed', `The forge's storage answered ${status}.`);
    this.#status = status;
    this.#begin(status, '', storedHeaders(raw));
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#over || this.#elsewhere?.asked === false || (this.#deaf && this.#collected === undefined)) return;
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
    if (this.#elsewhere?.asked === false) {
      this.#elsewhere.asked = true;
      const { origin, pathname, search } = this.#elsewhere.url;
      const headers = storageHeaders(this.#request);
      this.#ends.storage.dispatch({ origin, path: pathname + search, method: methodOf(this.#request), headers }, this);
      return;
    }
    this.#told = this.#collected === undefined;
    if (this.#collected === undefined) {
      if (this.#deaf) this.#finish('cut');
      else this.#response.end();
      return;
    }
    const { change, headers, parts } = this.#collected;
    change
      .rewrite(Buffer.concat(parts))
      .then((answer) => this.#answerOther(answer, headers))
      .catch((error: unknown) => this.#fail(error));
  }

  #answerOther(answer: Awaited<ReturnType<Collected['change']['rewrite']>>, headers: readonly string[]): true {
    this.#told = true;
    if (this.#deaf) this.#finish('cut');
    if (this.#over) return true;
    this.#status = answer.status ?? this.#status;
    const kept = clientHeaders(answer.headers ?? headers, true);
    this.#response.writeHead(this.#status ?? 200, [...kept, 'content-length', String(answer.body.length)]);
    this.#response.end(answer.body);
    return true;
  }

  onResponseError(_controller: Dispatcher.DispatchController | null, error: Error): void {
    // A kept connection may be closed by the other side while a request is on its way: one that changes nothing is asked again.
    if (this.#again && this.#status === null && !this.#over && connectionLost(error)) {
      this.#again = false;
      this.#dispatch();
    } else this.#fail(error);
  }

  /** The end of the pass, in the middle of everything (R2). */
  readonly #cut = (): void => {
    if (!this.#awaited()) {
      this.#finish('cut');
      this.#controller?.abort(new Error('cut'));
    }
    this.#request.destroy();
    this.#response.destroy();
  };

  /** True where the forge is still to be heard, though nobody else hears it. */
  #awaited(): boolean {
    this.#deaf = this.#change.finish === true && !this.#told && !this.#over;
    return this.#deaf;
  }

  readonly #closed = (): void => {
    if (this.#response.writableFinished) return this.#finish('done');
    if (this.#awaited()) return;
    this.#finish('cut');
    this.#controller?.abort(new Error('the client is gone'));
  };

  #fail(error: unknown): void {
    if (this.#over) return;
    if (this.#response.destroyed || this.#response.socket?.destroyed !== false) return this.#finish('cut');
    const known = error instanceof JobpassError ? error : noAnswer(error);
    this.#finish('upstream_failed');
    this.#controller?.abort(known);
    sayFailed(this.#options.log, this.#request, this.#response, known);
  }

  #finish(outcome: Forwarded['outcome']): void {
    if (this.#over) return;
    this.#over = true;
    // What nobody wants of a body is dropped, so that the next request on the connection is heard.
    if (!this.#request.complete) this.#request.resume();
    this.#change.signal?.removeEventListener('abort', this.#cut);
    this.#settle({ outcome, status: this.#status });
  }
}

function methodOf(request: IncomingMessage): Dispatcher.HttpMethod {
  return request.method ?? 'GET';
}

function hasBody(request: IncomingMessage): boolean {
  return request.headers['content-length'] !== undefined || request.headers['transfer-encoding'] !== undefined;
}

/** A request's body, for undici. Never the request itself: that is destroyed when the forge fails, and with it the connection that still has to say so. */
function lent(request: IncomingMessage): Readable {
  const body = new Readable({ read: () => void request.resume() });
  request.on('data', (chunk: Buffer) => {
    if (!body.destroyed && !body.push(chunk)) request.pause();
  });
  request.on('end', () => body.push(null));
  request.on('error', (error) => body.destroy(error));
  body.once('close', () => request.resume());
  return body;
}

function connectionLost(error: Error): boolean {
  return 'code' in error && /^(?:UND_ERR_SOCKET|ECONNRESET|EPIPE)$/.test(String(error.code));
}

/** The bytes of a reason phrase as they came: undici reads them as UTF-8, Node.js writes them as Latin-1. */
function latin1(text: string | undefined): string {
  return Buffer.from(text ?? '').toString('latin1');
}

function rawOf(raw: unknown): readonly string[] {
  return Array.isArray(raw) ? raw.map((part) => (Buffer.isBuffer(part) ? part.toString('latin1') : String(part))) : [];
}
