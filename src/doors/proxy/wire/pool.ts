import { isIP } from 'node:net';
import type { Call, Hearer } from './call.ts';
import { Connection, type ConnectionEvents, type End, type Patience } from './connection.ts';

export interface PoolOptions {
  /** Origin of the forge. */
  readonly upstream: string;
  /** PEM of the authority that signed its certificate, where the system does not know it. */
  readonly ca: string | undefined;
  /** At most; none = as many as are asked for. */
  readonly connections?: number | undefined;
  /** How long the forge may be silent, before its answer or within it. */
  readonly silenceMs: number;
}

/** Shorter than a forge's own, so that it does not close what is just being used. */
const idleMs = 30_000;
const connectMs = 10_000;

/**
 * Kept connections to one forge. Written for what a proxy does and nothing else, because a general client costs as much as the rest of the way
 * (docs/decisions/0010). One timer for all of them, and no promise or stream for a request.
 */
export class WirePool {
  readonly #end: End;
  readonly #most: number;
  readonly #patience: Patience;
  readonly #tickMs: number;
  readonly #all = new Set<Connection>();
  readonly #waiting: { readonly call: Call; readonly hearer: Hearer }[] = [];
  /** The last one that was used comes first. */
  readonly #free: Connection[] = [];
  /** Free since this turn of the event loop. */
  #resting: Connection[] = [];
  #planned = false;
  #ticks = 0;
  #timer: NodeJS.Timeout | undefined;
  #session: Buffer | undefined;
  #closed = false;
  readonly #events: ConnectionEvents = {
    free: (connection) => {
      this.#resting.push(connection);
      this.#plan();
    },
    closed: (connection) => {
      this.#all.delete(connection);
      if (this.#waiting.length > 0) this.#plan();
      if (this.#all.size === 0) this.#stopTimer();
    },
    now: () => this.#ticks,
  };

  constructor({ upstream, ca, connections, silenceMs }: PoolOptions) {
    const { protocol, hostname, port } = new URL(upstream);
    const host = hostname.replace(/^\[|\]$/g, '');
    const secure = protocol === 'https:';
    this.#end = {
      host,
      port: port === '' ? (secure ? 443 : 80) : Number(port),
      tls: secure ? { ca, servername: isIP(host) === 0 ? host : '' } : undefined,
    };
    this.#most = connections ?? Number.POSITIVE_INFINITY;
    this.#tickMs = Math.min(1000, Math.max(10, Math.floor(silenceMs / 4)));
    const ticks = (ms: number): number => Math.ceil(ms / this.#tickMs);
    this.#patience = { silence: ticks(silenceMs), connecting: ticks(connectMs), idle: ticks(idleMs), perSecond: 1000 / this.#tickMs };
  }

  /**
   * Asks the forge. Nothing goes out before what has come in by now was read: the end of a kept connection, or what nobody asked for, is seen before the next request is
   * on it (A25). For the same reason a connection rests for one turn of the event loop.
   */
  dispatch(call: Call, hearer: Hearer): void {
    if (this.#closed) return hearer.onResponseError(null, new Error('the gateway stops'));
    this.#waiting.push({ call, hearer });
    this.#plan();
  }

  /** What is on its way is cut off. */
  destroy(): void {
    this.#closed = true;
    this.#stopTimer();
    for (const connection of this.#all) connection.abort(new Error('the gateway stops'));
    for (const { hearer } of this.#waiting.splice(0)) hearer.onResponseError(null, new Error('the gateway stops'));
  }

  #plan(): void {
    if (this.#planned) return;
    this.#planned = true;
    setImmediate(() => this.#send());
  }

  #send(): void {
    this.#planned = false;
    let sent = 0;
    for (const { call, hearer } of this.#waiting) {
      if (hearer.wanted()) {
        const connection = this.#take();
        if (connection === undefined) break;
        connection.carry(call, hearer);
      }
      sent += 1;
    }
    this.#waiting.splice(0, sent);
    if (this.#resting.length === 0) return;
    this.#free.push(...this.#resting);
    this.#resting = [];
    if (this.#waiting.length > 0) this.#plan();
  }

  #take(): Connection | undefined {
    for (let connection = this.#free.pop(); connection !== undefined; connection = this.#free.pop()) if (connection.free) return connection;
    if (this.#all.size >= this.#most) return undefined;
    const made = new Connection(this.#end, this.#session, this.#events, this.#patience, (session) => (this.#session = session));
    this.#all.add(made);
    this.#timer ??= setInterval(() => this.#tick(), this.#tickMs).unref();
    return made;
  }

  #tick(): void {
    this.#ticks += 1;
    for (const connection of this.#all) connection.tick();
    // Those that were closed would pile up below the ones that are in use.
    if (this.#free.some((connection) => !connection.free)) this.#free.splice(0, this.#free.length, ...this.#free.filter((one) => one.free));
  }

  #stopTimer(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
