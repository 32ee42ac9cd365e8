import { stat } from 'node:fs/promises';
import { isJobpassError, JobpassError } from '../../../base/errors.ts';
import { Engine } from '../../engine/engine.ts';
import { flagIn, isTable, type Table, tableIn, textIn } from '../../parsed.ts';
import { isGone, processMark } from '../../cleanup.ts';
import { shortToken } from '../../places.ts';
import type { RunnerEntry } from '../../config.ts';
import { removeAs, runAs } from '../../run-as.ts';
import type { BuildPlace, Executor, PrepareOptions, ScriptEnd, ScriptRun, Workspace } from '../executor.ts';
import { makePlace, slotDirOf } from '../place.ts';
import { shellScript } from '../shell/script.ts';
import { beginMark } from './begin-mark.ts';
import type { DockerConfig } from './config.ts';
import { exitCodeOf } from './container-end.ts';
import { hear } from './container-output.ts';
import { createContainer, removeContainer } from './container.ts';
import { endContainer } from './end-container.ts';
import { handBack } from './hand-back.ts';
import { bringImage, checkAllowed, jobLabel, ownerLabel, processLabel, type PulledImage, rowsOf } from './images.ts';
import { startServices } from './services.ts';
import { trusting } from './trusting.ts';

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
    const place = await placeFor(engine, labels, options);
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

/** What a job of a killed runner left in the slot may be root's, and a runner that is not root gets it back first. */
async function placeFor(engine: Engine, labels: DockerParts['labels'], options: PrepareOptions): Promise<BuildPlace> {
  const make = (): Promise<BuildPlace> => makePlace(options, { seenAt, disposable: true });
  if (process.getuid?.() === 0) return make();
  return make().catch(async (error: unknown) => {
    const slotDir = await slotDirOf(options);
    if (!isJobpassError(error, 'upstream_failed') || !(await stat(slotDir).catch(() => undefined))?.isDirectory()) throw error;
    await handBack(engine, labels, [slotDir]);
    return make();
  });
}

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
  /** A container has had the folders since they were given back. */
  #held = false;

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
    await this.#giveBack();
    this.#held = true;
    await this.#open(image);
    const asked = options.needs.image;
    const begun = beginMark(this.place);
    const container = await createContainer(this.#parts, {
      image: image.id,
      entrypoint: config.entrypointFixed ? undefined : asked?.entrypoint,
      command: ['sh', '-c', detectShell],
      user: this.#user,
      env: trusting(run.env),
      network: this.#network,
      aliases: ['build'],
      mounts: true,
      stdin: true,
      host: config.build,
      volumes: config.volumes,
    });
    const stop = (): void => void endContainer(engine, container).catch(() => undefined);
    const kill = (): void => void engine.callLoosely('POST', `/containers/${container}/kill`).catch(() => undefined);
    run.signal.addEventListener('abort', stop, { once: true });
    run.force.addEventListener('abort', kill, { once: true });
    try {
      const { stdin, output } = await engine.attach(container);
      const rest = hear(output, run.onOutput);
      stdin.on('error', () => undefined);
      await engine.call('POST', `/containers/${container}/start`);
      if (run.signal.aborted) stop();
      stdin.end(begun.line + shellScript(run.script, { shell: 'sh', xtrace: run.xtrace, sections: run.sections }));
      const exitCode = await exitCodeOf(engine, container, { told: run.signal });
      await rest();
      await this.#sayWhy(container, run);
      // Of a job that never ran, nobody may think that it went well.
      if (exitCode === 0 && !run.signal.aborted && (await begun.missing()))
        throw new JobpassError(
          'invalid_input',
          "The script was not run: the image's entrypoint ended without starting the shell that it was given. Name another: `image:entrypoint`.",
        );
      return { exitCode };
    } finally {
      run.signal.removeEventListener('abort', stop);
      run.force.removeEventListener('abort', kill);
      await removeContainer(engine, container);
      await this.#giveBack();
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
      await this.#giveBack();
      await removeAs(this.place, this.place.tmpDir);
      await removeAs(this.place, this.place.buildDir);
    } finally {
      engine.close();
    }
  }

  /** The operator's word stands above the job's, as for gitlab-runner. */
  get #user(): string | undefined {
    const { config, options } = this.#parts;
    return config.user === undefined || config.user === '' ? options.needs.image?.user : config.user;
  }

  #checkUser(): void {
    const { config } = this.#parts;
    const user = this.#user;
    if (user === undefined || config.allowedUsers.length === 0 || config.allowedUsers.includes(user)) return;
    throw new JobpassError(
      'invalid_input',
      `The user ${JSON.stringify(user.slice(0, 100))} is not allowed by this runner; allowed are: ${config.allowedUsers.join(', ')}.`,
    );
  }

  /**
   * The checkout is of whoever runs the script, so far as that is known: git and npm mind who owns a folder. Whoever is not root in a container, or has not all
   * that root has, may write to it in any case: the folder above it keeps this machine's users out. Before each script, since sources and what the script
   * before it made are the slot's user's by then.
   */
  async #open(image: PulledImage): Promise<void> {
    const { place } = this;
    const isRoot = ['', '0', 'root', '0:0', 'root:root'].includes(this.#user ?? image.user);
    const folders = ['--', place.buildDir, place.tmpDir];
    if (!isRoot || this.#parts.config.capDrop.length > 0) await runAs(place, 'chmod', ['-R', 'a+rwX', ...folders], { cwd: place.slotDir });
    if (isRoot && place.uid !== undefined) await runAs(undefined, 'chown', ['-RhP', '0:0', ...folders], { cwd: '/' });
  }

  /**
   * Root of a container owns what it made: the slot's user gets it back, without devices, pipes and sockets, before the runner looks
   * at any of it. No container runs then, and no link is followed.
   */
  async #giveBack(): Promise<void> {
    if (!this.#held) return;
    await this.#takeBack();
    this.#held = false;
  }

  async #takeBack(): Promise<void> {
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
    if (process.getuid?.() === 0) return;
    const { engine, labels } = this.#parts;
    await handBack(engine, labels, [place.buildDir, place.tmpDir]);
  }

  async #sayWhy(container: string, run: ScriptRun): Promise<void> {
    const facts = await this.#parts.engine.call('GET', `/containers/${container}/json`).catch(() => undefined);
    const state = isTable(facts) ? tableIn(facts, 'State') : undefined;
    if (state !== undefined && flagIn(state, 'OOMKilled') === true)
      run.onOutput(Buffer.from('\nThe container was ended because it ran out of memory.\n'));
  }
}
