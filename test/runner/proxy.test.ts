import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Secret } from '../../src/base/secret.ts';
import { RunnerClient } from '../../src/runner/client.ts';
import { runnerInfo } from '../../src/runner/info.ts';

let proxy: Server;
let address: string;
const seen: string[] = [];
beforeEach(async () => {
  seen.length = 0;
  for (const name of ['http_proxy', 'https_proxy', 'no_proxy', 'HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY']) vi.stubEnv(name, undefined);
  proxy = createServer((request, response) => {
    seen.push(`${request.method} ${request.url}`);
    request.resume();
    response.writeHead(200, { 'content-type': 'application/json' }).end('{"id":7}');
  });
  proxy.on('connect', (request, socket) => {
    seen.push(`CONNECT ${request.url}`);
    socket.end('HTTP/1.1 403 Forbidden\r\n\r\n');
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  address = `127.0.0.1:${(proxy.address() as AddressInfo).port}`;
});
afterEach(async () => {
  vi.unstubAllEnvs();
  proxy.closeAllConnections();
  proxy.close();
  await once(proxy, 'close');
});

async function verify(url: string): Promise<number | string> {
  const client = new RunnerClient({ url, token: new Secret('glrt-x'), systemId: 's_abcdefghijkl', signer: undefined });
  const info = runnerInfo('shell', { verdict: 'withhold', findings: [] }, undefined, false);
  try {
    return (await client.verify(info)).id;
  } catch (error) {
    return String(error);
  } finally {
    await client.close();
  }
}

test.each(['http_proxy', 'HTTP_PROXY'])('%s leads to a server of http, and to no other', async (name) => {
  vi.stubEnv(name, address);
  expect(await verify('http://forge.invalid')).toBe(7);
  expect(await verify('https://forge.invalid')).not.toBe(7);
  expect(seen).toEqual(['POST http://forge.invalid/api/v4/runners/verify']);
});

test('HTTPS_PROXY is told the server alone, and sees nothing of what it is asked', async () => {
  vi.stubEnv('HTTPS_PROXY', `http://${address}`);
  expect(await verify('https://forge.invalid')).not.toBe(7);
  expect(await verify('http://forge.invalid')).not.toBe(7);
  expect(seen).toEqual(['CONNECT forge.invalid:443']);
});

test('NO_PROXY names servers that are asked without one; this machine always is', async () => {
  vi.stubEnv('HTTP_PROXY', 'http://127.0.0.1:1');
  vi.stubEnv('NO_PROXY', '.invalid');
  expect(await verify('http://forge.invalid')).toContain('ENOTFOUND');
  expect(await verify(`http://${address}`)).toBe(7);
  expect(seen).toEqual(['POST /api/v4/runners/verify']);
});
