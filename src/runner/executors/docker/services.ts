import { connect } from 'node:net';
import { isTable, tableIn, textIn } from '../../parsed.ts';
import { waitFor } from '../../wait.ts';
import { createContainer } from './container.ts';
import type { DockerParts } from './docker.ts';
import { bringImage, type PulledImage } from './images.ts';
import { parseReference, serviceNames } from './reference.ts';

const retryMs = 250;

/** Starts the job's services on its network, and waits until those that open ports answer. A service never gets a pass (R7). */
export async function startServices(parts: DockerParts, network: string | undefined): Promise<void> {
  const { engine, config, options } = parts;
  const { needs } = options;
  for (const service of needs.services) {
    needs.signal.throwIfAborted();
    needs.say(`Starting service ${service.name} …`);
    const image = await bringImage(engine, config, needs, service.name, service.pullPolicy, service.platform);
    const container = await createContainer(parts, {
      image: image.id,
      entrypoint: service.entrypoint,
      command: service.command,
      user: service.user,
      env: { ...needs.serviceEnvironment, ...service.variables },
      network,
      aliases: serviceNames(parseReference(service.name), service.name, service.aliases),
      mounts: false,
      stdin: false,
      host: config.services,
      volumes: config.volumes,
    });
    await engine.call('POST', `/containers/${container}/start`);
    if (!(await answers(parts, container, image)))
      needs.say(`WARNING: service ${service.name} probably didn't start properly: nothing answers on ${image.ports.join(', ')}`);
  }
}

/** True when it opens no port at all, or something listens on one within the time that the configuration gives. */
async function answers(parts: DockerParts, container: string, image: PulledImage): Promise<boolean> {
  const ports = portsOf(image.ports);
  if (ports.length === 0 || parts.config.serviceWaitMs <= 0) return true;
  const signal = AbortSignal.any([parts.options.needs.signal, AbortSignal.timeout(parts.config.serviceWaitMs)]);
  while (!signal.aborted) {
    const address = await addressOf(parts, container);
    if (address === undefined) return false;
    if (await oneListens(address, ports, signal)) return true;
    await waitFor(retryMs, signal);
  }
  return false;
}

/** @param exposed as an image says it, `80/tcp`: whoever made it may have said anything */
export function portsOf(exposed: readonly string[]): readonly number[] {
  return exposed.flatMap((one) => {
    const port = /^(\d{1,5})\/tcp$/.exec(one)?.[1];
    return port === undefined || Number(port) < 1 || Number(port) > 65_535 ? [] : [Number(port)];
  });
}

/** One after the other: an image may open all that there are, and none of them need say no. @returns false at the latest when the signal is aborted */
export async function oneListens(host: string, ports: readonly number[], signal: AbortSignal): Promise<boolean> {
  for (const port of ports) {
    if (signal.aborted) return false;
    if (await listens(host, port, signal)) return true;
  }
  return false;
}

/** @returns undefined where the container is not running any more */
async function addressOf({ engine }: DockerParts, container: string): Promise<string | undefined> {
  const facts = await engine.call('GET', `/containers/${container}/json`);
  const networks = isTable(facts) ? tableIn(tableIn(facts, 'NetworkSettings') ?? {}, 'Networks') : undefined;
  const found = Object.values(networks ?? {}).flatMap((one) => (isTable(one) ? [textIn(one, 'IPAddress') ?? ''] : []));
  return found.find((address) => address !== '');
}

function listens(host: string, port: number, signal: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: 1000 });
    const end = (answer: boolean) => () => {
      signal.removeEventListener('abort', none);
      socket.destroy();
      resolve(answer);
    };
    const none = end(false);
    signal.addEventListener('abort', none, { once: true });
    socket.once('connect', end(true));
    socket.once('error', none);
    socket.once('timeout', none);
  });
}
