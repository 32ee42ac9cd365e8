import { execFile } from 'node:child_process';
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { newPassToken } from '../../src/base/pass-token.ts';
import { Wire } from '../doors/proxy/stage.ts';
import { freePort } from '../support/free-port.ts';
import { startTestGateway, type TestGateway } from '../support/gateway.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

const run = promisify(execFile);
/** More than all buffers between two ends of a connection hold. */
const bytes = 12 * 1024 * 1024;

describe('who sends a large body to a gateway that refuses it', () => {
  const pass = newPassToken('full').reveal();
  let upstream: TestServer;
  let gateway: TestGateway;
  /** In front of a forge that is not there. */
  let alone: TestGateway;
  let dir: string;

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'jobpass-refusals-'));
    await writeFile(join(dir, 'large'), '');
    await truncate(join(dir, 'large'), bytes);
    upstream = await startTestServer();
    gateway = await startTestGateway(upstream.url, upstream.root);
    alone = await startTestGateway(`http://127.0.0.1:${await freePort()}`, upstream.root);
  });
  afterAll(async () => {
    await gateway?.stop();
    await alone?.stop();
    await upstream?.stop();
    await rm(dir, { recursive: true, force: true });
  });

  const upload = '/api/v4/projects/1/packages/generic/a/1/f';

  test.each([
    ['without waiting', ['--header', 'Expect:']],
    ['having asked whether it may', ['--header', 'Expect: 100-continue']],
    ['in chunks', ['--header', 'Expect:', '--header', 'Transfer-Encoding: chunked']],
    ['on a connection that is for nothing else', ['--header', 'Expect:', '--header', 'Connection: close']],
  ])('R11 curl, %s, sees the status', async (_how, more) => {
    const told = ['--silent', '--write-out', '%{http_code} %{exitcode}', '--output', join(dir, 'answer')];
    const asked = ['--upload-file', join(dir, 'large'), '--header', `PRIVATE-TOKEN: ${pass}`, ...more, `${gateway.url}${upload}`];
    const { stdout } = await run('curl', [...told, ...asked]).catch((error: unknown) => error as { stdout: string });
    expect(stdout).toBe('401 0');
  });

  /** Sends all of a request before it looks at anything, and then another. @returns everything that was heard */
  function deafly(port: number, head: string, next: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const socket = connect(port, '127.0.0.1').pause();
      let heard = '';
      socket.on('data', (piece: Buffer) => (heard += piece.toString('latin1')));
      socket.once('end', () => resolve(heard));
      socket.once('error', (error) => reject(new Error(`${error.message} behind ${JSON.stringify(heard)}`)));
      socket.write(`${head}Host: 127.0.0.1\r\nContent-Length: ${bytes}\r\n\r\n`);
      socket.write(Buffer.alloc(bytes));
      socket.write(next, () => socket.resume());
    });
  }
  const last = 'GET /api/v4/version HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n';

  test.each([
    ['a dead pass, before anything was read', `PUT ${upload} HTTP/1.1\r\nPRIVATE-TOKEN: ${pass}\r\n`, 401],
    ['a pass beside another credential', `PUT ${upload} HTTP/1.1\r\nPRIVATE-TOKEN: ${pass}\r\nJOB-TOKEN: other\r\n`, 400],
    ['a body that is larger than what is read of it', 'POST /api/v4/jobs/request HTTP/1.1\r\n', 413],
  ])('R11 of %s hears it behind all that it sent, and the next answer', async (_what, head, status) => {
    const port = Number(new URL(gateway.url).port);
    expect((await deafly(port, head, last)).match(/HTTP\/1\.1 \d+/g)).toEqual([`HTTP/1.1 ${status}`, 'HTTP/1.1 401']);
    expect((await deafly(port, `${head}Connection: close\r\n`, '')).match(/HTTP\/1\.1 \d+/g)).toEqual([`HTTP/1.1 ${status}`]);
  });

  test('R11 of a forge that is not there hears it, too', async () => {
    const port = Number(new URL(alone.url).port);
    const head = `PUT ${upload} HTTP/1.1\r\nPRIVATE-TOKEN: a-persons\r\n`;
    expect((await deafly(port, head, last)).match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 502', 'HTTP/1.1 502']);
  });

  test('A25 whose body may end elsewhere than it seems: nothing behind it is heard', async () => {
    const wire = new Wire(Number(new URL(gateway.url).port));
    wire.send(`PUT ${upload} HTTP/1.1\r\nHost: h\r\nPRIVATE-TOKEN: ${pass}\r\nTransfer-Encoding: gzip, chunked\r\n\r\n1\r\nx\r\n`);
    expect(await wire.end()).toMatch(/^HTTP\/1\.1 40\d [^]*connection: close/i);
  });
});
