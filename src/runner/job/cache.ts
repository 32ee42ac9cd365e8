import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isJobpassError } from '../../base/errors.ts';
import { limits } from '../../base/limits.ts';
import type { JobCache } from '../../wire/runner.ts';
import { copyTree } from '../artifacts/copy-tree.ts';
import { selectFiles } from '../artifacts/select.ts';
import { unzip } from '../artifacts/unzip.ts';
import { writeZip } from '../artifacts/zip.ts';
import { type CacheOwner, CacheStore } from '../cache/store.ts';
import { stagingDir, untrackedFiles, withinBuild } from './files.ts';
import type { JobContext, Outcome } from './context.ts';
import { attemptsOf } from './git-settings.ts';
import { expander } from './variables.ts';

const maxKeyBytes = 1024;

/** Brings back what earlier jobs of the same project, tier and principals left under the keys. What cannot be had is no failure. */
export async function restoreCaches(context: JobContext): Promise<void> {
  const store = await CacheStore.open(context.entry.cacheDir);
  for (const cache of context.job.cache) if (cache.policy !== 'push') await restoreOne(context, store, cache);
}

async function restoreOne(context: JobContext, store: CacheStore, cache: JobCache): Promise<void> {
  const { trace, control, variables } = context;
  const attempts = attemptsOf(variables, 'RESTORE_CACHE_ATTEMPTS');
  const fallback = variables.get('CACHE_FALLBACK_KEY');
  const keys = [cache.key, ...cache.fallback_keys, ...(fallback === undefined ? [] : [fallback])];
  for (const [index, text] of keys.entries()) {
    const key = keyOf(context, text, index === 0);
    if (key === undefined) continue;
    trace.line(`Checking cache for ${shown(key)}…`);
    const archive = await store.find(ownerOf(context), key);
    if (archive === undefined) continue;
    for (let attempt = 1; ; attempt += 1) {
      try {
        await unpack(context, archive);
        return trace.line('Successfully extracted cache');
      } catch (error) {
        control.script.throwIfAborted();
        trace.line(`WARNING: the cache cannot be extracted: ${isJobpassError(error) ? error.message : 'it cannot be read'}`);
        if (attempt < attempts) continue;
        // It will not get better, and the job will make it anew.
        await store.remove(ownerOf(context), key);
        break;
      }
    }
  }
  trace.line('No cache is there yet');
}

/** The runner unpacks beside the build folder, and the job's own user carries it in. */
async function unpack(context: JobContext, archive: string): Promise<void> {
  const folder = await stagingDir(context, 'cache');
  try {
    await mkdir(join(folder, 'files'));
    await unzip(archive, join(folder, 'files'), context.control.script);
    await copyTree(join(folder, 'files'), context.workspace.place, context.control.script);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** True where a cache is to be kept after such an outcome. */
export function isSaved(cache: JobCache, outcome: Outcome): boolean {
  return cache.policy !== 'pull' && (cache.when === 'always' || (cache.when === 'on_success') === (outcome.state === 'success'));
}

/** Keeps what `cache:paths` name. A cache that cannot be made is no failure. */
export async function saveCaches(context: JobContext, outcome: Outcome): Promise<void> {
  const store = await CacheStore.open(context.entry.cacheDir);
  for (const cache of context.job.cache) {
    if (!isSaved(cache, outcome)) continue;
    try {
      await saveOne(context, store, cache);
    } catch (error) {
      context.control.all.throwIfAborted();
      if (!isJobpassError(error)) throw error;
      context.trace.line(`WARNING: the cache is not kept: ${error.message}`);
    }
  }
}

async function saveOne(context: JobContext, store: CacheStore, cache: JobCache): Promise<void> {
  const { trace, workspace, control, watched, variables, cookie } = context;
  const { place } = workspace;
  const key = keyOf(context, cache.key, true);
  if (key === undefined) return;
  const chosen = await selectFiles(place.buildDir, {
    paths: withinBuild(cache.paths.map(expander(variables.all)), place, (text) => trace.line(text)),
    exclude: [],
    literal: cache.untracked ? await untrackedFiles(context) : [],
  });
  if (chosen.length === 0) return trace.line('WARNING: no files match the paths of `cache:`; nothing is kept');
  trace.line(`Creating cache ${shown(key)}…`);
  const draft = await store.draft(`${cookie}.zip`);
  try {
    const say = (text: string): void => trace.line(text);
    const maxBytes = limits.cacheBytes;
    await writeZip(draft, { root: place.buildDir, uid: place.uid, chosen, watched, signal: control.all, say, maxBytes });
    await store.put(ownerOf(context), key, draft);
  } finally {
    await rm(draft, { force: true });
  }
  const files = chosen.filter(({ kind }) => kind === 'file').length;
  trace.line(`Created cache of ${files} files`);
}

function ownerOf({ entry, job, trustKey }: JobContext): CacheOwner {
  return { server: entry.url, projectId: job.job_info.project_id, trustKey };
}

/** @param own the cache's own key, which has a name of its own where none is said; a fallback then counts as missing */
function keyOf({ job, variables, trace }: JobContext, text: string, own: boolean): string | undefined {
  const key = expander(variables.all)(text).trim();
  if (key === '') return own ? `${job.job_info.name}/${job.git_info.ref}` : undefined;
  if (Buffer.byteLength(key) <= maxKeyBytes) return key;
  trace.line(`WARNING: the key of a cache is longer than ${maxKeyBytes} bytes; it is left out`);
  return undefined;
}

function shown(key: string): string {
  return key.replaceAll(/[\u0000-\u001f\u007f]/g, '?').slice(0, 200);
}
