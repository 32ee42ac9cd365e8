import { connect as connectTcp, type Socket, type TcpNetConnectOpts } from 'node:net';
import { connect as connectTls, type ConnectionOptions } from 'node:tls';
import { AnswerParser } from './answer-parser.ts';
import { type BodyFlow, flow } from './body.ts';
import { type Call, ConnectionLost, type Control, type Hearer, headOf, lengthIn } from './call.ts';
import { release } from './spare.ts';

/** Where the forge is. */
export interface End {
  readonly host: string;
  readonly port: number;
  /** undefined = plain TCP */
  readonly tls: { readonly ca: string | undefined; readonly servername: string } | undefined;
}

export interface ConnectionEvents {
  /** Carries nothing, and could carry the next. */
  free(connection: Connection): void;
  closed(connection: Connection): void;
  /** In ticks. */
  now(): number;
}

/** In ticks of its pool: for how long the forge may be silent, a connection may be made, and one is kept that nobody uses. */
export interface Patience {
  readonly silence: number;
  readonly connecting: number;
  readonly idle: number;
  readonly perSecond: number;
}

/** Pieces are read into one place, as each is dealt with before the next is read. */
const readBuffer = Buffer.allocUnsafeSlow(64 * 1024);
/** A body that small goes out with its head. */
const togetherBytes = 16 * 1024;
const probeMs = 60_000;

/** One connection to the forge, and what it carries: one request at a time, never the next before the answer is whole. */
export class Connection implements Control {
  readonly #socket: Socket;
  readonly #parser: AnswerParser;
  readonly #events: ConnectionEvents;
  readonly #patience: Patience;
  #ready = false;
  #over = false;
  #carried: { readonly call: Call; readonly hearer: Hearer } | undefined;
  #body: BodyFlow | undefined;
  #paused = false;
  /** The tick at which either side did something last. */
  #stirred: number;
  #idleTicks: number;
  headers: readonly string[] = [];

  constructor(end: End, session: Buffer | undefined, events: ConnectionEvents, patience: Patience, onSession: (session: Buffer) => void) {
    this.#events = events;
    this.#patience = patience;
    this.#stirred = events.now();
    this.#idleTicks = patience.idle;
    this.#parser = new AnswerParser({
      head: (status, reason, headers) => {
        this.headers = headers;
        this.#carried?.hearer.onResponseStart(this, status, undefined, reason);
      },
      data: (piece) => this.#carried?.hearer.onResponseData(this, piece),
      end: (reusable) => this.#answered(reusable),
    });
    const to: TcpNetConnectOpts = {
      host: end.host,
      port: end.port,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: probeMs,
      onread: { buffer: readBuffer, callback: (bytes) => this.#read(bytes) },
    };
    this.#socket = end.tls === undefined ? connectTcp(to) : secure(to, end.tls, session).on('session', onSession);
    this.#socket
      .once(end.tls === undefined ? 'connect' : 'secureConnect', () => {
        this.#ready = true;
        this.#begin();
      })
      .on('drain', () => this.#body?.resume())
      .on('end', () => this.#ended())
      .on('error', (error) => this.#close(error))
      .on('close', () => this.#close(new ConnectionLost('the forge closed the connection')));
  }

  /** Carries nothing, and has not been closed. */
  get free(): boolean {
    return !this.#over && this.#carried === undefined;
  }

  carry(call: Call, hearer: Hearer): void {
    this.#carried = { call, hearer };
    this.#stirred = this.#events.now();
    if (this.#ready) this.#begin();
  }

  abort(reason: Error): void {
    this.#close(reason);
  }

  pause(): void {
    if (this.#over || this.#carried === undefined) return;
    this.#paused = true;
    this.#socket.pause();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#stirred = this.#events.now();
    this.#socket.resume();
  }

  /** Called once in each tick. */
  tick(): void {
    const ticks = this.#events.now() - this.#stirred;
    if (this.#carried === undefined) {
      if (ticks >= this.#idleTicks) this.#close(new Error('nobody uses the connection'));
    } else if (!this.#ready) {
      if (ticks > this.#patience.connecting) this.#close(new Error('the forge takes no connection'));
      // Who is slow to send or to hear holds nobody up but himself.
    } else if (!this.#paused && (this.#body === undefined || this.#socket.writableNeedDrain) && ticks > this.#patience.silence)
      this.#close(new Error('the forge is silent'));
  }

  #begin(): void {
    const { call, hearer } = this.#carried ?? {};
    if (call === undefined || hearer === undefined) return;
    if (!hearer.wanted()) {
      this.#carried = undefined;
      return this.#events.free(this);
    }
    this.#stirred = this.#events.now();
    try {
      hearer.onRequestStart(this);
      if (this.#over) return;
      this.#parser.expect(call.method === 'HEAD');
      this.#send(call);
    } catch (error) {
      this.#close(asError(error));
    }
  }

  #send(call: Call): void {
    const { body, headers } = call;
    const length = body === null ? 0 : lengthIn(headers);
    const head = headOf(call, length === undefined);
    if (body === null) this.#socket.write(head, 'latin1');
    else if (Buffer.isBuffer(body)) {
      if (length !== body.length) throw new Error('the body is not as long as its header says');
      if (body.length <= togetherBytes) this.#socket.write(head + body.toString('latin1'), 'latin1');
      else {
        this.#socket.write(head, 'latin1');
        this.#socket.write(body);
      }
    } else {
      this.#socket.write(head, 'latin1');
      const gone = body.lent ? release : keepFor;
      this.#body = flow(body, length === undefined ? this.#inChunks(gone) : this.#counted(length, gone));
    }
  }

  #counted(length: number, gone: Gone) {
    let left = length;
    return {
      ...this.#ends(),
      pieces: (pieces: readonly Buffer[]): boolean => {
        for (const bytes of pieces) left -= bytes.length;
        if (left >= 0)
          return this.#together(() => {
            for (const bytes of pieces) this.#socket.write(bytes, gone(bytes));
          });
        this.#close(new Error('the body is longer than its header says'));
        return false;
      },
      end: (): void => {
        this.#body = undefined;
        if (left > 0) this.#close(new Error('the body is shorter than its header says'));
      },
    };
  }

  #inChunks(gone: Gone) {
    return {
      ...this.#ends(),
      pieces: (pieces: readonly Buffer[]): boolean =>
        this.#together(() => {
          // An empty chunk would be the last one.
          for (const bytes of pieces.filter(({ length }) => length > 0)) {
            this.#socket.write(`${bytes.length.toString(16)}\r\n`, 'latin1');
            this.#socket.write(bytes, gone(bytes));
            this.#socket.write('\r\n', 'latin1');
          }
        }),
      end: (): void => {
        this.#body = undefined;
        this.#socket.write('0\r\n\r\n', 'latin1');
      },
    };
  }

  /** @returns false = the forge does not keep up */
  #together(write: () => void): boolean {
    this.#stirred = this.#events.now();
    this.#socket.cork();
    write();
    this.#socket.uncork();
    return !this.#socket.writableNeedDrain;
  }

  #ends() {
    return {
      fail: (error: Error): void => {
        this.#body = undefined;
        this.#close(error);
      },
    };
  }

  /** @returns false = read no more for now */
  #read(bytes: number): boolean {
    this.#stirred = this.#events.now();
    // What nobody asked for is not the answer to whoever asks next (A25).
    if (this.#carried === undefined) this.#close(new Error('the forge said something unasked'));
    else {
      const { hearer } = this.#carried;
      try {
        const left = this.#parser.read(readBuffer.subarray(0, bytes));
        if (left > 0) this.#close(new Error('the forge said more than it was asked'));
        else if (this.#carried?.hearer === hearer) hearer.onLull();
      } catch (error) {
        this.#close(asError(error));
      }
    }
    return !this.#over && !this.#paused;
  }

  #answered(reusable: boolean): void {
    const hearer = this.#carried?.hearer;
    const whole = this.#body === undefined;
    this.#carried = undefined;
    this.#stopBody();
    if (this.#paused) this.resume();
    this.headers = [];
    const { keepAliveSeconds } = this.#parser;
    // A second less than it says, so that it does not close what is just being used.
    if (keepAliveSeconds !== undefined) this.#idleTicks = Math.min((keepAliveSeconds - 1) * this.#patience.perSecond, this.#patience.idle);
    try {
      hearer?.onResponseEnd();
    } catch (error) {
      hearer?.onResponseError(null, asError(error));
    }
    // An answer before the whole request: the rest of it would be the beginning of the next.
    if (!reusable || !whole || this.#idleTicks <= 0) this.#close(new Error('the connection is spent'));
    else if (!this.#over) this.#events.free(this);
  }

  #ended(): void {
    const carried = this.#carried;
    try {
      this.#parser.finish();
    } catch (error) {
      return this.#close(asError(error));
    }
    this.#close(new ConnectionLost(carried === undefined ? 'the forge is gone' : 'the forge broke off'));
  }

  #stopBody(): void {
    const body = this.#body;
    this.#body = undefined;
    body?.stop();
  }

  #close(reason: Error): void {
    if (this.#over) return;
    this.#over = true;
    const hearer = this.#carried?.hearer;
    this.#carried = undefined;
    this.#parser.stop();
    this.#stopBody();
    this.#socket.destroy();
    this.#events.closed(this);
    hearer?.onResponseError(null, reason);
  }
}

/** What to do when a piece has gone up. */
type Gone = (piece: Buffer) => ((error?: Error | null) => void) | undefined;

/** Somebody else may still look at it. */
const keepFor: Gone = () => undefined;

function secure(to: TcpNetConnectOpts, { ca, servername }: NonNullable<End['tls']>, session: Buffer | undefined) {
  const options: ConnectionOptions = {
    ...to,
    ALPNProtocols: ['http/1.1'],
    ...(servername === '' ? {} : { servername }),
    ...(ca === undefined ? {} : { ca }),
    ...(session === undefined ? {} : { session }),
  };
  return connectTls(options);
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
