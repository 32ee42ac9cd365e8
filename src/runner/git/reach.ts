import { lookup } from 'node:dns/promises';
import { BlockList, isIP, isIPv6 } from 'node:net';
import { JobpassError } from '../../base/errors.ts';

/** What only this machine, or only its own link, is meant to reach; where clouds answer their machines lies there as well, but for two. */
const own = new BlockList();
for (const [network, bits] of [
  ['0.0.0.0', 8],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['100.100.100.200', 32],
] as const)
  own.addSubnet(network, bits, 'ipv4');
for (const [network, bits] of [
  ['::', 127],
  ['fe80::', 10],
  ['fd00:ec2::254', 128],
] as const)
  own.addSubnet(network, bits, 'ipv6');

/** @param address of IPv4 or IPv6 */
export function isOwn(address: string): boolean {
  return own.check(address, isIPv6(address) ? 'ipv6' : 'ipv4');
}

/** Resolves a name to all its addresses. */
export type Resolve = (name: string) => Promise<readonly string[]>;

const bySystem: Resolve = async (name) => (await lookup(name, { all: true })).map(({ address }) => address);

/**
 * An address that a job's `.gitmodules` names, or a server that it named, is asked by this machine, outside of the job: it leads nowhere that this machine alone should
 * reach (A42).
 * @returns where its name leads; empty where there is no name, or a proxy alone knows it
 * @throws invalid_input, upstream_failed
 */
export async function addressesOf(url: URL, resolve: Resolve = bySystem): Promise<readonly string[]> {
  const name = url.hostname.replace(/^\[(.*)\]$/, '$1');
  const literal = isIP(name) !== 0;
  const addresses = literal
    ? [name]
    : await resolve(name).catch((error: unknown) => {
        // Behind a proxy a name need not mean anything here: then the proxy is who asks.
        if (proxied(url)) return [];
        throw new JobpassError('upstream_failed', `There is no host ${url.hostname}.`, error);
      });
  if (addresses.some(isOwn))
    throw new JobpassError(
      'invalid_input',
      `${url.origin} leads to the runner's own machine or its own link, where no submodule of another server is fetched from.`,
    );
  return literal ? [] : addresses;
}

/**
 * @returns what git has to be told of the name, `HOST:PORT:ADDRESS,…`, so that it goes where was looked at; undefined where there is nothing to tell
 * @throws invalid_input, upstream_failed
 * @see git-config, `http.curloptResolve`
 */
export async function pinned(url: URL, resolve: Resolve = bySystem): Promise<string | undefined> {
  const addresses = await addressesOf(url, resolve);
  if (addresses.length === 0) return undefined;
  const port = url.port === '' ? { 'http:': '80', 'https:': '443' }[url.protocol] : url.port;
  return `${url.hostname}:${port}:${addresses.map((one) => (isIPv6(one) ? `[${one}]` : one)).join(',')}`;
}

export function proxied({ protocol }: URL): boolean {
  const names = protocol === 'https:' ? ['https_proxy', 'HTTPS_PROXY'] : ['http_proxy'];
  return names.some((name) => (process.env[name] ?? '') !== '');
}
