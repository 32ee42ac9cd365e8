import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { BlockList, connect } from 'node:net';
import { Duplex } from 'node:stream';
import { expect, test } from 'vitest';
import { tunnel } from '../../../src/doors/proxy/upgrade.ts';
import { forge, keeper, rawForge } from './stage.ts';

const kept = keeper();
const hello = 'GET /-/cable HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n';
const welcome = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n';

/** A client that takes one piece, and the next when it is told to. */
function slowClient() {
  const pieces: string[] = [];
  const taking: (() => void)[] = [];
  const socket = new Duplex({
    read: () => {},
    write(chunk: Buffer, _encoding, done) {
      pieces.push(chunk.toString());
      taking.push(done);
    },
  });
  const take = (): void => {
    for (const done of taking.splice(0)) done();
    if (!socket.destroyed) setImmediate(take);
  };
  return { socket, pieces, take, closed: once(socket, 'close') };
}

/** A tunnel for it to a forge that says its last words and is gone. @returns when that is so */
async function lastWords(client: Duplex, silenceMs?: number): Promise<void> {
  const gone = Promise.withResolvers<void>();
  const upstream = kept(
    await rawForge((socket) => {
      socket.once('data', () => socket.end(`${welcome}the last words`));
      socket.once('close', () => gone.resolve());
    }),
  );
  const { server, port } = kept(await forge(() => {}));
  const options = { upstream: `http://127.0.0.1:${upstream.port}`, ca: undefined, trustedProxies: new BlockList() };
  server.on('upgrade', (request: IncomingMessage, socket: Duplex) => {
    tunnel({ ...options, ...(silenceMs === undefined ? {} : { silenceMs }) }, request, client, Buffer.alloc(0));
    client.once('close', () => socket.destroy());
  });
  connect(port, '127.0.0.1').write(hello);
  await gone.promise;
}

test('the last words of a forge that has gone reach a client that is slow to take them', async () => {
  const { socket, pieces, take, closed } = slowClient();
  await lastWords(socket);
  take();
  await closed;
  expect(pieces.join('')).toMatch(/^HTTP\/1\.1 101 [^]*the last words$/);
});

test('a client that never takes them is given up', async () => {
  const { socket, closed } = slowClient();
  await lastWords(socket, 1000);
  await closed;
});
