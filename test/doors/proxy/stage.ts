import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, BlockList, connect, createServer as createTcpServer, type Socket } from 'node:net';
import { afterEach } from 'vitest';
import { silentLog } from '../../../src/base/log.ts';
import { type HttpOptions, makeHttpServer } from '../../../src/doors/http.ts';
import type { ForwardChange, Forwarded } from '../../../src/doors/proxy/forwarder.ts';
import { type ForwarderOptions, makeForwarder } from '../../../src/doors/proxy/make-forwarder.ts';
import { wantsTunnel } from '../../../src/doors/proxy/upgrade.ts';

export type Handle = (request: IncomingMessage, response: ServerResponse) => void;

/** Closes, after each test of the file that asks for it, what was kept in it: the last first. */
export function keeper(): <One extends { close(): Promise<void> }>(one: One) => One {
  const open: { close(): Promise<void> }[] = [];
  afterEach(async () => {
    for (const one of open.splice(0)) await one.close();
  });
  return (one) => {
    open.unshift(one);
    return one;
  };
}

/** A forwarder behind the product's own HTTP server, in front of what a test makes of the forge. */
export interface Stage {
  readonly port: number;
  readonly url: string;
  /** What became of each request, in the order of their ends. */
  readonly ended: Forwarded[];
  /** Settles when the next request is over. */
  next(): Promise<Forwarded>;
  /** @param graceMs for what is on its way; nothing is waited for unless told */
  close(graceMs?: number): Promise<void>;
}

export async function stage(
  upstreamPort: number,
  options: Partial<ForwarderOptions> = {},
  change: (request: IncomingMessage) => ForwardChange | undefined = unchanged,
  http: Partial<HttpOptions> = {},
): Promise<Stage> {
  const trustedProxies = new BlockList();
  const forwarder = makeForwarder({
    upstream: `http://127.0.0.1:${upstreamPort}`,
    ca: undefined,
    trustedProxies,
    log: silentLog,
    ...options,
  });
  const ended: Forwarded[] = [];
  const over = (forwarded: Forwarded): void => {
    ended.push(forwarded);
    waiting.shift()?.(forwarded);
  };
  const waiting: ((forwarded: Forwarded) => void)[] = [];
  const server = makeHttpServer([], {
    listen: [{ host: '127.0.0.1', port: 0 }],
    tls: undefined,
    allowPlainHttp: false,
    log: silentLog,
    front: {
      wantsUpgrade: wantsTunnel,
      take(request, response) {
        forwarder.forward(request, response, change(request)).then(over, () => response.writeHead(400, { connection: 'close' }).end());
        return true;
      },
      plain: {
        wants: () => change === unchanged,
        take: (request, response) => void forwarder.forwardPlain(request, response).then(over),
      },
      upgrade: (request, socket, head) => forwarder.upgrade(request, socket, head),
    },
    ...http,
  });
  const url = await server.listen();
  return {
    url,
    port: Number(new URL(url).port),
    ended,
    next: () => new Promise((resolve) => waiting.push(resolve)),
    async close(graceMs = 0) {
      await server.close(graceMs);
      await forwarder.close();
    },
  };
}

const unchanged = (): undefined => undefined;

/** A forge of the test's own making. */
export async function forge(handle: Handle): Promise<{ readonly server: Server; readonly port: number; close(): Promise<void> }> {
  const server = createServer(handle);
  return { server, port: await listening(server), close: () => closed(server) };
}

/** A forge that speaks bytes. */
export async function rawForge(talk: (socket: Socket) => void): Promise<{ readonly port: number; close(): Promise<void> }> {
  const sockets = new Set<Socket>();
  const server = createTcpServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    talk(socket);
  });
  const port = await listening(server as unknown as Server);
  return {
    port,
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function listening(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

async function closed(server: Server): Promise<void> {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
}

/** One end of a connection, byte by byte. */
export class Wire {
  readonly socket: Socket;
  #text = '';
  #over = false;
  #wake: () => void = () => {};

  constructor(port: number, host = '127.0.0.1') {
    this.socket = connect(port, host);
    this.socket.on('data', (chunk: Buffer) => {
      this.#text += chunk.toString('latin1');
      this.#wake();
    });
    this.socket.on('error', () => {});
    this.socket.on('close', () => {
      this.#over = true;
      this.#wake();
    });
    this.socket.on('end', () => {
      this.#over = true;
      this.#wake();
    });
  }

  send(text: string): this {
    this.socket.write(Buffer.from(text, 'latin1'));
    return this;
  }

  /** Everything heard so far, once it matches. @throws when the other side ends before */
  async until(wanted: RegExp): Promise<string> {
    while (!wanted.test(this.#text)) {
      if (this.#over) throw new Error(`ended with ${JSON.stringify(this.#text)}`);
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
    return this.#text;
  }

  /** Everything, when the other side has ended. */
  async end(): Promise<string> {
    while (!this.#over) await new Promise<void>((resolve) => (this.#wake = resolve));
    return this.#text;
  }
}
