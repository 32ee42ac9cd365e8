import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';

/** What of a request tells who is waited for. */
export type Asked = Pick<IncomingMessage, 'complete'> & Partial<Pick<IncomingMessage, 'readableLength'>>;

/** Of one connection. */
interface Use {
  asked: Asked | undefined;
  /** Bytes both ways, when they moved last while the client was waited for, and the sweep of that. */
  moved: number;
  movedAt: number;
  /** Requests that are not answered yet. */
  open: number;
  /** The sweep after which the last of them was over. */
  since: number;
}

const sweepsPerPatience = 8;

/**
 * Closes connections whose last answer is over for a while, also one that still sends what nobody wants any more, and those whose client neither sends what it began
 * to send nor takes what it asked for: it may have gone without a word, and would be held with the forge's end for ever. One timer for all of them: Node.js sets and
 * clears one for each request, which costs a twelfth of a small one. A connection on which nothing was asked at all is not known here; the bound on headers ends it.
 */
export class IdleConnections {
  readonly #uses = new Map<Socket, Use>();
  readonly #patienceMs: number;
  readonly #silentSweeps: number;
  #sweeps = 0;
  #timer: NodeJS.Timeout | undefined;

  /**
   * @param patienceMs a connection is closed after as much, or an eighth more
   * @param silenceMs so long a client may be waited for that moves nothing
   */
  constructor(patienceMs: number, silenceMs: number) {
    this.#patienceMs = patienceMs;
    this.#silentSweeps = Math.ceil((silenceMs * sweepsPerPatience) / patienceMs);
  }

  /** A request has come. */
  begin(socket: Socket, asked?: Asked): void {
    const use = this.#uses.get(socket);
    if (use !== undefined) {
      use.open += 1;
      use.asked = asked;
      return;
    }
    this.#uses.set(socket, { open: 1, since: 0, asked, moved: 0, movedAt: this.#sweeps });
    socket.once('close', () => this.leave(socket));
    this.#timer ??= setInterval(() => this.#sweep(), this.#patienceMs / sweepsPerPatience).unref();
  }

  /** Its answer is over. */
  end(socket: Socket): void {
    const use = this.#uses.get(socket);
    if (use === undefined) return;
    use.open -= 1;
    use.since = this.#sweeps;
  }

  /** It is gone, or another protocol has it. */
  leave(socket: Socket): void {
    this.#uses.delete(socket);
    if (this.#uses.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** Closes at once what has nothing to wait for. */
  closeIdle(): void {
    for (const [socket, { open }] of this.#uses) if (open === 0) socket.destroy();
  }

  #sweep(): void {
    this.#sweeps += 1;
    for (const [socket, use] of this.#uses)
      if (use.open === 0 ? this.#sweeps - use.since > sweepsPerPatience : this.#isSilent(socket, use)) socket.destroy();
  }

  #isSilent(socket: Socket, use: Use): boolean {
    const moved = socket.bytesRead + socket.bytesWritten - socket.writableLength;
    // What has come and is not read yet waits for somebody else.
    const sends = use.asked?.complete === false && (use.asked.readableLength ?? 0) === 0;
    if (moved !== use.moved || !(sends || socket.writableLength > 0)) {
      use.moved = moved;
      use.movedAt = this.#sweeps;
    }
    return this.#sweeps - use.movedAt > this.#silentSweeps;
  }
}
