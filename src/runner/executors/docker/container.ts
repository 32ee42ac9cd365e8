import { setTimeout as delay } from 'node:timers/promises';
import { isJobpassError, JobpassError } from '../../../base/errors.ts';
import type { Engine } from '../../engine/engine.ts';
import { isTable, textIn } from '../../parsed.ts';
import type { DockerParts } from './docker.ts';

export interface ContainerOrder {
  /** Id, never a tag. */
  readonly image: string;
  readonly entrypoint: readonly string[] | undefined;
  readonly command: readonly string[] | undefined;
  readonly user: string | undefined;
  readonly env: Readonly<Record<string, string>>;
  /** Id of the job's network; undefined = the configured mode. */
  readonly network: string | undefined;
  readonly aliases: readonly string[];
  /** The job's folders are there. */
  readonly mounts: boolean;
  readonly stdin: boolean;
  /** Parts of the engine's HostConfig. */
  readonly host: Readonly<Record<string, unknown>>;
  readonly volumes: readonly string[];
}

/** podman asks for limits of the machine that a container here cannot have, where none are given. */
const podmanLimits = [
  { Name: 'nofile', Soft: 1024, Hard: 1024 },
  { Name: 'nproc', Soft: 4096, Hard: 4096 },
];

/** @returns the container's id */
export async function createContainer(parts: DockerParts, order: ContainerOrder): Promise<string> {
  const { engine, config, place, labels, podman } = parts;
  const mounts = order.mounts
    ? [
        { Type: 'bind', Source: place.buildDir, Target: place.seen.buildDir },
        { Type: 'bind', Source: place.tmpDir, Target: place.seen.tmpDir },
      ]
    : [];
  const mode = order.network ?? config.networkMode ?? 'default';
  const named = order.network !== undefined && order.network !== 'none';
  const made = await engine.call('POST', '/containers/create', {
    Image: order.image,
    ...(order.entrypoint === undefined ? {} : { Entrypoint: order.entrypoint }),
    ...(order.command === undefined ? {} : { Cmd: order.command }),
    ...(order.user === undefined || order.user === '' ? {} : { User: order.user }),
    Env: Object.entries(order.env).map(([name, value]) => `${name}=${value}`),
    Labels: labels,
    ...(order.mounts ? { WorkingDir: place.seen.buildDir } : {}),
    Tty: false,
    ...(order.stdin ? { OpenStdin: true, StdinOnce: true, AttachStdin: true, AttachStdout: true, AttachStderr: true } : {}),
    // A path alone is a volume of this container, which goes with it.
    Volumes: Object.fromEntries(order.volumes.filter((one) => !one.includes(':')).map((one) => [one, {}])),
    HostConfig: {
      ...order.host,
      Binds: order.volumes.filter((one) => one.includes(':')),
      Mounts: mounts,
      NetworkMode: mode,
      ...(podman ? { Ulimits: podmanLimits } : {}),
      // What a script says is heard as it comes. A log of the engine's would hold it unmasked, and without a bound; of a service, too.
      LogConfig: { Type: 'none' },
    },
    ...(named ? { NetworkingConfig: { EndpointsConfig: { [mode]: { Aliases: order.aliases } } } } : {}),
  });
  const id = isTable(made) ? textIn(made, 'Id') : undefined;
  if (id === undefined) throw new JobpassError('upstream_failed', 'The container engine made no container.');
  return id;
}

const removeWithinMs = 10_000;

/**
 * With its anonymous volumes; one that is gone is fine. An engine that is just tidying up after its end may find it busy, or be at its removal already: both pass.
 * @throws upstream_failed
 */
export async function removeContainer(engine: Engine, id: string, againMs = 250): Promise<void> {
  const begun = performance.now();
  for (;;) {
    try {
      return await engine.callLoosely('DELETE', `/containers/${id}?force=1&v=1`);
    } catch (error) {
      if (performance.now() - begun > removeWithinMs || !isJobpassError(error, 'upstream_failed')) throw error;
      await delay(againMs);
    }
  }
}
