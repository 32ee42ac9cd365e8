import type { GatewayConfig } from '../../src/gateway.ts';
import type { ServerConfig } from '../../src/server.ts';
import { startTestGateway, type TestGateway } from './gateway.ts';
import { freePort } from './free-port.ts';
import { type ForgeClient, forgeClient, startTestServer, type TestServer } from './server.ts';

/** A place in which the end-to-end stories happen: the embedded forge, or the gateway in front of one. */
export interface StoryPlace extends ForgeClient {
  readonly url: string;
  stop(): Promise<void>;
}

/** An embedded forge behind a gateway, asked through it. It knows the gateway's address as its own, as GitLab's `external_url` would be. */
export interface Behind extends StoryPlace {
  readonly upstream: TestServer;
  readonly gateway: TestGateway;
}

export interface BehindOptions {
  /** Its port, where others have to know it before. */
  readonly port?: number;
  readonly server?: Partial<ServerConfig>;
  readonly gateway?: Partial<GatewayConfig>;
  /** What the settings have to name, which is made at the forge first. */
  readonly prepared?: (upstream: TestServer) => Promise<Partial<GatewayConfig>>;
}

export async function startBehind(options: BehindOptions = {}): Promise<Behind> {
  const port = options.port ?? (await freePort());
  const external = `http://127.0.0.1:${port}`;
  const upstream = await startTestServer({ externalUrls: [external], ...options.server });
  const gateway = await startTestGateway(upstream.url, upstream.root, {
    listen: [{ host: '127.0.0.1', port }],
    externalUrls: [external],
    ...options.gateway,
    ...(await options.prepared?.(upstream)),
  });
  return {
    ...forgeClient(external, upstream.root),
    url: external,
    upstream,
    gateway,
    async stop() {
      await gateway.stop();
      await upstream.stop();
    },
  };
}
