import { createHash, type Hash } from 'node:crypto';
import {
  closeSync,
  createReadStream,
  fdatasync,
  fstatSync,
  fsync,
  futimesSync,
  open as openCallback,
  openSync,
  statSync,
  writev,
  writevSync,
} from 'node:fs';
import { open, readdir, rename, rm, stat } from 'node:fs/promises';
import { IncomingMessage } from 'node:http';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { promisify } from 'node:util';
import type { DigestAlgorithm } from '../../base/digest.ts';
import { JobpassError } from '../../base/errors.ts';
import { limits } from '../../base/limits.ts';
import { randomBase62 } from '../../base/secret.ts';

const batchBytes = 1024 * 1024;
/** Smaller pieces may share their memory with others, and are not worth it. */
const releasedBytes = 16 * 1024;
/** Handing dirty pages to the disk while more arrive leaves little to wait for at the end. */
const flushEachBytes = 64 * 1024 * 1024;
/** Uploads under way whose hash and open file are kept; the others are read again. */
const progressKept = 128;
/** Content's age is told by its file's time of change; a little less than it is does no harm. */
const freshMs = 60_000;

/** Up to here bytes are written at once: a way through the pool of threads costs more than they do. */
const smallBytes = 64 * 1024;
const flush = promisify(fsync);
const openFile = promisify(openCallback);
const flushData = promisify(fdatasync);
const writeParts = promisify(writev);

/** What is known of an upload beside its file. Closing and looking are done at once, as they wait for no disk; flushes, and making a file, are not. */
export interface Progress {
  readonly hash: Hash;
  /** Its open file. */
  readonly fd: number;
  sizeBytes: number;
  changedAt: number;
}

/**
 * Uploads as files `<id>.<owner>.<process>`. Only the process that a file is named after writes to it: another one that goes on with an upload
 * (after a restart, or beside it) makes a copy under its own name first. So nobody holds open what somebody else finished.
 */
export class Uploads {
  readonly #folder: string;
  readonly #process = randomBase62(8);
  readonly #known = new Map<string, Progress>();
  readonly #busy = new Set<string>();
  /** By project: those that were begun since they were last counted; more than there are. */
  readonly #begun = new Map<string, number>();

  constructor(folder: string) {
    this.#folder = folder;
  }

  async begin(owner: string): Promise<string> {
    await this.#bound(owner);
    const id = randomBase62(32);
    const fd = await openFile(this.#path(owner, id), 'ax', 0o600);
    this.#remember(id, { hash: createHash('sha256'), fd, sizeBytes: 0, changedAt: Date.now() });
    return id;
  }

  async size(owner: string, id: string): Promise<number | undefined> {
    if (!isId(id)) return undefined;
    const own = await stat(this.#path(owner, id)).catch(() => undefined);
    if (own !== undefined) return own.size;
    const [other] = await this.#others(owner, id);
    return other === undefined ? undefined : (await stat(other).catch(() => undefined))?.size;
  }

  append(owner: string, id: string, offset: number | undefined, body: Readable, maxBytes: number): Promise<number> {
    return this.#alone(owner, id, async (_path, progress) => {
      if (offset !== undefined && offset !== progress.sizeBytes)
        throw new JobpassError('range_mismatch', {
          message: `The upload stands at byte ${progress.sizeBytes}.`,
          offsetBytes: progress.sizeBytes,
        });
      await pour(body, progress, maxBytes);
      return progress.sizeBytes;
    });
  }

  /** Hands the file over, flushed, to `take`, which moves it away or throws; the upload is gone either way. */
  finish(owner: string, id: string, take: (path: string, progress: Progress) => Promise<void>): Promise<number> {
    return this.#alone(owner, id, async (path, progress) => {
      try {
        const now = new Date();
        if (now.getTime() - progress.changedAt > freshMs) futimesSync(progress.fd, now, now);
        await flush(progress.fd);
        this.#forget(id);
        await take(path, progress);
      } catch (error) {
        this.#forget(id);
        await rm(path, { force: true });
        throw error;
      }
      return progress.sizeBytes;
    });
  }

  async discard(owner: string, id: string): Promise<boolean> {
    if (!isId(id)) return false;
    if (this.#busy.has(id)) throw busy();
    this.#forget(id);
    const paths = [this.#path(owner, id), ...(await this.#others(owner, id))];
    const gone = await Promise.all(
      paths.map((path) =>
        rm(path).then(
          () => true,
          () => false,
        ),
      ),
    );
    return gone.includes(true);
  }

  async removeIdle(before: number): Promise<number> {
    let count = 0;
    for (const name of await readdir(this.#folder)) {
      const id = name.slice(0, name.indexOf('.'));
      const path = join(this.#folder, name);
      const facts = await stat(path).catch(() => undefined);
      if (facts === undefined || facts.mtimeMs >= before || this.#busy.has(id)) continue;
      this.#forget(id);
      await rm(path, { force: true });
      count += 1;
    }
    return count;
  }

  close(): void {
    // What is being written to ends with the process: a descriptor may not be closed below a write.
    for (const id of this.#known.keys()) if (!this.#busy.has(id)) this.#forget(id);
  }

  #path(owner: string, id: string): string {
    return join(this.#folder, `${id}.${owner}.${this.#process}`);
  }

  /** Files of the upload that other processes made. */
  async #others(owner: string, id: string): Promise<readonly string[]> {
    const names = (await readdir(this.#folder)).filter((name) => name.startsWith(`${id}.${owner}.`) && !name.endsWith('.part'));
    return names.map((name) => join(this.#folder, name)).filter((path) => path !== this.#path(owner, id));
  }

  /** @throws rate_limited */
  async #bound(owner: string): Promise<void> {
    const project = projectOf(owner);
    const begun = (this.#begun.get(project) ?? 0) + 1;
    this.#begun.set(project, begun);
    if (begun <= limits.uploadsPerProject) return;
    const open = (await readdir(this.#folder)).filter((name) => projectOf(name.split('.')[1] ?? '') === project).length;
    this.#begun.set(project, open + 1);
    if (open >= limits.uploadsPerProject)
      throw new JobpassError('rate_limited', { message: 'Too many uploads are open in this project.', retryAfterSeconds: 30 });
  }

  /** One at a time: two appends to one file would mix. */
  async #alone<Result>(owner: string, id: string, work: (path: string, progress: Progress) => Promise<Result>): Promise<Result> {
    if (!isId(id)) throw unknownUpload();
    if (this.#busy.has(id)) throw busy();
    this.#busy.add(id);
    try {
      return await work(this.#path(owner, id), await this.#progress(owner, id));
    } finally {
      this.#busy.delete(id);
    }
  }

  async #progress(owner: string, id: string): Promise<Progress> {
    const path = this.#path(owner, id);
    const facts = statSync(path, { throwIfNoEntry: false });
    const kept = this.#known.get(id);
    if (facts !== undefined && kept?.sizeBytes === facts.size) return kept;
    this.#forget(id);
    if (facts === undefined) await this.#takeOver(owner, id);
    const hash = await hashOf(path, 'sha256');
    const fd = openSync(path, 'a');
    const progress = { hash, fd, sizeBytes: fstatSync(fd).size, changedAt: 0 };
    this.#remember(id, progress);
    return progress;
  }

  /** @throws not_found */
  async #takeOver(owner: string, id: string): Promise<void> {
    const [source, ...more] = await this.#others(owner, id);
    if (source === undefined) throw unknownUpload();
    const path = this.#path(owner, id);
    const part = await open(`${path}.part`, 'w', 0o600);
    try {
      for await (const chunk of createReadStream(source, { highWaterMark: batchBytes })) await part.appendFile(chunk as Buffer);
    } finally {
      await part.close();
    }
    await rename(`${path}.part`, path);
    for (const old of [source, ...more]) await rm(old, { force: true });
  }

  #remember(id: string, progress: Progress): void {
    this.#known.set(id, progress);
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= progressKept) break;
      // One that is being written to closes with its own finish or the next one's look.
      if (!this.#busy.has(oldest)) this.#forget(oldest);
    }
  }

  #forget(id: string): void {
    const progress = this.#known.get(id);
    this.#known.delete(id);
    if (progress !== undefined) closeSync(progress.fd);
  }
}

/** Of a whole file. */
export async function hashOf(path: string, algorithm: DigestAlgorithm): Promise<Hash> {
  const hash = createHash(algorithm);
  for await (const chunk of createReadStream(path, { highWaterMark: batchBytes })) hash.update(chunk as Buffer);
  return hash;
}

/**
 * Writes in batches, each hashed here while the disk takes it and the next one arrives. What arrived before a cut stays and counts.
 * @throws too_large, store_unavailable (the disk is full), or what the body broke off with
 */
async function pour(body: Readable, progress: Progress, maxBytes: number): Promise<void> {
  const { fd } = progress;
  // What a request brings is nobody else's.
  const ours = body instanceof IncomingMessage;
  let batch: Buffer[] = [];
  let waiting = 0;
  let unflushed = 0;
  let writing = Promise.resolve();
  let flushing = Promise.resolve();
  const write = async (): Promise<void> => {
    await writing;
    const [parts, sizeBytes] = [batch, waiting];
    [batch, waiting] = [[], 0];
    if (sizeBytes === 0) return;
    writing = writeAll(fd, parts, sizeBytes);
    writing.catch(() => undefined);
    for (const part of parts) progress.hash.update(part);
    if (ours)
      writing.then(
        () => release(parts),
        () => undefined,
      );
    // Where the write fails, this differs from the file's size, and the file is read again.
    progress.sizeBytes += sizeBytes;
    progress.changedAt = Date.now();
    unflushed += sizeBytes;
    if (unflushed < flushEachBytes) return;
    unflushed = 0;
    await flushing;
    flushing = flushData(fd);
    flushing.catch(() => undefined);
  };
  let failed: { readonly error: unknown } | undefined;
  try {
    // A request that is refused here still wants its answer, which goes out on the same socket.
    for await (const chunk of body.iterator({ destroyOnReturn: false })) {
      const bytes: Buffer = Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk as Uint8Array);
      if (progress.sizeBytes + waiting + bytes.length > maxBytes) throw new JobpassError('too_large', `More than ${maxBytes} bytes.`);
      batch.push(bytes);
      waiting += bytes.length;
      if (waiting >= batchBytes) await write();
    }
  } catch (error) {
    failed = { error };
  }
  try {
    await write();
    await writing;
  } finally {
    await flushing.catch(() => undefined);
  }
  await flushing;
  if (failed !== undefined) throw failed.error;
}

/**
 * Gives the memory of stored bytes back at once. Until they are collected they count against the heap, and each 40 MB or so of them make for a
 * collection of everything: a fifth of what an upload costs.
 */
function release(parts: readonly Buffer[]): void {
  for (const { buffer, byteLength } of parts)
    if (buffer instanceof ArrayBuffer && buffer.byteLength === byteLength && byteLength >= releasedBytes) buffer.transfer(0);
}

async function writeAll(fd: number, parts: Buffer[], sizeBytes: number): Promise<void> {
  const bytesWritten = sizeBytes <= smallBytes ? writevSync(fd, parts) : (await writeParts(fd, parts)).bytesWritten;
  if (bytesWritten !== sizeBytes) throw new JobpassError('store_unavailable', 'The disk took only a part.');
}

function projectOf(owner: string): string {
  return owner.split('-', 1)[0] ?? '';
}

function isId(id: string): boolean {
  return /^[0-9A-Za-z]{32}$/.test(id);
}

function unknownUpload(): JobpassError {
  return new JobpassError('not_found', { what: 'Upload' });
}

function busy(): JobpassError {
  return new JobpassError('conflict', 'Another request is writing to this upload.');
}
