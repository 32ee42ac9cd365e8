import { readdir } from 'node:fs/promises';
import { JobpassError } from '../../../base/errors.ts';
import { limits } from '../../../base/limits.ts';
import { PassSearch } from '../../../base/pass-search.ts';
import type { GitRunner } from './processes.ts';

/** Every object, one after the other, in whatever order costs least. */
const readAll = ['cat-file', '--batch', '--batch-all-objects', '--unordered', '--buffer'];

/**
 * What looks like a pass in the objects of a push, while they are in quarantine (R12): files, names, messages. Past `limits.searchedPushBytes` nothing
 * is looked at: who pushes that much did not do it by a slip of one line.
 * @param objects the quarantine's folder; empty for a push that only deletes
 * @throws upstream_failed
 */
export async function passesInPush(git: GitRunner, repository: string, objects: string, signal: AbortSignal): Promise<ReadonlySet<string>> {
  const search = new PassSearch();
  if (objects === '' || (await holdsNothing(objects))) return search.found;
  // Without the repository's own objects as an alternate: what is there was looked at when it came.
  const reading = git.start(repository, readAll, { env: { GIT_OBJECT_DIRECTORY: objects }, signal });
  reading.input.end();
  let left = limits.searchedPushBytes;
  for await (const chunk of reading.output as AsyncIterable<Buffer>) {
    search.push(chunk);
    left -= chunk.length;
    if (left <= 0) break;
  }
  search.end();
  const { code, clean } = await reading.done;
  if (left > 0 && !(clean && code === 0))
    throw new JobpassError('upstream_failed', {}, new Error(`git cat-file ended with ${code} while a push was searched`));
  return search.found;
}

/** A branch or tag at a commit that is there brings no object. Whatever cannot be read is searched. */
async function holdsNothing(folder: string): Promise<boolean> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => undefined);
  return entries?.every((entry) => entry.isDirectory()) === true;
}
