import { setTimeout as delay } from 'node:timers/promises';
import { JobpassError } from '../../../base/errors.ts';
import { demultiplex } from '../../engine/demultiplex.ts';
import { Engine } from '../../engine/engine.ts';
import { flagIn, isTable, type Table, tableIn, textIn } from '../../parsed.ts';
import { isGone, processMark } from '../../cleanup.ts';
import { shortToken } from '../../places.ts';
import type { RunnerEntry } from '../../config.ts';
import { removeAs, runAs } from '../../run-as.ts';
import type { BuildPlace, Executor, PrepareOptions, ScriptEnd, ScriptRun, Workspace } from '../executor.ts';
import { makePlace } from '../place.ts';
import { shellScript } from '../shell/script.ts';
import type { DockerConfig } from './config.ts';
import { exitCodeOf } from './container-end.ts';
import { createContainer, removeContainer } from './container.ts';
import { bringImage, checkAllowed, jobLabel, ownerLabel, processLabel, type PulledImage, rowsOf } from './images.ts';
import { startServices } from './services.ts';

const graceSeconds = 5;
/** An engine that has said nothing for so long after a container's end says nothing more. */
const silenceMs = 2000;
/** For a job's folders to change their owner. */
const handBackMs = 600_000;
const seenAt = '/builds';

/** The shell that an image has, found as gitlab-runner finds it. */
const detectShell = 'for shell in /usr/local/bin/bash /usr/bin/bash /bin/bash; do [ -x "$shell" ] && exec "$shell"; done; exec sh';

/** Runs scripts in containers of the engine of this machine; the sources are the runner's own work, mounted. */
export const dockerExecutor: Executor = {
  name: 'docker',
  features: { images: true, separateUser: true, elsewhere: true },
  check: (entry) => void configOf(entry),
  async cleanLeftovers(entry) {
    const engine = new Engine(configOf(entry).socketPath);
    try {
      return await removeOwned(engine, [`${ownerLabel}=${shortToken(entry.token)}`], isGone);
    } finally {
      engine.close();
    }
  },
  async prepare(options) {
    const config = configOf(options.entry);
    const engine = new Engine(config.socketPath);
    const labels = {
      [ownerLabel]: shortToken(options.entry.token),
      [jobLabel]: String(options.needs.jobId),
      [processLabel]: await processMark(),
    };
    const place = await makePlace(options, { seenAt, disposable: true });
    const job = new DockerJob({ engine, config, options, place, labels, podman: await engine.isPodman() });
    try {
      await job.begin();
      return job;
    } catch (error) {
      await job.cleanup();
      throw error;
    }
  },
};

function configOf(entry: RunnerEntry): DockerConfig {
  if (entry.docker === undefined) throw new JobpassError('invalid_input', 'The docker executor needs a section [runners.docker].');
  return entry.docker;
}

/** Containers first: a network is only removed once nobody is in it. @returns ids of the jobs */
async function removeOwned(
  engine: Engine,
  labels: readonly string[],
  chosen: (mark: string) => Promise<boolean>,
): Promise<readonly number[]> {
  const filters = encodeURIComponent(JSON.stringify({ label: labels }));
  const mine = (row: Table): Promise<boolean> => chosen(textIn(tableIn(row, 'Labels') ?? {}, processLabel) ?? '');
  const jobs = new Set<number>();
  for (const row of rowsOf(await engine.call('GET', `/containers/json?all=1&filters=${filters}`))) {
    if (!(await mine(row))) continue;
    jobs.add(Number(textIn(tableIn(row, 'Labels') ?? {}, jobLabel) ?? 0));
    await removeContainer(engine, textIn(row, 'Id') ?? '');
  }
  for (const row of rowsOf(await engine.call('GET', `/networks?filters=${filters}`)))
    if (await mine(row)) await engine.callLoosely('DELETE', `/networks/${textIn(row, 'Id') ?? ''}`);
  return [...jobs].filter((id) => id > 0);
}

export interface DockerParts {
  readonly engine: Engine;
  readonly config: DockerConfig;
  readonly options: PrepareOptions;
  readonly place: BuildPlace;
  readonly labels: Readonly<Record<string, string>>;
  readonly podman: boolean;
}

/** One job's containers, network and folders. */
class DockerJob implements Workspace {
  readonly place: BuildPlace;
  readonly #parts: DockerParts;
  #image: PulledImage | undefined;
  #network: string | undefined;
  #opened = false;

  constructor(parts: DockerParts) {
    this.#parts = parts;
    this.place = parts.place;
  }

  async begin(): Promise<void> {
    const { engine, config, options, labels } = this.#parts;
    const { needs } = options;
    const name = needs.image?.name ?? config.image ?? '';
    if (name === '') throw new JobpassError('invalid_input', 'The job names no `image:`, and the runner has no default one.');
    checkAllowed(name, config.allowedImages, config.image, 'image');
    this.#checkUser();
    needs.say(`Using Docker executor with image ${name} …`);
    for (const service of needs.services) checkAllowed(service.name, config.allowedServices, undefined, 'service');
    this.#image = await bringImage(engine, config, needs, name, needs.image?.pullPolicy, needs.image?.platform);
    if (config.networkMode === undefined) {
      const made = await engine.call('POST', '/networks/create', {
        Name: `jobpass-${options.cookie.slice(0, 12)}`,
        Labels: labels,
        CheckDuplicate: true,
      });
      this.#network = isTable(made) ? textIn(made, 'Id') : undefined;
    }
    await startServices(this.#parts, this.#network);
  }

  async run(run: ScriptRun): Promise<ScriptEnd> {
    run.signal.throwIfAborted();
    const { engine, options, config } = this.#parts;
    const image = this.#image;
    if (image === undefined) throw new JobpassError('internal');
    await this.#open(image);
    const asked = options.needs.image;
    const container = await createContainer(this.#parts, {
      image: image.id,
      entrypoint: config.entrypointFixed ? undefined : asked?.entrypoint,
      command: ['sh', '-c', detectShell],
      user: asked?.user ?? config.user,
      env: run.env,
      network: this.#network,
      aliases: ['build'],
      mounts: true,
      stdin: true,
      host: config.build,
      volumes: config.volumes,
    });
    const stop = (): void => void engine.callLoosely('POST', `/containers/${container}/stop?t=${graceSeconds}`).catch(() => undefined);
    const kill = (): void => void engine.callLoosely('POST', `/containers/${container}/kill`).catch(() => undefined);
    run.signal.addEventListener('abort', stop, { once: true });
    run.force.addEventListener('abort', kill, { once: true });
    try {
      const { stdin, output } = await engine.attach(container);
      let heardAt = 0;
      const heard = demultiplex(output, (bytes) => {
        heardAt = performance.now();
        run.onOutput(bytes);
      });
      stdin.on('error', () => undefined);
      await engine.call('POST', `/containers/${container}/start`);
      if (run.signal.aborted) stop();
      stdin.end(shellScript(run.script, { shell: 'sh', xtrace: run.xtrace, sections: run.sections }));
      const exitCode = await exitCodeOf(engine, container, { told: run.signal });
      // What the engine still has comes as fast as this machine lets it: only silence is the end.
      const endedAt = performance.now();
      const silent = async (): Promise<void> => {
        for (let left = silenceMs; left > 0; left = Math.max(endedAt, heardAt) + silenceMs - performance.now()) await delay(left);
      };
      await Promise.race([heard, silent()]);
      output.destroy();
      await this.#sayWhy(container, run);
      return { exitCode };
    } finally {
      run.signal.removeEventListener('abort', stop);
      run.force.removeEventListener('abort', kill);
      await removeContainer(engine, container);
      await this.#giveBack(image);
    }
  }

  /** Nothing of a job runs outside its containers, and each ends with its script. */
  endProcesses(): Promise<void> {
    return Promise.resolve();
  }

  async cleanup(): Promise<void> {
    const { engine, options } = this.#parts;
    try {
      const { labels } = this.#parts;
      await removeOwned(engine, [`${ownerLabel}=${labels[ownerLabel] ?? ''}`, `${jobLabel}=${options.needs.jobId}`], () =>
        Promise.resolve(true),
      );
      if (this.#image !== undefined) await this.#giveBack(this.#image);
      await removeAs(this.place, this.place.tmpDir);
      await removeAs(this.place, this.place.buildDir);
    } finally {
      engine.close();
    }
  }

  #checkUser(): void {
    const { config, options } = this.#parts;
    const user = options.needs.image?.user;
    if (user === undefined || config.allowedUsers.length === 0 || config.allowedUsers.includes(user)) return;
    throw new JobpassError(
      'invalid_input',
      `The user ${JSON.stringify(user.slice(0, 100))} is not allowed by this runner; allowed are: ${config.allowedUsers.join(', ')}.`,
    );
  }

  /** Images with a user of their own may write to the checkout: the folder above keeps this machine's users out. */
  async #open(image: PulledImage): Promise<void> {
    const { config, options } = this.#parts;
    const user = options.needs.image?.user ?? config.user ?? image.user;
    if (this.#opened || user === '' || user === '0' || user === 'root') return;
    this.#opened = true;
    await runAs(this.place, 'chmod', ['-R', 'a+rwX', '--', this.place.buildDir, this.place.tmpDir], { cwd: this.place.slotDir });
  }

  /**
   * Root of a container owns what it made: the slot's user gets it back, without devices, pipes and sockets, before the runner looks
   * at any of it. No container runs then, and no link is followed.
   */
  async #giveBack(image: PulledImage): Promise<void> {
    const { place } = this;
    if (place.uid !== undefined && place.gid !== undefined) {
      const folders = [place.buildDir, place.tmpDir];
      await runAs(undefined, 'find', ['-P', ...folders, '!', '-type', 'd', '!', '-type', 'f', '!', '-type', 'l', '-delete'], {
        cwd: '/',
        anyExit: true,
      });
      await runAs(undefined, 'chown', ['-R', '-h', '-P', `${place.uid}:${place.gid}`, '--', ...folders], { cwd: '/', anyExit: true });
      return;
    }
    const [uid, gid] = [process.getuid?.() ?? 0, process.getgid?.() ?? 0];
    if (uid === 0) return;
    const { engine, config } = this.#parts;
    const container = await createContainer(this.#parts, {
      image: image.id,
      entrypoint: ['sh', '-c', `chown -R -h ${uid}:${gid} "$0" "$1"`],
      command: [place.seen.buildDir, place.seen.tmpDir],
      user: '0:0',
      env: {},
      network: 'none',
      aliases: [],
      mounts: true,
      stdin: false,
      host: config.build,
      volumes: [],
    });
    await engine.call('POST', `/containers/${container}/start`);
    await exitCodeOf(engine, container, { told: AbortSignal.timeout(handBackMs) });
    await removeContainer(engine, container);
  }

  async #sayWhy(container: string, run: ScriptRun): Promise<void> {
    const facts = await this.#parts.engine.call('GET', `/containers/${container}/json`).catch(() => undefined);
    const state = isTable(facts) ? tableIn(facts, 'State') : undefined;
    if (state !== undefined && flagIn(state, 'OOMKilled') === true)
      run.onOutput(Buffer.from('\nThe container was ended because it ran out of memory.\n'));
  }
}
