import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type GatewayConfig, type RunningGateway, startGateway } from '../../src/gateway.ts';
import { type Clock, systemClock } from '../../src/base/clock.ts';
import { jsonLog, silentLog } from '../../src/base/log.ts';
import type { Log } from '../../src/base/log.ts';

/** A gateway in this process on a free port, with a temporary data folder. */
export interface TestGateway extends RunningGateway {
  readonly dataDir: string;
  stop(): Promise<void>;
}

/** @param upstream origin of the forge @param adminToken of an administrator there */
export async function startTestGateway(
  upstream: string,
  adminToken: string,
  config: Partial<GatewayConfig> = {},
  log: Log = process.env['GWLOG'] === undefined ? silentLog : jsonLog(),
  clock: Clock = systemClock,
): Promise<TestGateway> {
  const dataDir = config.dataDir ?? (await mkdtemp(join(tmpdir(), 'jobpass-gateway-')));
  const adminTokenFile = join(dataDir, 'admin-token');
  await writeFile(adminTokenFile, `${adminToken}\n`, { mode: 0o600 });
  const gateway = await startGateway(
    {
      upstream,
      adminTokenFile,
      upstreamCa: undefined,
      dataDir,
      listen: [{ host: '127.0.0.1', port: 0 }],
      database: undefined,
      externalUrls: [],
      registryUrl: undefined,
      tls: undefined,
      allowPlainHttp: false,
      maxExposure: 'replace',
      principals: 'intersect',
      acting: 'impersonation',
      webhookSecret: undefined,
      trustedRunners: [],
      signedRunners: [],
      exposedRunners: [],
      distrustedRunners: [],
      vouchedRunners: [],
      assistedRunners: [],
      trustedProxies: [],
      ceiling: undefined,
      chainDepths: new Map(),
      objectStorage: [],
      ...config,
    },
    log,
    clock,
  );
  return {
    ...gateway,
    dataDir,
    async stop() {
      await gateway.close(1000);
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}
