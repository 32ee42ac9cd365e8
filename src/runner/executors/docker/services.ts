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
  const ports = image.ports.filter((port) => port.endsWith('/tcp')).map((port) => Number(port.slice(0, -4)));
  if (ports.length === 0 || parts.config.serviceWaitMs <= 0) return true;
  const deadline = performance.now() + parts.config.serviceWaitMs;
  while (performance.now() < deadline && !parts.options.needs.signal.aborted) {
    const address = await addressOf(parts, container);
    if (address === undefined) return false;
    for (const port of ports) if (await listens(address, port)) return true;
    await waitFor(retryMs, parts.options.needs.signal);
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

function listens(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: 1000 });
    const end = (answer: boolean) => () => {
      socket.destroy();
      resolve(answer);
    };
    socket.once('connect', end(true));
    socket.once('error', end(false));
    socket.once('timeout', end(false));
  });
}
