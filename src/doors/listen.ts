import { createServer } from 'node:net';
import { type Addresses, makeAddresses } from '../base/addresses.ts';
import { JobpassError } from '../base/errors.ts';
import { type Listen, reachableHost } from './http.ts';

type Listens = readonly [Listen, ...Listen[]];

/** The addresses have to be known before anything is made, also where the port is free to choose. */
export async function chosenPorts([first, ...rest]: Listens): Promise<Listens> {
  const port = first.port === 0 ? await freePort(first.host) : first.port;
  return [{ host: first.host, port }, ...rest];
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

async function freePort(host: string): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, host, resolve);
  });
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new JobpassError('internal');
  return address.port;
}
