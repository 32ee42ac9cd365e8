import { rm } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { newPassToken } from '../../../src/base/pass-token.ts';
import { startTestGateway, type TestGateway } from '../../support/gateway.ts';
import { forge, Wire } from './stage.ts';

describe('a whole gateway, in front of a forge that a test holds in its hands', () => {
  let upstream: Awaited<ReturnType<typeof forge>>;
  let gateway: TestGateway;
  const upgraded: string[] = [];
  const heard: string[] = [];
  const held: ServerResponse[] = [];
  let arrived: (request: IncomingMessage) => void = () => {};

  beforeAll(async () => {
    upstream = await forge((request, response) => {
      heard.push([request.url, ...request.rawHeaders].join(' '));
      if (request.url === '/held') {
        held.push(response);
        arrived(request);
      } else {
        response.sendDate = false;
        response.writeHead(200, ['Date', 'Mon, 23 Nov 2026 10:00:00 GMT', 'X-Request-Id', 'theirs', 'Content-Length', '5']);
        response.end('plain');
      }
    });
    upstream.server.on('upgrade', (request: IncomingMessage, socket: Duplex) => {
      upgraded.push(request.url ?? '');
      socket.on('error', () => {});
      socket.on('end', () => socket.destroy());
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nwelcome');
    });
    gateway = await startTestGateway(`http://127.0.0.1:${upstream.port}`, 'glpat-none');
  });

  afterAll(async () => {
    await gateway?.stop();
    await upstream?.close();
  });

  const port = (): number => Number(new URL(gateway.url).port);
  const cable = (target: string, ...headers: string[]): string =>
    [`GET ${target} HTTP/1.1`, 'Host: h', 'Connection: Upgrade', 'Upgrade: websocket', ...headers, '', ''].join('\r\n');

  test('a plain answer gains no header of ours', async () => {
    const text = await new Wire(port()).send('GET /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n').end();
    expect(text).toBe(
      'HTTP/1.1 200 OK\r\nDate: Mon, 23 Nov 2026 10:00:00 GMT\r\nX-Request-Id: theirs\r\nContent-Length: 5\r\nConnection: close\r\n\r\nplain',
    );
  });

  test('R5 R17 A26 a pass is never plain, wherever it stands, nor is what the gateway answers itself; not even behind a plain request', async () => {
    const pass = newPassToken('full').reveal();
    const basic = Buffer.from(`x:${pass}`).toString('base64');
    for (const [target, ...headers] of [
      ['/api/v4/user', `PRIVATE-TOKEN: ${pass}`],
      ['/api/v4/user', `Authorization: Bearer ${pass}`],
      ['/group/project.git/info/refs?service=git-upload-pack', `Authorization: Basic ${basic}`],
      ['/', `Authorization: Basic\t${basic}`],
      ['/', `Authorization: Basic ${basic.slice(0, 20)} ${basic.slice(20)}`],
      ['/', `Authorization: Basic ${Buffer.concat([Buffer.from([0xff]), Buffer.from(`:${pass}`)]).toString('base64')}`],
      ['/', `Authorization: Basic ${Buffer.from(`${'x'.repeat(9000)}:${pass}`).toString('base64')}`],
      ['/', `Cookie: a=${pass}`],
      ['/', `X-Anything: ${pass}`],
      [`/?private_token=${pass}`],
      [`/?private_token=${pass.replace('jpt_', '%6Apt%5F')}`],
    ]) {
      const wire = new Wire(port()).send('GET /x HTTP/1.1\r\nHost: h\r\n\r\n');
      await wire.until(/plain$/);
      const text = await wire.send([`GET ${target} HTTP/1.1`, 'Host: h', 'Connection: close', ...headers, '', ''].join('\r\n')).end();
      expect(text, target).toMatch(/plainHTTP\/1\.1 (?:40[01]|502) (?![^]*plain$)/);
    }
    expect(heard.some((one) => one.includes(pass.slice(4)) || one.includes(basic))).toBe(false);
    const wire = new Wire(port()).send('GET /x HTTP/1.1\r\nHost: h\r\n\r\n');
    await wire.until(/plain$/);
    expect(await wire.send('GET /-/jobpass/health HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n').end()).toMatch(/"status":"ok"/);
  });

  test('R2 R5 no pass opens a tunnel, wherever it stands; others do', async () => {
    const pass = newPassToken('full').reveal();
    const basic = Buffer.from(`x:${pass}`).toString('base64');
    for (const request of [
      cable('/-/cable', `PRIVATE-TOKEN: ${pass}`),
      cable('/-/cable', `Authorization: Basic ${basic}`),
      cable('/-/cable', `Cookie: a=${pass}`),
      cable(`/-/cable?private_token=${pass}`),
      cable(`/-/cable?private_token=${pass.replace('jpt_', '%6Apt%5F')}`),
    ])
      expect(await new Wire(port()).send(request).end(), request).toMatch(/^HTTP\/1\.1 403 /);
    expect(upgraded).toEqual([]);
    const wire = new Wire(port()).send(cable('/-/cable', 'Cookie: _gitlab_session=x'));
    await wire.until(/^HTTP\/1\.1 101 [^]*welcome$/);
    expect(upgraded).toEqual(['/-/cable']);
    wire.socket.destroy();
  });

  test('what is in flight is finished when the gateway stops', async () => {
    const other = await startTestGateway(`http://127.0.0.1:${upstream.port}`, 'glpat-none');
    const here = new Promise((resolve) => (arrived = resolve));
    const wire = new Wire(Number(new URL(other.url).port)).send('GET /held HTTP/1.1\r\nHost: h\r\n\r\n');
    await here;
    const closed = other.close(30_000);
    expect(await new Wire(Number(new URL(other.url).port)).end(), 'nobody new').toBe('');
    held.shift()?.end('late');
    expect(await wire.until(/late/)).toMatch(/^HTTP\/1\.1 200 OK/);
    await closed;
    await rm(other.dataDir, { recursive: true });
  });
});
