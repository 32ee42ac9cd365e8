import { constants, createWriteStream } from 'node:fs';
import { type FileHandle, open, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough, Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { ZipFile } from 'yazl';
import { JobpassError } from '../../base/errors.ts';
import { limits } from '../../base/limits.ts';
import { Masker, type WatchedSecret } from '../trace/masker.ts';
import type { Chosen } from './select.ts';
import { safeEntry } from './unzip.ts';

export interface ZipOrder {
  /** The build folder; the job's own. */
  readonly root: string;
  /** Who must own a file; undefined = whoever the runner is. */
  readonly uid: number | undefined;
  readonly chosen: readonly Chosen[];
  /** Looked for in every file (R12, A27). */
  readonly watched: readonly WatchedSecret[];
  readonly signal: AbortSignal;
  /** Of the archive; that of artifacts where nothing is said. */
  readonly maxBytes?: number;
  readonly say: (text: string) => void;
}

/** Writes the chosen files to a zip, streamed. @throws too_large */
export async function writeZip(path: string, order: ZipOrder): Promise<void> {
  const zip = new ZipFile();
  // What cannot be read is told by `addOne`; an error that nobody hears would end the runner.
  zip.on('error', () => undefined);
  // yazl's type says ReadableStream; it is one of Node's own.
  const output = Readable.from(zip.outputStream);
  const written = pipeline(output, sizeLimit(order.maxBytes ?? limits.artifactBytes), createWriteStream(path, { mode: 0o600 }), {
    signal: order.signal,
  });
  written.catch(() => undefined);
  try {
    // A pass may be the name of a file as well, or what a link leads to.
    const names = new Masker({ phrases: [], watched: order.watched, prefixes: [] });
    for (const one of order.chosen) {
      names.write(Buffer.from(`${one.path}\n`));
      await addOne(zip, order, one, names, written);
    }
    zip.end();
    await written;
  } catch (error) {
    output.destroy();
    throw error;
  }
}

/**
 * Writes files one after the other, each a gzip member of its own, or a single one as it is: how reports are sent.
 * @throws too_large
 * @see GitLab Runner API, artifact formats
 */
export async function writePlain(path: string, order: ZipOrder, format: 'gzip' | 'raw'): Promise<void> {
  const files = order.chosen.filter(({ kind }) => kind === 'file');
  if (format === 'raw' && files.length > 1) order.say(`WARNING: a report of this type is one file; only ${files[0]?.path ?? ''} is sent`);
  const output = await open(path, 'w', 0o600);
  try {
    const limit = sizeLimit(limits.reportBytes);
    const content = Readable.from(members(order, format === 'raw' ? files.slice(0, 1) : files, format), { objectMode: false });
    await pipeline(content, limit, output.createWriteStream(), { signal: order.signal });
  } finally {
    await output.close();
  }
}

async function* members(order: ZipOrder, files: readonly Chosen[], format: 'gzip' | 'raw'): AsyncGenerator<Buffer> {
  for (const { path } of files) {
    const file = await openOwn(order, path);
    if (file === undefined) {
      order.say(`WARNING: ${path} is not a file of the job; it is left out`);
      continue;
    }
    const bytes = Readable.from(scannedBytes(file, order), { objectMode: false });
    if (format === 'raw') yield* bytes;
    else {
      const packed = createGzip();
      // An error of the file is thrown where `packed` is read.
      pipeline(bytes, packed).catch(() => undefined);
      yield* packed;
    }
  }
}

async function* scannedBytes(file: FileHandle, { watched }: ZipOrder): AsyncGenerator<Buffer> {
  const masker = new Masker({ phrases: [], watched, prefixes: [] });
  for await (const chunk of file.createReadStream({ autoClose: true })) {
    const bytes: Buffer = chunk;
    masker.write(bytes);
    yield bytes;
  }
}

async function addOne(zip: ZipFile, order: ZipOrder, { path, kind }: Chosen, names: Masker, written: Promise<void>): Promise<void> {
  if (!safeEntry(path))
    return order.say(`WARNING: ${path.replaceAll(/[\u0000-\u001f\u007f]/g, '?')} has a name that no archive may hold; it is left out`);
  if (kind === 'folder') return zip.addEmptyDirectory(path);
  if (kind === 'link') {
    const target = Buffer.from(await readlink(join(order.root, path)));
    names.write(Buffer.concat([target, Buffer.from('\n')]));
    return zip.addBuffer(target, path, { mode: 0o120777 });
  }
  const file = await openOwn(order, path);
  if (file === undefined) return order.say(`WARNING: ${path} is not a file of the job; it is left out`);
  const { mode, mtime } = await file.stat();
  const masker = new Masker({ phrases: [], watched: order.watched, prefixes: [] });
  const scanned = new PassThrough();
  const read = pipeline(file.createReadStream({ autoClose: true }), scanning(masker), scanned);
  const taken = new Promise<void>((resolve, reject) => {
    scanned.once('end', resolve);
    read.catch(reject);
  });
  zip.addReadStream(scanned, path, { mode: mode & 0o777, mtime });
  // One file after the other: at most one is open, and none when this is over.
  try {
    await Promise.race([taken, written]);
  } finally {
    scanned.destroy();
  }
}

/**
 * Opens a file of the job. The runner may be root: what is opened must lie in the build folder and belong to the job's user, whatever
 * links the job laid on the way; both are asked of the open file, so that nothing can be swapped in between (A39).
 */
async function openOwn(order: ZipOrder, path: string): Promise<FileHandle | undefined> {
  const file = await open(join(order.root, path), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK).catch(() => undefined);
  if (file === undefined) return undefined;
  const status = await file.stat();
  const place = await readlink(`/proc/self/fd/${file.fd}`).catch(() => undefined);
  const within = place === undefined ? order.uid === undefined : place.startsWith(`${order.root}/`);
  if (status.isFile() && within && (order.uid === undefined || status.uid === order.uid)) return file;
  await file.close();
  return undefined;
}

function scanning(masker: Masker): Transform {
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      masker.write(chunk);
      done(null, chunk);
    },
  });
}

function sizeLimit(maxBytes: number): Transform {
  let size = 0;
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      size += chunk.length;
      if (size > maxBytes) done(new JobpassError('too_large', `The files are larger than ${maxBytes} bytes together.`));
      else done(null, chunk);
    },
  });
}

/** A multipart body with one part `file`, streamed. */
export function multipart(filename: string, content: Readable): { readonly type: string; readonly body: Readable } {
  const boundary = `jobpass-${crypto.randomUUID()}`;
  const head = `--${boundary}\r\nContent-Disposition: form-data; name="file"; filename="${filename.replaceAll(/[^\w.-]/g, '_')}"\r\nContent-Type: application/octet-stream\r\n\r\n`;
  const parts = async function* (): AsyncGenerator<Buffer> {
    yield Buffer.from(head);
    for await (const chunk of content) {
      const bytes: Buffer = chunk;
      yield bytes;
    }
    yield Buffer.from(`\r\n--${boundary}--\r\n`);
  };
  const body = Readable.from(parts(), { objectMode: false });
  // A request that fails before it reads anything would leave the file open, and nobody would hear what becomes of it.
  content.on('error', () => undefined);
  body.once('close', () => content.destroy());
  return { type: `multipart/form-data; boundary=${boundary}`, body };
}
