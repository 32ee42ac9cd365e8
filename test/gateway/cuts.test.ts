import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestGateway, type TestGateway } from '../support/gateway.ts';
import { forgeClient, startTestServer, type TestServer } from '../support/server.ts';

const run = promisify(execFile);

/** Carries bytes, and cuts connections after so many of them, while it is told to. @param bytes for the nth connection */
async function cutter(
  to: string,
  bytes: (count: number) => number,
): Promise<{ readonly url: string; on: boolean; cuts: number; close(): void }> {
  const { port } = new URL(to);
  let count = 0;
  const sockets = new Set<Socket>();
  const server: Server = createServer((here) => {
    count += 1;
    const there = connect(Number(port), '127.0.0.1');
    const most = bytes(count);
    let carried = 0;
    for (const [one, other] of [
      [here, there],
      [there, here],
    ] as const) {
      sockets.add(one);
      one.on('error', () => other.destroy());
      one.on('close', () => other.end());
      one.on('data', (piece: Buffer) => {
        if (relay.on) carried += piece.length;
        if (carried <= most) return void other.write(piece);
        relay.cuts += 1;
        one.resetAndDestroy();
        other.resetAndDestroy();
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const relay = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    on: false,
    cuts: 0,
    close() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
  return relay;
}

describe('connections that are cut, on both sides of the gateway', () => {
  let upstream: TestServer;
  let gateway: TestGateway;
  let dir: string;
  const relays: Awaited<ReturnType<typeof cutter>>[] = [];
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'jobpass-cuts-'));
    upstream = await startTestServer();
  });
  afterAll(async () => {
    await gateway?.stop();
    for (const relay of relays) relay.close();
    await upstream?.stop();
    await rm(dir, { recursive: true, force: true });
  });

  test('R2 R10 clones, pushes and reads: none hangs, each is settled in the trail, and no token is left at the forge', async () => {
    const behind = await cutter(upstream.url, (count) => 3_000 + ((count * 7919) % 20_000));
    relays.push(behind);
    const runner = await upstream.runner();
    await upstream.must('PUT', `/api/v4/runners/${runner.id}`, { trust: 'none' });
    gateway = await startTestGateway(behind.url, upstream.root, { trustedRunners: [runner.id as never] });
    const before = await cutter(gateway.url, (count) => (count % 3 === 0 ? (count * 7919) % 3000 : Number.POSITIVE_INFINITY));
    relays.push(before);
    const alice = await upstream.user('alice');
    const [app, lib] = [await upstream.project('team/app'), await upstream.project('libs/secret')];
    await upstream.member(app, alice.id, 40);
    await upstream.member(lib, alice.id, 30);
    await upstream.commit(lib, 'secret.txt', 'x'.repeat(100_000));
    const ci = `job:\n  rules: [{if: '$CI_PIPELINE_SOURCE == "api"'}]\n  variables: {JOBPASS_EXPOSE: variable}\n  script: ["true"]\n`;
    await upstream.commit(app, '.gitlab-ci.yml', ci, { token: alice.token });
    await upstream.must('POST', `/api/v4/projects/${app}/pipeline`, { ref: 'main' }, alice.token);
    const plain = forgeClient(gateway.url, upstream.root);
    const job = await plain.claim(runner.token);
    if (job?.pass === undefined) throw new Error('no pass');

    const env = { PATH: process.env['PATH'] ?? '', HOME: dir, PASS: job.pass, GIT_TERMINAL_PROMPT: '0', GIT_CONFIG_NOSYSTEM: '1' };
    const helper = ['-c', 'credential.helper=', '-c', 'credential.helper=!f() { echo username=x; echo "password=$PASS"; }; f'];
    const git = (...args: string[]) =>
      run('git', [...helper, '-c', 'user.name=a', '-c', 'user.email=a@example.com', ...args], { env, timeout: 30_000 });
    const count = { good: 0, bad: 0 };
    const going = { on: true };
    const worker = async (name: number): Promise<void> => {
      for (let turn = 0; going.on; turn += 1) {
        const work = join(dir, `cut-${name}-${turn}`);
        try {
          await git('clone', '-q', `${before.url}/libs/secret.git`, work);
          await git('-C', work, 'commit', '-q', '--allow-empty', '-m', 'cut');
          await git('-C', work, 'push', '-q', 'origin', `HEAD:refs/heads/cut-${name}-${turn}`);
          const headers = { 'private-token': job.pass ?? '' };
          const answer = await fetch(`${before.url}/api/v4/projects/${lib}`, { headers, signal: AbortSignal.timeout(30_000) });
          expect([200, 502]).toContain(answer.status);
          count.good += 1;
        } catch (error) {
          // Refused or cut is fine; one that hangs is killed by its timeout.
          expect([(error as { killed?: boolean }).killed, (error as Error).name], String(error)).not.toEqual([true, expect.anything()]);
          expect((error as Error).name, String(error)).not.toBe('TimeoutError');
          count.bad += 1;
        }
      }
    };
    for (const relay of relays) relay.on = true;
    const workers = [1, 2, 3].map(worker);
    await expect.poll(() => Math.min(behind.cuts, before.cuts, count.good), { timeout: 90_000, interval: 20 }).toBeGreaterThanOrEqual(5);
    going.on = false;
    await Promise.all(workers);
    for (const relay of relays) relay.on = false;

    await plain.finish(job);
    const trail = async () =>
      (await plain.call('GET', `/api/v4/jobpass/audit?job_id=${job.id}&per_page=100`, { token: plain.root })).list.filter(
        (row) => row['decision'] === 'allow' && (row['outcome'] === null || row['outcome'] === undefined),
      );
    await expect.poll(trail, { timeout: 20_000 }).toEqual([]);
    const tokens = async (): Promise<number> =>
      (await upstream.call('GET', `/api/v4/users/${alice.id}/impersonation_tokens?state=active`, { token: upstream.root })).list.length;
    await expect.poll(tokens, { timeout: 20_000 }).toBe(0);
    console.log(
      `${count.good} rounds went through, ${count.bad} did not; ${before.cuts} connections were cut before the gateway, ${behind.cuts} behind it`,
    );
  }, 180_000);
});
