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

test('a server that leaves a report unanswered does not hold up a runner that has no more time', async () => {
  const asked = Promise.withResolvers<void>();
  const server = createServer(() => asked.resolve()).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const client = new RunnerClient({ url, token: new Secret('glrt-x'), systemId: 's_abcdefghijkl', signer: undefined });
  const masker = new Masker({ phrases: [], watched: [], prefixes: [] });
  const trace = await Trace.open({ path: join(dir, 'trace'), masker, timestamps: false, limitBytes: 1000 });
  const [token, never] = [new Secret('glcbt-x'), (): void => expect.fail('nobody said so')];
  const times = { intervalMs: 1, retryMs: 1, heartbeatMs: 1 };
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
