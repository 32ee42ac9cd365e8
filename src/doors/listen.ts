import { createServer, type Server } from 'node:net';
import { type Addresses, makeAddresses } from '../base/addresses.ts';
import { JobpassError } from '../base/errors.ts';
import { type Listen, reachableHost } from './http.ts';

type Listens = readonly [Listen, ...Listen[]];

/** The addresses have to be known before anything is made, also where the port is free to choose. */
export async function chosenPorts([first, ...rest]: Listens): Promise<Listens> {
  if (first.port !== 0) return [first, ...rest];
  const held = await hold(first.host);
  const address = held.address();
  if (address === null || typeof address === 'string') throw new JobpassError('internal');
  return [{ host: first.host, port: address.port, held }, ...rest];
}

/** How others reach what listens there: as the operator says, else by the first address itself. */
export function addressesOf(
  {
    externalUrls,
    registryUrl,
    tls,
  }: { readonly externalUrls: readonly string[]; readonly registryUrl: string | undefined; readonly tls: unknown },
  first: Listen,
): Addresses {
  const [url, ...more] = externalUrls;
  const own = `${tls === undefined ? 'http' : 'https'}://${reachableHost(first.host)}:${first.port}`;
  return makeAddresses(url === undefined ? [own] : [url, ...more], registryUrl);
}

/** A free port, which stays ours: the system gives one that was closed again to whoever wants any. */
async function hold(host: string): Promise<Server> {
  const server = createServer((socket) => socket.destroy()).unref();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, host, resolve);
  });
  return server;
}
