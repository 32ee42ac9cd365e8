import { hash } from 'node:crypto';
import { mkdir, readFile, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * The index of a work tree as git wrote it right after a checkout, before any line of a job ran, kept out of jobs' reach. It says of each file its inode, size
 * and times. A job can set any of them but the time of the last change (ctime), which the kernel sets: a file that still fits is the one that git wrote, so
 * the next checkout of this folder need write only the others. What the job itself left in `.git` is not looked at (A53).
 */
export interface KeptIndex {
  /** Holds `index`. */
  readonly dir: string;
  /** Its own time of change to the nanosecond: files of that same moment or later are compared by their content. */
  readonly time: string;
}

const timeShape = /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{9} \+0000$/;

function folderOf(mirrorDir: string, workTree: string): string {
  return join(mirrorDir, 'jobpass-index', hash('sha256', workTree, 'hex').slice(0, 32));
}

/** @param key of the commit's attributes; files that were written by others are not up to date */
export async function keptIndex(mirrorDir: string, workTree: string, key: string | undefined): Promise<KeptIndex | undefined> {
  const dir = folderOf(mirrorDir, workTree);
  const text = await readFile(join(dir, 'about'), 'utf8').catch(() => '');
  const [time = '', writtenBy] = text.split('\n');
  return key !== undefined && writtenBy === key && timeShape.test(time) ? { dir, time } : undefined;
}

/** Where a new index is written to. */
export async function newIndexPath(mirrorDir: string, workTree: string): Promise<string> {
  const dir = folderOf(mirrorDir, workTree);
  await mkdir(dir, { recursive: true, mode: 0o700 });
  return join(dir, 'new');
}

/** Keeps what was written there. Without a time, or attributes that can be told, nothing is kept. */
export async function keepIndex(mirrorDir: string, workTree: string, time: string, key: string | undefined): Promise<void> {
  const dir = folderOf(mirrorDir, workTree);
  await rm(join(dir, 'about'), { force: true });
  if (!timeShape.test(time) || key === undefined) return rm(join(dir, 'new'), { force: true });
  // Where only whole seconds reach the job, they have to be earlier ones: then git compares more, never less.
  const seconds = Date.parse(`${time.slice(0, 10)}T${time.slice(11, 19)}Z`) / 1000;
  await utimes(join(dir, 'new'), seconds, seconds);
  await rename(join(dir, 'new'), join(dir, 'index'));
  await writeFile(join(dir, 'about'), `${time}\n${key}\n`);
}
