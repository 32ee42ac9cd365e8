import type { IncomingMessage, ServerResponse } from 'node:http';
import { connect, type Socket } from 'node:net';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { setImmediate } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { id, type JobId } from '../../../src/base/ids.ts';
import { Call } from '../../../src/doors/runner/call.ts';
import { download } from '../../../src/doors/runner/reports.ts';
import { receiveUpload } from '../../../src/doors/runner/upload.ts';
import { forge } from '../proxy/stage.ts';

describe('a runner that hangs up', () => {
  let close: () => Promise<void>;
  let client: Socket;
  let asked: Promise<{ readonly request: IncomingMessage; readonly response: ServerResponse }>;
  const part = '--b\r\nContent-Disposition: form-data; name="file"; filename="a.zip"\r\n\r\n';
  const form = (bytes: number): string => `${part}${'x'.repeat(bytes)}\r\n--b--\r\n`;
  const head = (length: number): string =>
    `POST / HTTP/1.1\r\nHost: h\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: ${length}\r\n\r\n`;
  const size = async (body: Readable): Promise<number> => (await buffer(body)).length;
  const closed = (stream: IncomingMessage | ServerResponse): Promise<void> => new Promise((resolve) => stream.once('close', resolve));

  beforeEach(async () => {
    const { promise, resolve } = Promise.withResolvers<Awaited<typeof asked>>();
    asked = promise;
    const server = await forge((request, response) => {
      request.on('error', () => undefined);
      resolve({ request, response });
    });
    ({ close } = server);
    client = connect(server.port, '127.0.0.1');
  });
  afterEach(async () => {
    client.destroy();
    await close();
  });

  test('before its upload is looked at: the upload fails, and waits for nothing', async () => {
    client.write(`${head(1000)}half`);
    const { request } = await asked;
    const gone = closed(request);
    client.destroy();
    await gone;
    await expect(receiveUpload(request, (_name, body) => size(body))).rejects.toMatchObject({ code: 'invalid_input' });
  });

  test('before its upload is read: the upload fails, and the server goes on', async () => {
    client.write(`${head(1000)}${part}half`);
    const { request } = await asked;
    const gone = closed(request);
    const received = receiveUpload(request, async (_name, body) => {
      client.destroy();
      await gone;
      await setImmediate();
      return size(body);
    });
    await expect(received).rejects.toMatchObject({ code: 'invalid_input' });
  });

  test('after all was sent, and before all was read: the upload fails, as what was not read is lost', async () => {
    const body = form(145_000);
    client.write(head(body.length));
    const { request } = await asked;
    const gone = closed(request);
    const received = receiveUpload(request, async (_name, stream) => {
      await gone;
      return size(stream);
    });
    received.catch(() => undefined);
    // As much as the part holds, then as much as the parser holds; the rest waits in the request.
    const start = request.socket.bytesRead;
    for (const sent of [70_000, 140_000, body.length]) {
      client.write(body.slice(request.socket.bytesRead - start, sent));
      while (request.socket.bytesRead - start < sent) await setImmediate();
    }
    while (!request.complete) await setImmediate();
    client.destroy();
    await gone;
    await expect(received).rejects.toThrow();
  });

  test('before artifacts are sent to it: their file is closed, and the outcome is known', async () => {
    client.write('GET / HTTP/1.1\r\nHost: h\r\n\r\n');
    const { request, response } = await asked;
    const gone = closed(response);
    client.destroy();
    await gone;
    const body = Readable.from(['artifacts']);
    const outcomes: string[] = [];
    const deps = {
      gatekeeper: {
        admit: () => Promise.resolve({ ok: true, grant: { identity: { kind: 'job', jobId: 1 } } }),
        settle: (_grant: unknown, outcome: string) => Promise.resolve(outcomes.push(outcome)),
      },
      jobs: { reports: { dependencyArtifacts: () => Promise.resolve({ body, sizeBytes: 9 }) } },
    };
    request.headers['job-token'] = 'glcbt-x';
    const context = { requestId: 'r', secure: true, path: '/', query: new URLSearchParams() };
    await download(new Call(deps as never, request, response, context), id<JobId>(1));
    expect([body.destroyed, outcomes]).toEqual([true, ['done']]);
  });
});
