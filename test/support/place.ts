import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { GatewayConfig } from '../../src/gateway.ts';
import { randomBase62 } from '../../src/base/secret.ts';
import { freePort } from './free-port.ts';
import { startTestGateway } from './gateway.ts';
import { type ForgeClient, forgeClient, startTestServer } from './server.ts';

/** A forge whose jobs get passes, by whatever stands behind its address. */
export interface Place {
  readonly forge: ForgeClient;
  readonly url: string;
  /** Trusted to show its jobs their full pass. */
  readonly runner: { readonly id: number; readonly token: string };
  stop(): Promise<void>;
}

export async function openEmbedded(): Promise<Place> {
  const server = await startTestServer();
  const runner = await server.runner();
  await server.must('PUT', `/api/v4/runners/${runner.id}`, { trust: 'full', pinned_verdict: 'expose' });
  return { forge: server, url: server.url, runner, stop: () => server.stop() };
}

const launcher = fileURLToPath(new URL('../../bin/jobpass.js', import.meta.url));

/** A forge in a process of its own, which knows the gateway's address as its own, as GitLab's `external_url` would be. */
async function startForge(
  dir: string,
  root: string,
  settings: readonly string[],
): Promise<{ readonly child: ChildProcess; readonly url: string }> {
  const args = ['serve', '--data', dir, '--listen', '127.0.0.1:0', ...settings];
  const child = spawn(process.execPath, [launcher, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env['PATH'] ?? '', HOME: dir, JOBPASS_ROOT_TOKEN: root },
  });
  return new Promise((resolve, reject) => {
    let seen = '';
    const look = (chunk: Buffer): void => {
      seen += chunk.toString();
      // Where it listens; its log tells its address, which is the gateway's.
      const port = /listening on http:\/\/127\.0\.0\.1:(\d+)/.exec(seen)?.[1];
      if (port === undefined) return;
      for (const stream of [child.stdout, child.stderr]) stream.off('data', look).resume();
      resolve({ child, url: `http://127.0.0.1:${port}` });
    };
    child.stdout.on('data', look);
    child.stderr.on('data', look);
    child.once('exit', () => reject(new Error(`the forge ended: ${seen}`)));
  });
}

/** Addresses that others have to know before. */
export interface PlaceAddresses {
  readonly listen: GatewayConfig['listen'];
  readonly external: string;
  readonly registry: string;
}

/**
 * The gateway, with the embedded forge behind it in another process.
 * @param between what stands between the two
 * @param config of the gateway, which trusts that runner unless this says otherwise
 * @param at none = on a free port of this machine
 */
export async function openGateway(
  between?: (url: string) => Promise<{ readonly url: string; close(): void }>,
  config: (runner: Place['runner']) => Partial<GatewayConfig> = () => ({}),
  at?: PlaceAddresses,
): Promise<Place> {
  const dir = await mkdtemp(join(tmpdir(), 'jobpass-behind-'));
  const root = `glpat-${randomBase62(20)}`;
  const listen = at?.listen ?? [{ host: '127.0.0.1', port: await freePort() }];
  const own = `http://127.0.0.1:${listen[0]?.port ?? 0}`;
  const external = at?.external ?? own;
  const plain = at === undefined ? [] : ['--registry-url', at.registry, '--allow-plain-http'];
  const { child, url } = await startForge(dir, root, ['--external-url', external, ...plain]);
  const behind = forgeClient(url, root);
  const runner = await behind.runner();
  // It speaks plain GitLab: its own passes are off.
  await behind.must('PUT', `/api/v4/runners/${runner.id}`, { trust: 'none' });
  const other = await between?.(url);
  const gateway = await startTestGateway(other?.url ?? url, root, {
    listen,
    externalUrls: [external],
    trustedRunners: [runner.id as never],
    ...(at === undefined ? {} : { registryUrl: at.registry, allowPlainHttp: true }),
    ...config(runner),
  });
  return {
    forge: forgeClient(own, root),
    url: own,
    runner,
    async stop() {
      await gateway.stop();
      other?.close();
      const gone = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGTERM');
      await gone;
      await rm(dir, { recursive: true, force: true });
    },
  };
}
