import { closeSync, existsSync, fsync, openSync, renameSync } from 'node:fs';
import { mkdir, open, readdir, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { algorithmOf, type Digest, digestFrom, hexOf, parseDigest } from '../../base/digest.ts';
import { JobpassError } from '../../base/errors.ts';
import { randomBase62 } from '../../base/secret.ts';
import type { ContentStore } from '../../ports/content.ts';
import { BufferBody, readSmall } from './buffer-body.ts';
import { FileBody } from './file-body.ts';
import { hashOf, Uploads } from './uploads.ts';

/**
 * Content as files named by their digest: `<algorithm>/ab/<hex>`. An upload is a file of its own until its bytes are flushed and its digest is
 * right; then it is renamed, and the folder flushed. A crash at any byte leaves the whole content or none; what is left of an upload can be continued.
 */
export async function fileContent(root: string): Promise<ContentStore> {
  const trash = join(root, 'trash');
  await mkdir(join(root, 'uploads'), { recursive: true, mode: 0o700 });
  await mkdir(trash, { recursive: true, mode: 0o700 });
  const uploads = new Uploads(join(root, 'uploads'));
  /** Kept open: at most 256 for each algorithm, and flushed for each blob. */
  const folders = new Map<string, number>();
  const folderOf = (digest: Digest): string => join(root, algorithmOf(digest), hexOf(digest).slice(0, 2));
  const pathOf = (digest: Digest): string => join(folderOf(digest), hexOf(digest));

  const flushes = new Set<Promise<void>>();
  const made = new Map<string, Promise<void>>();
  async function opened(folder: string): Promise<number> {
    const algorithm = dirname(folder);
    // Once for each start: that a folder is there does not tell whether it would outlive a crash.
    const making = made.get(algorithm) ?? makeFolders(root, algorithm);
    made.set(algorithm, making);
    await making.catch((error: unknown) => {
      made.delete(algorithm);
      throw error;
    });
    const fd = folders.get(folder) ?? openSync(folder, 'r');
    folders.set(folder, fd);
    return fd;
  }

  async function settle(path: string, digest: Digest): Promise<void> {
    const folder = await opened(folderOf(digest));
    renameSync(path, pathOf(digest));
    const flushing = flush(folder);
    flushes.add(flushing);
    try {
      await flushing;
    } finally {
      flushes.delete(flushing);
    }
  }

  return {
    async read(digest, { range, signal } = {}) {
      const small = readSmall(pathOf(digest));
      if (small !== undefined)
        return { sizeBytes: small.length, body: new BufferBody(small.subarray(range?.first ?? 0, (range?.last ?? Infinity) + 1), signal) };
      const file = await open(pathOf(digest), 'r').catch(() => undefined);
      if (file === undefined) throw new JobpassError('not_found', { what: 'Blob' });
      const { size } = await file.stat();
      return { sizeBytes: size, body: new FileBody(file, range?.first ?? 0, Math.min(range?.last ?? Infinity, size - 1), signal) };
    },
    holds: (digest) => existsSync(pathOf(digest)),
    retire: (digest) => renameSync(pathOf(digest), join(trash, randomBase62(32))),
    async emptyTrash() {
      for (const name of await readdir(trash)) await rm(join(trash, name), { force: true });
    },
    async *finishedBefore(before) {
      for (const algorithm of ['sha256', 'sha512'] as const) {
        for (const folder of await namesIn(join(root, algorithm))) {
          for (const name of await namesIn(join(root, algorithm, folder))) {
            const digest = parseDigest(`${algorithm}:${name}`);
            const facts = digest === undefined ? undefined : await stat(pathOf(digest)).catch(() => undefined);
            if (digest !== undefined && facts !== undefined && facts.mtimeMs < before) yield digest;
          }
        }
      }
    },
    begin: (owner) => uploads.begin(owner),
    uploaded: (owner, id) => uploads.size(owner, id),
    append: (owner, id, offset, body, maxBytes) => uploads.append(owner, id, offset, body, maxBytes),
    finish: (owner, id, digest) =>
      uploads.finish(owner, id, async (path, progress) => {
        const algorithm = algorithmOf(digest);
        // Uploads are hashed as nearly everybody names them; the other algorithm reads the file once more.
        const hash = algorithm === 'sha256' ? progress.hash : await hashOf(path, algorithm);
        const found = digestFrom(algorithm, hash.digest('hex'));
        if (found !== digest) throw new JobpassError('invalid_input', `The content's digest is ${found}, not ${digest}.`);
        await settle(path, digest);
      }),
    discard: (owner, id) => uploads.discard(owner, id),
    removeIdleUploads: (before) => uploads.removeIdle(before),
    async close() {
      uploads.close();
      // A descriptor that is closed below a flush may be another file's by the time of it.
      await Promise.allSettled(flushes);
      for (const fd of folders.values()) closeSync(fd);
      folders.clear();
    },
  };
}

const flush = promisify(fsync);

/** All 256 of an algorithm together: two flushes for all of them, where each would need its own two. */
async function makeFolders(root: string, algorithm: string): Promise<void> {
  for (let first = 0; first < 256; first += 1)
    await mkdir(join(algorithm, first.toString(16).padStart(2, '0')), { recursive: true, mode: 0o700 });
  await flushFolder(algorithm);
  await flushFolder(root);
}

async function namesIn(folder: string): Promise<readonly string[]> {
  return readdir(folder).catch(() => []);
}

async function flushFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
