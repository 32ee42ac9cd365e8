import { createHash, randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Readable } from 'node:stream';
import { hasCode, JobpassError } from '../../base/errors.ts';
import type { Blobs } from '../../ports/blobs.ts';

const bufferBytes = 1024 * 1024;

/** Keys are our own words and numbers; anything else is a bug or an attack (A39). */
export function pathOfKey(root: string, key: string): string {
  if (!/^[a-z0-9]+(?:[/._-][a-z0-9]+)*$/i.test(key) || key.length > 200)
    throw new JobpassError('invalid_input', 'The file key is malformed.');
  return join(root, key);
}

/** Blobs as plain files: hashed while written, flushed, renamed; a crash leaves the whole file or none. */
export function fileBlobs(root: string): Blobs {
  return {
    async write(key, body, maxBytes) {
      const path = pathOfKey(root, key);
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      const part = `${path}.${randomUUID()}.part`;
      const file = await open(part, 'wx', 0o600);
      try {
        const stored = await pour(file, body, maxBytes);
        await file.sync();
        await file.close();
        await rename(part, path);
        await syncFolder(dirname(path));
        return stored;
      } catch (error) {
        await file.close().catch(() => undefined);
        await rm(part, { force: true });
        throw error;
      }
    },
    async open(key) {
      const path = pathOfKey(root, key);
      const facts = await stat(path).catch(() => undefined);
      if (facts === undefined || !facts.isFile()) throw new JobpassError('not_found', { what: 'File' });
      return { sizeBytes: facts.size, body: createReadStream(path, { highWaterMark: bufferBytes }) };
    },
    async part(key, fromByte, endByte) {
      const file = await open(pathOfKey(root, key), 'r').catch(() => undefined);
      if (file === undefined) throw new JobpassError('not_found', { what: 'File' });
      try {
        const buffer = Buffer.alloc(Math.max(0, endByte - fromByte));
        let done = 0;
        for (let read = 1; read > 0 && done < buffer.length; done += read)
          read = (await file.read(buffer, done, buffer.length - done, fromByte + done)).bytesRead;
        return buffer.subarray(0, done);
      } finally {
        await file.close();
      }
    },
    async move(from, to) {
      const [source, target] = [pathOfKey(root, from), pathOfKey(root, to)];
      await mkdir(dirname(target), { recursive: true, mode: 0o700 });
      await rename(source, target).catch((error: unknown) => {
        throw hasCode(error, 'ENOENT') ? new JobpassError('not_found', { what: 'File' }) : error;
      });
      await syncFolder(dirname(target));
    },
    async remove(key) {
      await rm(pathOfKey(root, key), { force: true });
    },
  };
}

async function pour(file: FileHandle, body: Readable, maxBytes: number) {
  const hash = createHash('sha256');
  let sizeBytes = 0;
  for await (const chunk of body) {
    const bytes: Buffer = Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk);
    sizeBytes += bytes.length;
    if (sizeBytes > maxBytes) throw new JobpassError('too_large', `The file is larger than ${maxBytes} bytes.`);
    hash.update(bytes);
    for (let done = 0; done < bytes.length;) done += (await file.write(bytes, done)).bytesWritten;
  }
  return { sizeBytes, sha256: hash.digest('hex') };
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  await folder.sync();
  await folder.close();
}
