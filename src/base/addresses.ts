/** Where the server can be reached, as the operator configured it; nothing here comes from a request. */
export interface Addresses {
  /** The canonical origin, without a final slash: what links and jobs are given. */
  readonly url: string;
  /** All origins, the canonical one first. */
  readonly urls: readonly string[];
  /** `host[:port]` by which images are named. */
  readonly registry: string;
  /** Every `host[:port]` that is this server's registry. */
  readonly registryHosts: readonly string[];
  /** The configured origin that a request was sent to; the canonical one where its Host is none of them (A17: never the header itself). */
  originFor(hostHeader: string | undefined): string;
}

/**
 * @param urls origins, such as `https://forge.example`; at least one
 * @param registryUrl origin by which images are named; undefined = the canonical one
 */
export function makeAddresses(urls: readonly [string, ...string[]], registryUrl?: string): Addresses {
  const origins = [...new Set(urls.map((url) => new URL(url).origin))];
  const url = origins[0] ?? urls[0];
  const registry = new URL(registryUrl ?? url).host;
  const byHost = new Map(origins.map((origin) => [new URL(origin).host, origin]));
  if (registryUrl !== undefined && !byHost.has(registry)) byHost.set(registry, new URL(registryUrl).origin);
  return {
    url,
    urls: origins,
    registry,
    registryHosts: [...new Set([registry, ...byHost.keys()])],
    originFor: (host) => byHost.get(host?.toLowerCase() ?? '') ?? url,
  };
}
