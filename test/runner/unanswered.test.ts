import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { silentLog } from '../../src/base/log.ts';
import { Secret } from '../../src/base/secret.ts';
import { RunnerClient } from '../../src/runner/client.ts';
import { Masker } from '../../src/runner/trace/masker.ts';
import { TraceSender } from '../../src/runner/trace/sender.ts';
import { Trace } from '../../src/runner/trace/trace.ts';

const run = promisify(execFile);
let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'jobpass-unanswered-'));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

/** A trace on its way to a server. */
async function reporting(url: string, intervalMs: number) {
  const client = new RunnerClient({ url, token: new Secret('glrt-x'), systemId: 's_abcdefghijkl', signer: undefined });
  const masker = new Masker({ phrases: [], watched: [], prefixes: [] });
  const trace = await Trace.open({ path: join(dir, 'trace'), masker, timestamps: false, limitBytes: 1000 });
  const [token, never] = [new Secret('glcbt-x'), (): void => expect.fail('nobody said so')];
  const times = { intervalMs, retryMs: 1, heartbeatMs: intervalMs };
  const sender = new TraceSender({
    client,
    job: 1,
    token,
    trace,
    log: silentLog,
    debugTrace: false,
    onCanceling: never,
    onCanceled: never,
    ...times,
  });
  return { client, sender, trace };
}

test('R2 a server that is never where it says it is gets no more than a few reports', async () => {
  let asked = 0;
  const heard = Promise.withResolvers<void>();
  const server = createServer((request, response) => {
    request.resume();
    asked += 1;
    heard.resolve();
    const trace = request.url?.includes('/trace') === true;
    response.writeHead(trace ? 416 : 202, trace ? { range: '0-0' } : { 'x-gitlab-trace-update-interval': '0.01' }).end();
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { client, sender, trace } = await reporting(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, 3_600_000);
  trace.line('said');
  await heard.promise;
  expect(await sender.finish(() => ({ state: 'success' }), new AbortController().signal)).toBe(false);
  // One as it came, and one with each final report.
  expect(asked).toBeLessThanOrEqual(1 + 2 * 10);
  await trace.remove();
  await client.close();
  server.closeAllConnections();
  server.close();
});

test('a server that leaves a report unanswered does not hold up a runner that has no more time', async () => {
  const asked = Promise.withResolvers<void>();
  const server = createServer(() => asked.resolve()).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const { client, sender, trace } = await reporting(url, 1);
  trace.line('said');
  await asked.promise;
  expect(await sender.finish(() => ({ state: 'success' }), AbortSignal.abort())).toBe(false);
  await trace.remove();
  await client.close();
  server.closeAllConnections();
  server.close();
});

test('a program that cannot be started fails the job, and not the runner', async () => {
  // In a process of its own: an error that nobody hears ends it.
  const transfer = new URL('../../src/runner/executors/ssh/transfer.ts', import.meta.url).href;
  const script = `
    import { spawn } from 'node:child_process';
    import { sendFolders } from ${JSON.stringify(transfer)};
    const ssh = { start: () => spawn('sh', ['-c', 'cat; exit 3']), trouble: (code) => new Error('ended with ' + code) };
    const ends = { here: ${JSON.stringify(join(dir, 'not there'))}, there: '/' };
    await sendFolders(ssh, {}, ends, ['build'], undefined, AbortSignal.timeout(60_000)).catch(({ message }) => console.log(message));
  `;
  expect((await run(process.execPath, ['--no-warnings', '--input-type=module', '-e', script])).stdout).toBe('ended with 3\n');
});
