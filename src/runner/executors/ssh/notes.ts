import { readdir, readFile, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isGone, processMark } from '../../cleanup.ts';
import { isTable, numberIn, textIn } from '../../parsed.ts';
import { privateDir, shortToken } from '../../places.ts';
import type { RunnerEntry } from '../../config.ts';

/** What a job has on the host; noted before it is made, so that a runner that is killed can tidy up when it is back. */
export interface RemoteNote {
  readonly job: number;
  readonly cookie: string;
  readonly slotDir: string;
}

export async function noteRemote(entry: RunnerEntry, note: RemoteNote): Promise<void> {
  const text = JSON.stringify({ ...note, mark: await processMark(), runner: shortToken(entry.token) });
  await writeFile(await pathOf(entry, note.cookie), text, { mode: 0o600 });
}

export async function forgetRemote(entry: RunnerEntry, cookie: string): Promise<void> {
  await unlink(await pathOf(entry, cookie)).catch(() => undefined);
}

/** Notes of this runner's whose process is gone. */
export async function leftNotes(entry: RunnerEntry): Promise<readonly RemoteNote[]> {
  const dir = await privateDir(entry.buildsDir, 'ssh');
  const found: RemoteNote[] = [];
  for (const name of await readdir(dir)) {
    const parsed: unknown = await readFile(join(dir, name), 'utf8')
      .then((text): unknown => JSON.parse(text))
      .catch((): unknown => undefined);
    if (!isTable(parsed) || textIn(parsed, 'runner') !== shortToken(entry.token) || !(await isGone(textIn(parsed, 'mark') ?? ''))) continue;
    const [job, cookie, slotDir] = [numberIn(parsed, 'job'), textIn(parsed, 'cookie'), textIn(parsed, 'slotDir')];
    if (job !== undefined && cookie !== undefined && slotDir?.startsWith('/') === true) found.push({ job, cookie, slotDir });
  }
  return found;
}

async function pathOf(entry: RunnerEntry, cookie: string): Promise<string> {
  return join(await privateDir(entry.buildsDir, 'ssh'), `${cookie}.json`);
}
