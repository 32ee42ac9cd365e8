import { join } from 'node:path';
import { JobpassError } from '../../../base/errors.ts';
import type { RunnerEntry } from '../../config.ts';
import { shortToken } from '../../places.ts';
import { removeAs, runAs } from '../../run-as.ts';
import type { BuildPlace, Executor, PrepareOptions, ScriptEnd, ScriptRun, Workspace } from '../executor.ts';
import { makePlace } from '../place.ts';
import { quote, shellScript } from '../shell/script.ts';
import type { SshConfig } from './config.ts';
import { endOf, isSshTrouble, SshConnection } from './connection.ts';
import { forgetRemote, leftNotes, noteRemote } from './notes.ts';
import { endScript, pidOf, removeScript, roomScript } from './remote.ts';
import { bringFolder, sendFolders } from './transfer.ts';

/** How long a script may take to clean up after SIGTERM. */
const graceSeconds = 5;
/** The shell that the host has, as gitlab-runner finds it. */
const anyShell = 'if command -v bash >/dev/null 2>&1; then exec bash --noprofile --norc; else exec sh; fi';

/**
 * Runs scripts on another host, as one user for all jobs: nothing keeps them apart, so the gate withholds (R7). The sources are the
 * runner's own work here; they go over without any credential, and what the job made comes back where it is to be kept.
 */
export const sshExecutor: Executor = {
  name: 'ssh',
  features: { images: false, separateUser: false, elsewhere: true },
  check: (entry) => void configOf(entry),
  async cleanLeftovers(entry) {
    const notes = await leftNotes(entry);
    if (notes.length === 0) return [];
    try {
      const { ssh } = await SshConnection.open(configOf(entry));
      try {
        for (const { cookie, slotDir } of notes) {
          await ssh.script(removeScript(cookie, slotDir));
          await forgetRemote(entry, cookie);
        }
      } finally {
        await ssh.close();
      }
    } catch (error) {
      // The host is away: the notes stay for the next start.
      if (!(error instanceof JobpassError)) throw error;
    }
    const left = new Set((await leftNotes(entry)).map(({ cookie }) => cookie));
    return notes.filter(({ cookie }) => !left.has(cookie)).map(({ job }) => job);
  },
  async prepare(options) {
    const { entry, slot, cookie, needs } = options;
    const { ssh, home } = await SshConnection.open(configOf(entry), needs.signal);
    let job: SshJob | undefined;
    try {
      if (!/^\/[\w./-]*$/.test(home) || home.split('/').includes('..'))
        throw new JobpassError('upstream_failed', 'The home folder on the host has a name that this runner does not take.');
      const seenAt = join(home, 'jobpass-builds', shortToken(entry.token), String(slot));
      const place = await makePlace(options, { seenAt, disposable: false });
      await noteRemote(entry, { job: needs.jobId, cookie, slotDir: seenAt });
      job = new SshJob(ssh, options, place);
      await ssh.script(roomScript(seenAt, place.seen.buildDir, place.seen.tmpDir), needs.signal);
      needs.say(`Using SSH executor with ${configOf(entry).user}@${configOf(entry).host} …`);
      return job;
    } catch (error) {
      await (job?.cleanup() ?? ssh.close());
      throw error;
    }
  },
};

function configOf(entry: RunnerEntry): SshConfig {
  if (entry.ssh === undefined) throw new JobpassError('invalid_input', 'The ssh executor needs a section [runners.ssh].');
  return entry.ssh;
}

/** One job's folder and processes on the host. */
class SshJob implements Workspace {
  readonly place: BuildPlace;
  readonly #ssh: SshConnection;
  readonly #options: PrepareOptions;
  #sent = false;
  #news = true;

  constructor(ssh: SshConnection, options: PrepareOptions, place: BuildPlace) {
    this.#ssh = ssh;
    this.#options = options;
    this.place = place;
  }

  deliver(): Promise<void> {
    this.#news = true;
    return Promise.resolve();
  }

  /** Sends what is new here, before a script runs there. */
  async #send(): Promise<void> {
    const { place } = this;
    if (!this.#news) return;
    const { signal } = this.#options.needs;
    const marks = [join(place.slotDir, '.sent'), join(place.slotDir, '.sending')] as const;
    await runAs(place, 'touch', ['--', marks[1]], { cwd: place.slotDir });
    const ends = { here: place.slotDir, there: place.seen.slotDir };
    const folders = [place.buildDir, place.tmpDir].map((path) => path.slice(place.slotDir.length + 1));
    await sendFolders(this.#ssh, place, ends, folders, this.#sent ? marks[0] : undefined, signal);
    await runAs(place, 'mv', ['-f', '--', marks[1], marks[0]], { cwd: place.slotDir });
    this.#sent = true;
    this.#news = false;
  }

  async collect(): Promise<void> {
    const { place } = this;
    await bringFolder(this.#ssh, place, { here: place.buildDir, there: place.seen.buildDir }, AbortSignal.timeout(3_600_000));
  }

  async run(run: ScriptRun): Promise<ScriptEnd> {
    run.signal.throwIfAborted();
    await this.#send();
    // Stopped while the sources were on their way: nobody hears of it a second time.
    if (run.signal.aborted) return { exitCode: 137 };
    const child = this.#ssh.start(anyShell);
    child.stdout.on('data', run.onOutput);
    child.stdin.on('error', () => undefined);
    child.stdin.end(this.#script(run));
    let ending: Promise<void> | undefined;
    const end = (seconds: number): void => {
      ending = this.#end(seconds)
        .catch(() => undefined)
        .finally(() => child.kill('SIGKILL'));
    };
    const stop = (): void => end(graceSeconds);
    const force = (): void => end(0);
    run.signal.addEventListener('abort', stop, { once: true });
    run.force.addEventListener('abort', force, { once: true });
    try {
      const { code, words } = await endOf(child);
      await ending;
      if (!run.signal.aborted && isSshTrouble(code, words)) throw this.#ssh.trouble(code, words);
      return { exitCode: code };
    } finally {
      run.signal.removeEventListener('abort', stop);
      run.force.removeEventListener('abort', force);
    }
  }

  endProcesses(): Promise<void> {
    return this.#end(0);
  }

  async cleanup(): Promise<void> {
    const { place } = this;
    const { entry, cookie } = this.#options;
    try {
      await this.#ssh.script(removeScript(cookie, place.seen.slotDir));
      await forgetRemote(entry, cookie);
    } finally {
      await this.#ssh.close();
      await removeAs(place, place.tmpDir);
      await removeAs(place, place.buildDir);
    }
  }

  async #end(seconds: number): Promise<void> {
    await this.#ssh.script(endScript(this.#options.cookie, this.place.seen.slotDir, seconds));
  }

  /** Environment and lines, over standard input: neither is in an argv there or here (A26). */
  #script(run: ScriptRun): string {
    const { seen } = this.place;
    const env = { ...run.env, HOME: `${seen.tmpDir}/home`, TMPDIR: `${seen.tmpDir}/tmp`, JOBPASS_JOB: this.#options.cookie };
    return [
      `cd -- ${quote(seen.buildDir)} || exit 1`,
      `echo $$ > ${quote(pidOf(seen.slotDir))}`,
      ...Object.entries(env).map(([name, value]) => `export ${name}=${quote(value)}`),
      shellScript(run.script, { shell: 'sh', xtrace: run.xtrace, sections: run.sections }),
    ].join('\n');
  }
}
