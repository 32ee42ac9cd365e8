import { createServer } from 'node:https';
import { type AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { certificate } from '../../support/certificate.ts';
import { stage, Wire } from './stage.ts';

describe('a forge with a certificate of its own authority', () => {
  let cert: string;
  let server: ReturnType<typeof createServer>;
  let upstream: string;
  let heard = 0;

  beforeAll(async () => {
    const made = await certificate();
    cert = made.cert;
    server = createServer(made, (_request, response) => {
      heard += 1;
      response.end('secure');
    });
    server.on('upgrade', (_request, socket) => {
      socket.end('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nsecure');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    upstream = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });

  afterAll(async () => {
    server.closeAllConnections();
    server.close();
  });

  const upgrade = 'GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n';
  const expecting = 'POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n';

  test('R16 is believed by the authority that is named: requests, expectations and tunnels', async () => {
    const front = await stage(0, { upstream, ca: cert });
    expect(await (await fetch(front.url)).text()).toBe('secure');
    expect(await new Wire(front.port).send(upgrade).until(/secure$/)).toMatch(/^HTTP\/1\.1 101 /);
    expect(await new Wire(front.port).send(expecting).end()).toMatch(/HTTP\/1\.1 200 [^]*secure/);
    await front.close();
  });

  test('R16 and by nobody else: nothing is sent', async () => {
    heard = 0;
    const front = await stage(0, { upstream, ca: undefined });
    expect((await fetch(front.url)).status).toBe(502);
    expect(await new Wire(front.port).send(upgrade).end()).toMatch(/^HTTP\/1\.1 502 /);
    expect(await new Wire(front.port).send(expecting).end()).toMatch(/^HTTP\/1\.1 502 /);
    await front.close();
    expect(heard).toBe(0);
  });
});
