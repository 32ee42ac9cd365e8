import { headersIn } from '../../plain/header-lines.ts';

/** What is heard of one answer, in this order. `data` may be told of pieces that are overwritten as soon as it returns. */
export interface AnswerEvents {
  /** @param headers names and values in turn, as Latin-1 */
  head(status: number, reason: string, headers: readonly string[]): void;
  data(piece: Buffer): void;
  /** @param reusable the connection can carry another request */
  end(reusable: boolean): void;
}

/** Of a status line and headers; of trailers; of the line that begins a chunk. */
const headBytes = 64 * 1024;
const chunkLineBytes = 1024;
const interimAnswers = 32;

/** Status line, headers and an empty line. */
const headShape = /^HTTP\/1\.[01] [1-9]\d\d(?: [\t -~\x80-\xff]*)?\r\n(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t -~\x80-\xff]*\r\n)*\r\n$/;
const trailerShape = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t -~\x80-\xff]*\r\n$/;
const chunkLine = /^([0-9A-Fa-f]{1,12})(?:[ \t]*;[\t -~\x80-\xff]*)?$/;
const lengthShape = /^\d{1,15}$/;

type State = 'head' | 'length' | 'chunk_line' | 'chunk' | 'chunk_end' | 'trailers' | 'until_close' | 'idle';

/**
 * Reads HTTP/1.1 answers from a connection, one at a time. What two readers could read in two ways is an error, as it is in requests: two lengths, a length and a
 * coding, codings other than chunked, bare line feeds, folded lines (A25).
 * @see RFC 9112
 */
export class AnswerParser {
  readonly #events: AnswerEvents;
  #state: State = 'idle';
  /** Began before this piece: of a head, a chunk's line, or trailers. */
  #before: Buffer | undefined;
  /** Of the body, or of the chunk. */
  #leftBytes = 0;
  #withoutBody = false;
  #reusable = false;
  #interim = 0;
  #trailerBytes = 0;
  /** Seconds that the other side keeps an idle connection; undefined = it does not say. */
  keepAliveSeconds: number | undefined;

  constructor(events: AnswerEvents) {
    this.#events = events;
  }

  /** A request is on its way: an answer may come. @param head it was a HEAD */
  expect(head: boolean): void {
    this.#state = 'head';
    this.#withoutBody = head;
    this.#interim = 0;
    this.#trailerBytes = 0;
    this.keepAliveSeconds = undefined;
  }

  /** No answer is heard any more. */
  stop(): void {
    this.#state = 'idle';
    this.#before = undefined;
  }

  /** @returns bytes that belong to no answer @throws Error where it is no answer */
  read(piece: Buffer): number {
    let at = 0;
    while (at < piece.length && this.#state !== 'idle') at = this.#step(piece, at);
    return piece.length - at;
  }

  /** The other side has said all. @returns false = in the middle of something */
  finish(): boolean {
    if (this.#state !== 'until_close') return this.#state === 'idle';
    this.#over(false);
    return true;
  }

  #step(piece: Buffer, at: number): number {
    switch (this.#state) {
      case 'head':
        return this.#head(piece, at);
      case 'length':
      case 'chunk':
        return this.#counted(piece, at);
      case 'until_close':
        this.#events.data(at === 0 ? piece : piece.subarray(at));
        return piece.length;
      case 'chunk_line':
        return this.#chunkLine(piece, at);
      case 'chunk_end':
        return this.#chunkEnd(piece, at);
      case 'trailers':
        return this.#trailers(piece, at);
      case 'idle':
        return at;
    }
  }

  /** Text up to `end` and with it, from here or with what came before. @returns undefined = not all is here yet */
  #text(piece: Buffer, at: number, end: string, maxBytes: number): { readonly text: string; readonly next: number } | undefined {
    const { length } = this.#before ?? '';
    const bytes = this.#before === undefined ? piece : Buffer.concat([this.#before, piece.subarray(at)]);
    const from = this.#before === undefined ? at : 0;
    const found = bytes.indexOf(end, from, 'latin1');
    const until = found < 0 ? bytes.length : found + end.length;
    if (until - from > maxBytes) throw new Error('a head or line of the answer is too long');
    if (found < 0 && bareFeed(bytes, from)) malformed();
    this.#before = found < 0 ? Buffer.from(bytes.subarray(from)) : undefined;
    return found < 0 ? undefined : { text: bytes.toString('latin1', from, until), next: length === 0 ? until : at + until - length };
  }

  #head(piece: Buffer, at: number): number {
    const found = this.#text(piece, at, '\r\n\r\n', headBytes);
    if (found === undefined) return piece.length;
    const { text, next } = found;
    if (!headShape.test(text)) malformed();
    const lineEnd = text.indexOf('\r\n');
    const status = Number(text.slice(9, 12));
    const headers = headersIn(text, lineEnd + 2, text.length - 2);
    if (status < 200) {
      this.#interim += 1;
      if (status === 101 || this.#interim > interimAnswers) malformed();
      return next;
    }
    this.#frame(status, text[7] === '1', headers);
    this.#events.head(status, text.slice(13, lineEnd), headers);
    if (this.#state === 'length' && this.#leftBytes === 0) this.#over(this.#reusable);
    return next;
  }

  /** How the body ends. @see RFC 9112 §6.3 */
  #frame(status: number, keeps: boolean, headers: readonly string[]): void {
    let length: string | undefined;
    let coding: string | undefined;
    this.#reusable = keeps;
    for (let index = 0; index < headers.length; index += 2) {
      const name = headers[index] ?? '';
      const value = headers[index + 1] ?? '';
      if (name.length === 14 && name.toLowerCase() === 'content-length') {
        if (length !== undefined || !lengthShape.test(value)) malformed();
        length = value;
      } else if (name.length === 17 && name.toLowerCase() === 'transfer-encoding') {
        if (coding !== undefined || !keeps || value.toLowerCase() !== 'chunked') malformed();
        coding = value;
      } else if (name.length === 10 && name.toLowerCase() === 'connection') {
        if (/(?:^|,)[ \t]*close[ \t]*(?:,|$)/i.test(value)) this.#reusable = false;
      } else if (name.length === 10 && name.toLowerCase() === 'keep-alive') {
        const seconds = /(?:^|[ \t,])timeout=(\d{1,6})/i.exec(value)?.[1];
        if (seconds !== undefined) this.keepAliveSeconds = Number(seconds);
      }
    }
    if (length !== undefined && coding !== undefined) malformed();
    this.#leftBytes = 0;
    if (this.#withoutBody || status === 204 || status === 304) {
      // One that announces a body where none belongs may send it all the same.
      if (!this.#withoutBody && (coding !== undefined || (length !== undefined && Number(length) > 0))) this.#reusable = false;
      this.#state = 'length';
    } else if (coding !== undefined) this.#state = 'chunk_line';
    else if (length === undefined) this.#state = 'until_close';
    else {
      this.#leftBytes = Number(length);
      this.#state = 'length';
    }
  }

  #counted(piece: Buffer, at: number): number {
    const until = Math.min(piece.length, at + this.#leftBytes);
    this.#leftBytes -= until - at;
    this.#events.data(at === 0 && until === piece.length ? piece : piece.subarray(at, until));
    if (this.#leftBytes > 0) return until;
    if (this.#state === 'chunk') this.#state = 'chunk_end';
    else if (this.#state === 'length') this.#over(this.#reusable);
    return until;
  }

  #chunkLine(piece: Buffer, at: number): number {
    const found = this.#text(piece, at, '\r\n', chunkLineBytes);
    if (found === undefined) return piece.length;
    const [, size] = chunkLine.exec(found.text.slice(0, -2)) ?? malformed();
    this.#leftBytes = Number.parseInt(size ?? '', 16);
    this.#state = this.#leftBytes === 0 ? 'trailers' : 'chunk';
    return found.next;
  }

  #chunkEnd(piece: Buffer, at: number): number {
    const found = this.#text(piece, at, '\r\n', 2);
    if (found === undefined) return piece.length;
    this.#state = 'chunk_line';
    return found.next;
  }

  /** They are read, and go nowhere. */
  #trailers(piece: Buffer, at: number): number {
    const found = this.#text(piece, at, '\r\n', headBytes);
    if (found === undefined) return piece.length;
    this.#trailerBytes += found.text.length;
    if (this.#trailerBytes > headBytes) malformed();
    if (found.text === '\r\n') this.#over(this.#reusable);
    else if (!trailerShape.test(found.text)) malformed();
    return found.next;
  }

  #over(reusable: boolean): void {
    this.#state = 'idle';
    this.#events.end(reusable);
  }
}

/** A line that ends in no CR LF would be waited for in vain. */
function bareFeed(bytes: Buffer, from: number): boolean {
  for (let at = bytes.indexOf('\n', from); at >= 0; at = bytes.indexOf('\n', at + 1))
    if (at === from || bytes[at - 1] !== 0x0d) return true;
  return false;
}

function malformed(): never {
  throw new Error('the answer is not HTTP/1.1 as it is written');
}
