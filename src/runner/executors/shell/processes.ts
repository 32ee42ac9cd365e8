import { spawn } from 'node:child_process';
import { readdir, readFile, stat } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

/** Signals a whole process group; false when it is gone. */
export function signalGroup(pgid: number, signal: NodeJS.Signals): boolean {
  try {
    process.kill(-pgid, signal);
    return true;
  } catch {
    return false;
  }
}

/** SIGTERM, and SIGKILL to whatever of the group is left after `graceMs`. Resolves when the group is empty. */
export async function endGroup(pgid: number, graceMs: number): Promise<void> {
  const deadline = performance.now() + graceMs;
  let signal: NodeJS.Signals = 'SIGTERM';
  for (let rounds = 0; rounds < 500 && signalGroup(pgid, signal); rounds += 1) {
    await delay(20);
    signal = performance.now() < deadline ? 'SIGCONT' : 'SIGKILL';
  }
}

/** Kills everything that runs as `uid`, at one stroke, so that a process cannot fork away from it. Only where no other job has the uid. */
export async function killUid(uid: number, gid: number): Promise<void> {
  for (let round = 0; round < 50; round += 1) {
    const found = await runningAs(uid);
    if (found.length === 0) return;
    await new Promise<void>((resolve) => {
      // kill(-1) as that user reaches exactly that user's processes.
      const child = spawn('/bin/sh', ['-c', 'kill -KILL -1'], { uid, gid, stdio: 'ignore', env: {}, cwd: '/' });
      child.once('error', () => resolve());
      child.once('close', () => resolve());
    });
    // Where the user is at its limit of processes, that one could not start.
    for (const pid of found) signalProcess(pid);
    await delay(10);
  }
}

async function runningAs(uid: number): Promise<readonly number[]> {
  const found: number[] = [];
  for (const pid of await pids()) {
    const owner = await stat(`/proc/${pid}`).catch(() => undefined);
    if (owner?.uid !== uid) continue;
    const status = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
    // A zombie runs nothing any more; its parent collects it.
    if (status !== '' && !/\) [ZX] /.test(status)) found.push(pid);
  }
  return found;
}

function signalProcess(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It ended in the meantime.
  }
}

/** Kills the processes whose environment carries the job's cookie: the best that can be done where jobs share the runner's user. */
export async function killMarked(cookie: string): Promise<void> {
  const needle = `JOBPASS_JOB=${cookie}`;
  for (const pid of await pids()) {
    if (pid === process.pid) continue;
    const environment = await readFile(`/proc/${pid}/environ`, 'latin1').catch(() => '');
    if (environment.split('\0').includes(needle)) signalProcess(pid);
  }
}

async function pids(): Promise<number[]> {
  const names = await readdir('/proc').catch((): string[] => []);
  return names.filter((name) => /^\d+$/.test(name)).map(Number);
}
