import { constants } from 'node:fs';
import { access, chmod, copyFile, mkdir, mkdtemp, realpath, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';

/** Folders of one demo. The top is passable, so that a job's own OS user reaches its build folder; the rest is ours alone. */
export interface Workplace {
  readonly top: string;
  readonly data: string;
  readonly builds: string;
  readonly logs: string;
  readonly work: string;
  /** A Node.js that any OS user of this machine may run. */
  readonly node: string;
  /** True where the folder is to be removed at the end. */
  readonly temporary: boolean;
}

/** @param folder a named folder to keep, or undefined for a temporary one */
export async function makeWorkplace(folder: string | undefined): Promise<Workplace> {
  const top = folder ?? (await mkdtemp(join(tmpdir(), 'jobpass-demo-')));
  await mkdir(top, { recursive: true });
  const absolute = await realpath(top);
  await chmod(absolute, 0o711);
  const place = (name: string): string => join(absolute, name);
  for (const name of ['data', 'logs', 'work']) await mkdir(place(name), { recursive: true, mode: 0o700 });
  await mkdir(place('builds'), { recursive: true, mode: 0o711 });
  return {
    top: absolute,
    data: place('data'),
    builds: place('builds'),
    logs: place('logs'),
    work: place('work'),
    node: await nodeForJobs(absolute),
    temporary: folder === undefined,
  };
}

/** Jobs run as another OS user where the runner is root: a Node.js below /root or a private home is of no use to them. */
async function nodeForJobs(top: string): Promise<string> {
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
    const candidate = join(folder, 'node');
    if (folder !== '' && !folder.includes('node_modules') && (await runnableByAll(candidate))) return candidate;
  }
  if (await runnableByAll(process.execPath)) return process.execPath;
  const copy = join(top, 'node');
  await copyFile(process.execPath, copy, constants.COPYFILE_FICLONE);
  await chmod(copy, 0o755);
  return copy;
}

async function runnableByAll(file: string): Promise<boolean> {
  try {
    await access(file, constants.X_OK);
    const real = await realpath(file);
    if (((await stat(real)).mode & 0o005) !== 0o005) return false;
    for (let folder = dirname(real); folder !== dirname(folder); folder = dirname(folder)) {
      if (((await stat(folder)).mode & 0o001) === 0) return false;
    }
    return true;
  } catch {
    return false;
  }
}
