import { mkdir, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { JobpassError } from '../../base/errors.ts';
import { bridgeAddress } from '../../runner/engine/bridge-address.ts';
import { Engine } from '../../runner/engine/engine.ts';
import type { Person } from './forge-setup.ts';
import { layOutImage } from './image/files.ts';
import { type PushedImage, pushImage } from './image/push.ts';
import type { Workplace } from './workplace.ts';

/** The container engine of this machine, and how a container reaches the machine. */
export interface Containers {
  readonly socketPath: string;
  /** The bridge's address of this machine. */
  readonly gateway: string;
  /** Both listen there; known before the server starts, as jobs are told it. */
  readonly port: number;
}

/** Name of the demo's build image, below the registry's address. */
export const toolbox = 'demo-images/toolbox';

/** @returns why the container half is left out, where it is */
export async function findContainers(host: string | undefined): Promise<Containers | string> {
  const text = host ?? process.env['DOCKER_HOST'] ?? 'unix:///var/run/docker.sock';
  if (!text.startsWith('unix://')) return `the engine at ${text} is on another machine`;
  const socketPath = text.slice('unix://'.length);
  const engine = new Engine(socketPath);
  try {
    const gateway = await bridgeAddress(engine);
    if (gateway === undefined) return `the engine at ${socketPath} has no bridge network`;
    return { socketPath, gateway, port: await freePort(gateway) };
  } catch (error) {
    if (error instanceof JobpassError) return `no container engine answers at ${socketPath}`;
    throw error;
  } finally {
    engine.close();
  }
}

/** Makes the build image and pushes it to its project. */
export async function publishToolbox(place: Workplace, url: string, pusher: Pick<Person, 'username' | 'token'>): Promise<PushedImage> {
  const root = join(place.work, 'toolbox');
  await mkdir(root, { mode: 0o755 });
  try {
    await layOutImage(root, process.execPath);
    return await pushImage({ url, name: toolbox, tag: '1', user: pusher.username, token: pusher.token }, root);
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}

/** Takes the image out of the engine again. */
export async function forgetToolbox(containers: Containers): Promise<void> {
  const engine = new Engine(containers.socketPath);
  try {
    await engine.callLoosely('DELETE', `/images/${encodeURIComponent(`127.0.0.1:${containers.port}/${toolbox}:1`)}?force=1`);
  } finally {
    engine.close();
  }
}

/** A port that is free on loopback and on the bridge. */
async function freePort(gateway: string): Promise<number> {
  const open = (host: string, port: number): Promise<{ port: number; close: () => Promise<void> }> =>
    new Promise((resolve, reject) => {
      const server = createServer();
      server.once('error', reject);
      server.listen(port, host, () => {
        const address = server.address();
        const taken = typeof address === 'object' && address !== null ? address.port : 0;
        resolve({ port: taken, close: () => new Promise((done) => server.close(() => done())) });
      });
    });
  const first = await open('127.0.0.1', 0);
  try {
    const second = await open(gateway, first.port);
    await second.close();
    return first.port;
  } finally {
    await first.close();
  }
}
