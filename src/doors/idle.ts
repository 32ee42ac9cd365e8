import type { Socket } from 'node:net';

/** Of one connection. */
interface Use {
  /** Requests that are not answered yet. */
  open: number;
  /** The sweep after which the last of them was over. */
  since: number;
}

const sweepsPerPatience = 8;

/**
 * Closes connections whose last answer is over for a while, also one that still sends what nobody wants any more. One timer for all of them: Node.js sets and
 * clears one for each request, which costs a twelfth of a small one. A connection on which nothing was asked at all is not known here; the bound on headers ends it.
 */
export class IdleConnections {
  readonly #uses = new Map<Socket, Use>();
  readonly #patienceMs: number;
  #sweeps = 0;
  #timer: NodeJS.Timeout | undefined;

  /** @param patienceMs a connection is closed after as much, or an eighth more */
  constructor(patienceMs: number) {
    this.#patienceMs = patienceMs;
  }

  /** A request has come. */
  begin(socket: Socket): void {
    const use = this.#uses.get(socket);
    if (use !== undefined) {
      use.open += 1;
      return;
    }
    this.#uses.set(socket, { open: 1, since: 0 });
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
    for (const [socket, { open, since }] of this.#uses) if (open === 0 && this.#sweeps - since > sweepsPerPatience) socket.destroy();
  }
}
