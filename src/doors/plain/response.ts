import type { Socket } from 'node:net';

/** Framing of a message is by its length or in chunks; these have no body at all (RFC 9110 §6.4.1). */
const withoutBody = new Set([204, 304]);

/**
 * The answer to a plain request: of Node.js's `ServerResponse` what an exchange needs, written in as few pieces as can be. Headers are taken as they are: they
 * come from a parser that lets no line end through, or are our own words.
 */
export class PlainResponse {
  readonly socket: Socket;
  /** May be followed by another on the same connection. */
  shouldKeepAlive: boolean;
  statusCode = 200;
  headersSent = false;
  /** All of it is with the system. */
  writableFinished = false;
  readonly #head: boolean;
  readonly #closed: (() => void)[] = [];
  #drained: (() => void) | undefined;
  /** Status line and headers, until the first piece of a body. */
  #waiting = '';
  #bodyless = false;
  #chunked = false;
  #ended = false;
  #over = false;

  /** @param head it answers a HEAD */
  constructor(socket: Socket, head: boolean, keepAlive: boolean) {
    this.socket = socket;
    this.#head = head;
    this.shouldKeepAlive = keepAlive;
  }

  get destroyed(): boolean {
    return this.socket.destroyed;
  }

  on(_event: 'close', listener: () => void): this {
    this.#closed.push(listener);
    return this;
  }

  once(_event: 'drain', listener: () => void): this {
    this.#drained = listener;
    return this;
  }

  /** @param headers names and values in turn */
  writeHead(status: number, reason: string, headers: readonly string[]): this {
    this.statusCode = status;
    this.headersSent = true;
    this.#bodyless = this.#head || withoutBody.has(status);
    let text = `HTTP/1.1 ${status} ${reason}\r\n`;
    let [framed, dated] = [false, false];
    for (let index = 0; index + 1 < headers.length; index += 2) {
      const name = headers[index] ?? '';
      text += `${name}: ${headers[index + 1] ?? ''}\r\n`;
      if (name.length === 14 && name.toLowerCase() === 'content-length') framed = true;
      else if (name.length === 4 && name.toLowerCase() === 'date') dated = true;
    }
    if (!dated) text += `Date: ${new Date().toUTCString()}\r\n`;
    text += this.shouldKeepAlive ? 'Connection: keep-alive\r\n' : 'Connection: close\r\n';
    this.#chunked = !framed && !this.#bodyless;
    this.#waiting = this.#chunked ? `${text}Transfer-Encoding: chunked\r\n\r\n` : `${text}\r\n`;
    return this;
  }

  /** @param how of a text, that it is Latin-1; of bytes, what to call when they are with the system. @returns false = the client does not keep up */
  write(piece: string | Buffer, how?: 'latin1' | ((error?: Error | null) => void)): boolean {
    const head = this.#waiting;
    this.#waiting = '';
    if (piece.length === 0 || this.#bodyless) return head === '' || this.socket.write(head, 'latin1');
    if (typeof piece === 'string') return this.socket.write(head + (this.#chunked ? chunkOf(piece) : piece), 'latin1');
    const written = typeof how === 'function' ? how : undefined;
    if (head === '' && !this.#chunked) return this.socket.write(piece, written);
    this.socket.cork();
    this.socket.write(this.#chunked ? `${head}${piece.length.toString(16)}\r\n` : head, 'latin1');
    let room = this.socket.write(piece, written);
    if (this.#chunked) room = this.socket.write('\r\n', 'latin1');
    this.socket.uncork();
    return room;
  }

  /** @param body the last of it, or all; a text is Latin-1 */
  end(body: string | Buffer = ''): this {
    if (this.#ended) return this;
    this.#ended = true;
    const tail = this.#chunked ? '0\r\n\r\n' : '';
    if (typeof body === 'string') {
      const framed = body === '' || this.#bodyless ? '' : this.#chunked ? chunkOf(body) : body;
      const text = this.#waiting + framed + tail;
      this.#waiting = '';
      if (text !== '') this.socket.write(text, 'latin1');
    } else {
      this.write(body);
      if (tail !== '') this.socket.write(tail, 'latin1');
    }
    // Mostly it is gone already; else an empty piece behind it tells. To a connection that was cut nothing was sent.
    if (this.socket.destroyed) return this;
    if (this.socket.writableLength === 0) this.#finish();
    else this.socket.write('', 'latin1', (error) => (error === undefined || error === null ? this.#finish() : undefined));
    return this;
  }

  destroy(): this {
    this.socket.destroy();
    return this;
  }

  /** The client keeps up again. */
  drained(): void {
    const told = this.#drained;
    this.#drained = undefined;
    told?.();
  }

  /** The connection is gone. */
  lost(): void {
    this.#close();
  }

  #finish(): void {
    this.writableFinished = true;
    this.#close();
  }

  #close(): void {
    if (this.#over) return;
    this.#over = true;
    for (const told of this.#closed) told();
  }
}

/** @param text as Latin-1, and not empty */
function chunkOf(text: string): string {
  return `${text.length.toString(16)}\r\n${text}\r\n`;
}
