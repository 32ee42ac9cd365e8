import { readdir, readFile, rename, rm, unlink, writeFile } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import type { BuildPlace } from './executors/executor.ts';
import { killMarked, killUid } from './executors/shell/processes.ts';
import { flagIn, isTable, numberIn, textIn } from './parsed.ts';
import { privateDir } from './places.ts';
import { removeAs } from './run-as.ts';

export interface RunningJob {
  readonly job: number;
  /** Random; stands in the environment of the job's processes. */
  readonly cookie: string;
  readonly place: BuildPlace;
}

/** Notes a job before it starts anything, so that a runner that is killed can tidy up when it is back. */
export async function rememberJob(buildsDir: string, running: RunningJob): Promise<void> {
  const { place, cookie } = running;
  const note = {
    runner: process.pid,
    started: await startTime(process.pid),
    cookie,
    uid: place.uid ?? null,
    gid: place.gid ?? null,
    exclusive: place.exclusiveUid,
    tmpDir: place.tmpDir,
    trace: join(await privateDir(buildsDir, 'traces'), traceName(running.job, cookie)),
  };
  const path = await notePath(buildsDir, running.job, cookie);
  // Put in its place whole: another runner of the folder that starts right now takes one that cannot be read for a dead runner's.
  await writeFile(`${path}.new`, JSON.stringify(note), { mode: 0o600 });
  await rename(`${path}.new`, path);
}

export async function forgetJob(buildsDir: string, job: number, cookie: string): Promise<void> {
  await unlink(await notePath(buildsDir, job, cookie));
}

/** Ends and removes what jobs of a killed runner left behind. @returns their ids */
export async function cleanLeftovers(buildsDir: string): Promise<readonly number[]> {
  const dir = await privateDir(buildsDir, 'jobs');
  const cleaned: number[] = [];
  for (const name of await readdir(dir)) {
    const job = /^(\d{1,15})-[\w-]+\.json$/.exec(name)?.[1];
    if (job !== undefined && (await cleanOne(buildsDir, join(dir, name)))) cleaned.push(Number(job));
  }
  return cleaned;
}

async function cleanOne(buildsDir: string, path: string): Promise<boolean> {
  const text = await readFile(path, 'utf8').catch(() => undefined);
  // Its job has ended meanwhile.
  if (text === undefined) return false;
  const note = parsed(text);
  if (isTable(note)) {
    const runner = numberIn(note, 'runner') ?? 0;
    // Two runners may share a builds_dir; a process id alone says nothing, it is used again.
    if ((await startTime(runner)) === textIn(note, 'started')) return false;
    const [uid, gid, cookie] = [numberIn(note, 'uid'), numberIn(note, 'gid'), textIn(note, 'cookie')];
    if (uid !== undefined && gid !== undefined && uid > 0 && flagIn(note, 'exclusive') === true) await killUid(uid, gid);
    else if (cookie !== undefined && cookie !== '') await killMarked(cookie);
    const tmpDir = textIn(note, 'tmpDir') ?? '';
    // What root of a container left there goes when the slot is used again.
    if (isAbsolute(tmpDir) && tmpDir.endsWith('.tmp')) await removeAs({ uid, gid }, tmpDir).catch(() => undefined);
    const trace = textIn(note, 'trace') ?? '';
    if (trace.startsWith(`${buildsDir}/.jobpass/traces/`)) await rm(trace, { force: true });
  }
  // Another runner of the folder may be at it as well: after a crash of the machine they all start at once.
  await rm(path, { force: true });
  return true;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Of the file that holds a job's trace. An id alone would not do: entries of several servers share a folder, and each counts its own jobs. */
export function traceName(job: number, cookie: string): string {
  return `${job}-${cookie}.log`;
}

async function notePath(buildsDir: string, job: number, cookie: string): Promise<string> {
  return join(await privateDir(buildsDir, 'jobs'), `${job}-${cookie}.json`);
}

/** This process, told apart from any other that ever has its id. */
export async function processMark(): Promise<string> {
  return `${process.pid}:${await startTime(process.pid)}`;
}

/** True where the process of a mark has ended. */
export async function isGone(mark: string): Promise<boolean> {
  const [pid = '', started] = mark.split(':');
  return !/^\d+$/.test(pid) || (await startTime(Number(pid))) !== started;
}

/** When a process started, in the kernel's ticks; empty where it is not known. */
async function startTime(pid: number): Promise<string> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  // The name in brackets may hold anything; field 22 is counted from behind it.
  return text.slice(text.lastIndexOf(')') + 2).split(' ')[19] ?? '';
}
