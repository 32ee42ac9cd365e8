import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Readable } from 'node:stream';
import { algorithmOf, type Digest, type DigestAlgorithm, digestFrom, hexOf } from '../../base/digest.ts';
import { JobpassError } from '../../base/errors.ts';
import { randomBase62 } from '../../base/secret.ts';
import type { ContentStore } from '../../ports/content.ts';

const bufferBytes = 1024 * 1024;
/** Hashes of uploads under way that are kept in memory; the others are read again from their files. */
const hashesKept = 1000;

/** What is known of an upload beside its file. */
interface Progress {
  readonly hash: Hash;
  sizeBytes: number;
}

/**
 * Content as files named by their digest: `<algorithm>/ab/<hex>`. An upload is a file of its own until its bytes are flushed and its digest is right; then it
 * is renamed, and the folder flushed. A crash at any byte leaves the whole content or none; what is left of an upload can be continued.
 */
export async function fileContent(root: string): Promise<ContentStore> {
  const uploads = join(root, 'uploads');
  await mkdir(uploads, { recursive: true, mode: 0o700 });
  const known = new Map<string, Progress>();
  const busy = new Set<string>();
  const folders = new Set<string>();
  const folderOf = (digest: Digest): string => join(root, algorithmOf(digest), hexOf(digest).slice(0, 2));
  const pathOf = (digest: Digest): string => join(folderOf(digest), hexOf(digest));
  const uploadPath = (id: string): string => {
    if (!/^[0-9A-Za-z]{32}$/.test(id)) throw unknownUpload();
    return join(uploads, id);
  };

  /** One at a time: two appends to one file would mix. */
  async function alone<Result>(id: string, work: (path: string) => Promise<Result>): Promise<Result> {
    const path = uploadPath(id);
    if (busy.has(id)) throw new JobpassError('conflict', 'Another request is writing to this upload.');
    busy.add(id);
    try {
      return await work(path);
    } finally {
      busy.delete(id);
    }
  }

  async function progressOf(id: string, path: string): Promise<Progress> {
    const facts = await stat(path).catch(() => undefined);
    if (facts === undefined) {
      known.delete(id);
      throw unknownUpload();
    }
    const kept = known.get(id);
    if (kept !== undefined && kept.sizeBytes === facts.size) return kept;
    const fresh = { hash: await hashOf(path, 'sha256'), sizeBytes: facts.size };
    remember(id, fresh);
    return fresh;
  }

  function remember(id: string, progress: Progress): void {
    known.delete(id);
    known.set(id, progress);
    for (const [oldest] of known) {
      if (known.size <= hashesKept) break;
      known.delete(oldest);
    }
  }

  async function settle(path: string, digest: Digest): Promise<void> {
    const target = pathOf(digest);
    const folder = folderOf(digest);
    if (!folders.has(folder)) {
      await mkdir(folder, { recursive: true, mode: 0o700 });
      await flushFolder(dirname(folder));
      await flushFolder(root);
      folders.add(folder);
    }
    await rename(path, target);
    await flushFolder(folder);
  }

  return {
    async sizeOf(digest) {
      const facts = await stat(pathOf(digest)).catch(() => undefined);
      return facts?.isFile() === true ? facts.size : undefined;
    },
    async read(digest, range) {
      const file = await open(pathOf(digest), 'r').catch(() => undefined);
      if (file === undefined) throw new JobpassError('not_found', { what: 'Blob' });
      const { size } = await file.stat();
      const bounds = range === undefined ? {} : { start: range.first, end: range.last };
      return { sizeBytes: size, body: file.createReadStream({ highWaterMark: bufferBytes, ...bounds }) };
    },
    async begin() {
      const id = randomBase62(32);
      await (await open(uploadPath(id), 'wx', 0o600)).close();
      remember(id, { hash: createHash('sha256'), sizeBytes: 0 });
      return id;
    },
    async uploaded(id) {
      return (await stat(uploadPath(id)).catch(() => undefined))?.size;
    },
    append: (id, offset, body, maxBytes) =>
      alone(id, async (path) => {
        const progress = await progressOf(id, path);
        if (offset !== undefined && offset !== progress.sizeBytes)
          throw new JobpassError('range_mismatch', {
            message: `The upload stands at byte ${progress.sizeBytes}.`,
            offsetBytes: progress.sizeBytes,
          });
        const file = await open(path, 'a');
        try {
          await pour(file, body, progress, maxBytes);
        } finally {
          await file.close();
        }
        return progress.sizeBytes;
      }),
    finish: (id, digest) =>
      alone(id, async (path) => {
        const { hash, sizeBytes } = await progressOf(id, path);
        known.delete(id);
        // Uploads are hashed as nearly everybody names them; the other algorithm reads the file once more.
        const found =
          algorithmOf(digest) === 'sha256'
            ? digestFrom('sha256', hash.digest('hex'))
            : digestFrom('sha512', (await hashOf(path, 'sha512')).digest('hex'));
        if (found !== digest) {
          await rm(path, { force: true });
          throw new JobpassError('invalid_input', `The content's digest is ${found}, not ${digest}.`);
        }
        const file = await open(path, 'r');
        try {
          await file.sync();
        } finally {
          await file.close();
        }
        await settle(path, digest);
        return sizeBytes;
      }),
    discard: (id) =>
      alone(id, async (path) => {
        known.delete(id);
        return removed(path);
      }),
    remove: (digest) => removed(pathOf(digest)),
    async removeIdleUploads(before) {
      let count = 0;
      for (const id of await readdir(uploads)) {
        const path = join(uploads, id);
        const facts = await stat(path).catch(() => undefined);
        if (facts === undefined || facts.mtimeMs >= before || busy.has(id)) continue;
        known.delete(id);
        await rm(path, { force: true });
        count += 1;
      }
      return count;
    },
  };
}

async function hashOf(path: string, algorithm: DigestAlgorithm): Promise<Hash> {
  const hash = createHash(algorithm);
  for await (const chunk of createReadStream(path, { highWaterMark: bufferBytes })) hash.update(chunk as Buffer);
  return hash;
}

function unknownUpload(): JobpassError {
  return new JobpassError('not_found', { what: 'Upload' });
}

/** Hashes while it writes; what arrived before a cut stays and counts. */
async function pour(file: FileHandle, body: Readable, progress: Progress, maxBytes: number): Promise<void> {
  for await (const chunk of body) {
    const bytes: Buffer = Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk as Uint8Array);
    if (progress.sizeBytes + bytes.length > maxBytes) throw new JobpassError('too_large', `More than ${maxBytes} bytes.`);
    for (let done = 0; done < bytes.length;) done += (await file.write(bytes, done)).bytesWritten;
    progress.hash.update(bytes);
    progress.sizeBytes += bytes.length;
  }
}

async function flushFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

async function removed(path: string): Promise<boolean> {
  try {
    await rm(path);
    return true;
  } catch {
    return false;
  }
}
