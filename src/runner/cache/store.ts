import { hash } from 'node:crypto';
import { mkdir, open, readdir, rename, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { limits } from '../../base/limits.ts';
import { privateDir } from '../places.ts';

/** Whose a cache is. Jobs that differ in any of these never meet in one (R15, A33, A64). */
export interface CacheOwner {
  /** The server: projects of two servers may have one number. */
  readonly server: string;
  readonly projectId: number;
  /** Trust tier and principals. */
  readonly trustKey: string;
}

/** Caches unused for so long are removed. */
const unusedMs = 14 * 86_400_000;
/** A draft that is older is a killed runner's. */
const draftMs = 86_400_000;

/**
 * Archives of caches below `<dir>/.jobpass/cache`, mode 0700: no job's user can enter it. One file a key, named by a digest of owner and
 * key, so that nothing of a key is ever a path.
 */
export class CacheStore {
  readonly #dir: string;

  private constructor(dir: string) {
    this.#dir = dir;
  }

  static async open(cacheDir: string): Promise<CacheStore> {
    return new CacheStore(await privateDir(cacheDir, 'cache'));
  }

  /** @returns the archive's path, and marks it as used; undefined where there is none */
  async find(owner: CacheOwner, key: string): Promise<string | undefined> {
    const path = join(this.#folder(owner), fileOf(key));
    const found = await stat(path).catch(() => undefined);
    if (found?.isFile() !== true) return undefined;
    const now = new Date();
    await utimes(path, now, now).catch(() => undefined);
    return path;
  }

  /** Where an archive may be written that `put` takes. */
  async draft(name: string): Promise<string> {
    const drafts = join(this.#dir, 'drafts');
    await mkdir(drafts, { recursive: true, mode: 0o700 });
    return join(drafts, name);
  }

  /** Puts a draft in the place of what was under the key, in one step: a job that reads the old one goes on reading it. */
  async put(owner: CacheOwner, key: string, draft: string): Promise<void> {
    const folder = this.#folder(owner);
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await flush(draft);
    await rename(draft, join(folder, fileOf(key)));
    await flush(folder);
    await this.tidy();
  }

  async remove(owner: CacheOwner, key: string): Promise<void> {
    await rm(join(this.#folder(owner), fileOf(key)), { force: true });
  }

  /** Removes what nobody has used for long, and of the rest the longest unused until all are below the limit. */
  async tidy(maxBytes: number = limits.cacheStoreBytes, now = Date.now()): Promise<void> {
    const kept: { readonly path: string; readonly size: number; readonly mtimeMs: number }[] = [];
    for (const folder of await readdir(this.#dir, { withFileTypes: true })) {
      if (!folder.isDirectory()) continue;
      const dir = join(this.#dir, folder.name);
      for (const name of await readdir(dir)) {
        const path = join(dir, name);
        const found = await stat(path).catch(() => undefined);
        if (found === undefined) continue;
        const old = now - found.mtimeMs > (folder.name === 'drafts' ? draftMs : unusedMs);
        if (old) await rm(path, { force: true });
        else if (folder.name !== 'drafts') kept.push({ path, size: found.size, mtimeMs: found.mtimeMs });
      }
    }
    let total = kept.reduce((sum, { size }) => sum + size, 0);
    for (const { path, size } of kept.toSorted((one, other) => one.mtimeMs - other.mtimeMs)) {
      if (total <= maxBytes) break;
      await rm(path, { force: true });
      total -= size;
    }
  }

  #folder({ server, projectId, trustKey }: CacheOwner): string {
    return join(this.#dir, hash('sha256', JSON.stringify([server, projectId, trustKey]), 'hex').slice(0, 40));
  }
}

function fileOf(key: string): string {
  return `${hash('sha256', key, 'hex').slice(0, 40)}.zip`;
}

async function flush(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
