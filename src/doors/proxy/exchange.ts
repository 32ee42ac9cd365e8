import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http';
import type { BlockList } from 'node:net';
import { Readable } from 'node:stream';
import type { Agent } from 'undici';
import { isJobpassError, JobpassError } from '../../base/errors.ts';
import type { Log } from '../../base/log.ts';
import { dropRest } from '../unread.ts';
import { PlainRequest } from '../plain/request.ts';
import { PlainResponse } from '../plain/response.ts';
import { type Audience, audienceOf, sayNo } from './answers.ts';
import type { AnswerChange, ForwardChange, Forwarded } from './forwarder.ts';
import { clientHeaders, storageHeaders, storedHeaders, upstreamHeaders } from './headers.ts';
import { type Call, ConnectionLost, type Control, type Hearer } from './wire/call.ts';
import type { WirePool } from './wire/pool.ts';
import { keep } from './wire/spare.ts';

/** What a client hears where no answer came. */
export function noAnswer(cause?: unknown): JobpassError {
  return new JobpassError('upstream_failed', { message: 'The forge does not answer.', retryAfterSeconds: 5 }, cause);
}

/** Tells the client, and the log, that the forge failed. */
export function sayFailed(log: Log, request: Asked, response: Told, error: JobpassError): void {
  const cause = error.cause ?? error;
  log.warn('gateway.upstream_failed', { why: cause instanceof Error ? cause.message : 'unknown' });
  sayNo(request, response, audienceAt(request), error);
}

function audienceAt({ url }: Asked): Audience {
  return audienceOf((url ?? '').split('?', 1)[0] ?? '');
}

/** Whoever asks, and where it is told: read and written by Node.js, or recognised as plain and written by ourselves. */
export type Asked = IncomingMessage | PlainRequest;
export type Told = ServerResponse | PlainResponse;

/** Where answers come from. */
export interface Ends {
  readonly forge: Pick<WirePool, 'dispatch'>;
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

/** A head that waits for the beginning of its body: a small answer is written at once. */
interface Pending {
  readonly status: number;
  readonly reason: string;
  readonly headers: string[];
  /** As Latin-1; undefined = nothing of it came yet. */
  body: string | undefined;
}

const togetherBytes = 16 * 1024;

/** One request and its answer, by the shortest way: it hears the parser itself, without a stream in between. */
export class Exchange implements Hearer {
  readonly done: Promise<Forwarded>;
  readonly #options: ExchangeOptions;
  readonly #request: Asked;
  readonly #response: Told;
  readonly #change: ForwardChange;
  readonly #settle: (forwarded: Forwarded) => void;
  readonly #ends: Ends;
  /** None before the forge is asked, nor after it said all: the connection may carry somebody else's by then. */
  #control: Control | undefined;
  #pending: Pending | undefined;
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
  #draining = false;

  constructor(ends: Ends, options: ExchangeOptions, request: Asked, response: Told, change: ForwardChange) {
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
      { method: methodOf(this.#request), target: target ?? this.#request.url ?? '/', headers, body: this.#sent() },
      this,
    );
  }

  #sent(): Call['body'] {
    const { body } = this.#change;
    if (Buffer.isBuffer(body)) return body;
    if (body !== undefined) return { stream: Readable.from(body.stream, { objectMode: false }), lent: false };
    // Never destroyed when the forge fails: it would take the connection with it that still has to say so.
    return hasBody(this.#request) ? { stream: this.#request, lent: true } : null;
  }

  wanted(): boolean {
    return !this.#over;
  }

  onRequestStart(control: Control): void {
    this.#control = control;
    if (this.#over) control.abort(new Error('the client is gone'));
  }

  onResponseStart(control: Control, status: number, _headers: unknown, reason = ''): void {
    // 103 and the like are the forge's own.
    if (status < 200 || this.#over) return;
    const raw = control.headers ?? rawOf(control.rawHeaders);
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
    this.#pending = { status, reason, headers: clientHeaders(change?.headers ?? raw), body: undefined };
  }

  onLull(): void {
    // Out by now, as what follows may take its time.
    this.#begin();
  }

  /** Writes what waits, as Latin-1, which flushHeaders() does not keep. @returns false = the client does not keep up */
  #begin(): boolean {
    if (this.#pending === undefined) return true;
    const { status, reason, headers, body } = this.#pending;
    this.#pending = undefined;
    this.#response.writeHead(status, reason, headers);
    return this.#response.write(body ?? '', 'latin1');
  }

  #answerStored(status: number, raw: readonly string[]): void {
    // What else it says is about signatures and buckets.
    if (![200, 206, 304, 416].includes(status)) throw new JobpassError('upstream_failed', `The forge's storage answered ${status}.`);
    this.#status = status;
    this.#pending = { status, reason: '', headers: storedHeaders(raw), body: undefined };
    this.#begin();
  }

  onResponseData(control: Control, piece: Buffer): void {
    if (this.#over || this.#elsewhere?.asked === false || (this.#deaf && this.#collected === undefined)) return;
    if (this.#collected !== undefined) {
      this.#collected.size += piece.length;
      if (this.#collected.size > this.#collected.change.maxBytes)
        control.abort(new JobpassError('upstream_failed', "The forge's answer is too large to be carried with a pass."));
      else this.#collected.parts.push(Buffer.from(piece));
      return;
    }
    if (this.#pending !== undefined && this.#pending.body === undefined && piece.length <= togetherBytes) {
      this.#pending.body = piece.toString('latin1');
      return;
    }
    this.#begin();
    const { bytes, free } = keep(piece);
    const written = (error?: Error | null): void => {
      // One that is cut off may still be read by the system.
      if (error === undefined || error === null) free();
    };
    if (this.#response.write(bytes, written)) return;
    control.pause();
    // What was read together comes in pieces: one listener for all of them.
    if (this.#draining) return;
    this.#draining = true;
    this.#response.once('drain', () => {
      this.#draining = false;
      if (this.#control === control) control.resume();
    });
  }

  onResponseEnd(): void {
    this.#control = undefined;
    this.#drop();
    if (this.#over) return;
    if (this.#elsewhere?.asked === false) {
      this.#elsewhere.asked = true;
      const { origin, pathname, search } = this.#elsewhere.url;
      const headers = storageHeaders(this.#request.rawHeaders);
      this.#ends.storage.dispatch({ origin, path: pathname + search, method: methodOf(this.#request), headers }, this);
      return;
    }
    this.#told = this.#collected === undefined;
    if (this.#collected === undefined) {
      if (this.#deaf) this.#finish('cut');
      else this.#end();
      return;
    }
    const { change, headers, parts } = this.#collected;
    change
      .rewrite(Buffer.concat(parts))
      .then((answer) => this.#answerOther(answer, headers))
      .catch((error: unknown) => this.#fail(error));
  }

  /** A small answer is one write: end() of Node.js's response by itself makes two of it. */
  #end(): void {
    const { socket } = this.#response;
    if (this.#pending !== undefined && this.#response instanceof PlainResponse) {
      const { status, reason, headers, body } = this.#pending;
      this.#pending = undefined;
      this.#response.writeHead(status, reason, headers).end(body ?? '');
      return;
    }
    if (this.#pending !== undefined && socket !== null) {
      socket.cork();
      this.#begin();
      socket.uncork();
    } else this.#begin();
    this.#response.end();
  }

  #answerOther(answer: Awaited<ReturnType<Collected['change']['rewrite']>>, headers: readonly string[]): true {
    this.#told = true;
    if (this.#deaf) this.#finish('cut');
    if (this.#over) return true;
    this.#status = answer.status ?? this.#status;
    const kept = clientHeaders(answer.headers ?? headers, true);
    this.#response.writeHead(this.#status ?? 200, STATUS_CODES[this.#status ?? 200] ?? '', [
      ...kept,
      'content-length',
      String(answer.body.length),
    ]);
    this.#response.end(answer.body);
    return true;
  }

  onResponseError(_control: Control | null, error: Error): void {
    this.#control = undefined;
    // A kept connection may be closed by the other side while a request is on its way: one that changes nothing is asked again.
    if (this.#again && this.#status === null && !this.#over && connectionLost(error)) {
      this.#again = false;
      this.#dispatch();
    } else this.#fail(error);
  }

  /** The end of the pass, in the middle of everything (R2). Of the forge's answer nothing more goes out; where nothing has, it can be said why. */
  readonly #cut = (): void => {
    const awaited = this.#awaited();
    if (!awaited) {
      this.#finish('cut');
      this.#control?.abort(new Error('cut'));
    }
    this.#pending = undefined;
    const why: unknown = this.#change.signal?.reason;
    if (this.#response.headersSent || this.#response.destroyed || !isJobpassError(why)) {
      this.#request.destroy();
      this.#response.destroy();
      return;
    }
    const told = awaited ? new JobpassError(why.code, `${why.message} What was asked may have been done all the same.`) : why;
    sayNo(this.#request, this.#response, audienceAt(this.#request), told);
  };

  /** True where the forge is still to be heard, though nobody else hears it. */
  #awaited(): boolean {
    this.#deaf = this.#change.finish === true && !this.#told && !this.#over;
    // What waited for a client to keep up would wait for ever.
    if (this.#deaf) this.#control?.resume();
    return this.#deaf;
  }

  readonly #closed = (): void => {
    // It heard why it was cut, and nothing else.
    if (this.#deaf) return;
    if (this.#response.writableFinished) return this.#finish('done');
    if (this.#awaited()) return;
    this.#finish('cut');
    this.#control?.abort(new Error('the client is gone'));
  };

  #fail(error: unknown): void {
    if (this.#over) return;
    if (this.#deaf || this.#response.destroyed || this.#response.socket?.destroyed !== false) return this.#finish('cut');
    const known = error instanceof JobpassError ? error : noAnswer(error);
    this.#finish('upstream_failed');
    this.#control?.abort(known);
    sayFailed(this.#options.log, this.#request, this.#response, known);
  }

  /** A forge that has answered wants no more of a body; some clients hear the answer only once they have sent all of it. */
  #drop(): void {
    if (!this.#request.complete) dropRest(this.#request);
  }

  #finish(outcome: Forwarded['outcome']): void {
    if (this.#over) return;
    this.#over = true;
    this.#drop();
    this.#change.signal?.removeEventListener('abort', this.#cut);
    this.#settle({ outcome, status: this.#status });
  }
}

function methodOf(request: Asked): string {
  return request.method ?? 'GET';
}

function hasBody(request: Asked): request is IncomingMessage {
  return (
    !(request instanceof PlainRequest) &&
    (request.headers['content-length'] !== undefined || request.headers['transfer-encoding'] !== undefined)
  );
}

function connectionLost(error: Error): boolean {
  return error instanceof ConnectionLost || ('code' in error && /^(?:ECONNRESET|EPIPE)$/.test(String(error.code)));
}

function rawOf(raw: unknown): readonly string[] {
  return Array.isArray(raw) ? raw.map((part) => (Buffer.isBuffer(part) ? part.toString('latin1') : String(part))) : [];
}
