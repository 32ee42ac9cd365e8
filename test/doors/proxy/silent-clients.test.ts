import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { connect } from 'node:net';
import { expect, test } from 'vitest';
import { forge, keeper, stage, Wire } from './stage.ts';

const kept = keeper();
const impatient = { idleMs: 80, silenceMs: 80 } as const;

/** Clients that come and go, one after the other, are as many times the patience. */
async function longer(port: number, times = 4): Promise<void> {
  for (let turn = 0; turn < times; turn += 1) await new Wire(port).send('GET /quick HTTP/1.1\r\nHost: h\r\n\r\n').end();
}

test('R2 a client that stops in the middle of its body holds neither a connection here nor one to the forge', async () => {
  const arrived = Promise.withResolvers<IncomingMessage>();
  const upstream = kept(await forge((request) => arrived.resolve(request)));
  const front = kept(await stage(upstream.port, {}, undefined, impatient));
  const wire = new Wire(front.port).send('POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nx');
  const request = await arrived.promise;
  request.on('error', () => {});
  const gone = new Promise((resolve) => request.on('close', resolve));
  await wire.end();
  await gone;
  expect(request.complete).toBe(false);
});

test('R2 neither does one that takes nothing of its answer any more', async () => {
  const arrived = Promise.withResolvers<ServerResponse>();
  const upstream = kept(
    await forge((_request, response) => {
      const more = (): void => {
        while (response.write(Buffer.alloc(64 * 1024)));
      };
      response.on('drain', more);
      arrived.resolve(response);
      more();
    }),
  );
  const front = kept(await stage(upstream.port, {}, undefined, impatient));
  // Nobody reads from it.
  const client = connect(front.port, '127.0.0.1').on('error', () => {});
  client.write('GET /x HTTP/1.1\r\nHost: h\r\n\r\n');
  await once(await arrived.promise, 'close');
  client.destroy();
});

test('a client is not cut for a forge that takes its time: to answer, or to read', async () => {
  const [reading, answering] = [Promise.withResolvers<IncomingMessage>(), Promise.withResolvers<ServerResponse>()];
  const upstream = kept(
    await forge((request, response) => {
      if (request.url === '/quick') return void response.end('quick');
      if (request.url === '/late') return answering.resolve(response);
      reading.resolve(request.pause());
      request.on('end', () => response.end('all of it'));
    }),
  );
  const front = kept(await stage(upstream.port, {}, undefined, impatient));
  const late = new Wire(front.port).send('GET /late HTTP/1.1\r\nHost: h\r\n\r\n');
  const body = 'x'.repeat(8 * 1024 * 1024);
  const large = new Wire(front.port).send(`POST /large HTTP/1.1\r\nHost: h\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
  const [request, response] = await Promise.all([reading.promise, answering.promise]);
  await longer(front.port);
  response.end('at last');
  request.resume();
  expect(await late.until(/at last/)).toMatch(/^HTTP\/1\.1 200 /);
  expect(await large.until(/all of it/)).toMatch(/^HTTP\/1\.1 200 /);
});
