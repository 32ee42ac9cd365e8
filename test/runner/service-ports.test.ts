import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { oneListens, portsOf } from '../../src/runner/executors/docker/services.ts';

test('ports are read as they are meant, whatever an image says', () => {
  expect(portsOf(['80/tcp', '53/udp', '1-9/tcp', '0/tcp', '65536/tcp', 'x/tcp', '5432/tcp'])).toEqual([80, 5432]);
});

test('R2 an image that opens every port holds its job no longer than it may take', async () => {
  const over = new AbortController();
  const server = createServer((socket) => {
    socket.destroy();
    over.abort();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  // The job is over with the first look: what listens last is not looked for.
  const look = oneListens('127.0.0.2', [...Array.from({ length: 3 }, () => 1), port], over.signal);
  over.abort();
  expect(await look).toBe(false);
  expect(await oneListens('127.0.0.1', [1, port], new AbortController().signal)).toBe(true);
  server.close();
});
