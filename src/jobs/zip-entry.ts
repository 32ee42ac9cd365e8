import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createInflateRaw } from 'node:zlib';
import { JobpassError } from '../base/errors.ts';
import { limits } from '../base/limits.ts';

/** Reads bytes of the archive. @param end the first that is left out */
export type ReadPart = (from: number, end: number) => Promise<Buffer>;

/** One file of an archive; its body is as long as it says, or breaks off. */
export interface ZipEntry {
  readonly sizeBytes: number;
  readonly body: Readable;
}

const endLength = 22;
const endAtMost = endLength + 0xffff;
const centralLength = 46;
const signatures = { local: 0x04034b50, central: 0x02014b50, end: 0x06054b50 } as const;
/** What is held of an archive at a time, however large it is. */
const windowBytes = 256 * 1024;

/**
 * One file out of a ZIP archive, by its central directory; neither the archive nor the file is held whole.
 * @param sizeBytes of the archive
 * @param path as it stands in the archive
 * @returns undefined where the archive has no such file
 * @throws invalid_input for what is no plain ZIP (also ZIP64 and encrypted entries), too_large for a directory past the limits
 * @see PKWARE APPNOTE.TXT 4.3
 */
export async function zipEntry(read: ReadPart, sizeBytes: number, path: string): Promise<ZipEntry | undefined> {
  const found = await entryIn(read, await directoryOf(read, sizeBytes), Buffer.from(path));
  if (found === undefined) return undefined;
  if ((found.flags & 1) !== 0 || (found.method !== 0 && found.method !== 8)) throw bad();
  const local = await read(found.at, found.at + 30);
  if (local.length < 30 || local.readUInt32LE(0) !== signatures.local) throw bad();
  const start = found.at + 30 + local.readUInt16LE(26) + local.readUInt16LE(28);
  return { sizeBytes: found.size, body: Readable.from(unpacked(read, found, start), { objectMode: false }) };
}

/**
 * The same of one that must be small, whole.
 * @throws as above, and too_large past `maxBytes`
 */
export async function smallZipEntry(read: ReadPart, sizeBytes: number, path: string, maxBytes: number): Promise<Buffer | undefined> {
  const found = await zipEntry(read, sizeBytes, path);
  if (found === undefined) return undefined;
  if (found.sizeBytes > maxBytes) {
    found.body.destroy();
    throw new JobpassError('too_large', `${path} is larger than ${maxBytes} bytes.`);
  }
  const parts: Buffer[] = [];
  for await (const part of found.body as AsyncIterable<Buffer>) parts.push(part);
  return Buffer.concat(parts);
}

interface Entry {
  readonly flags: number;
  readonly method: number;
  readonly packed: number;
  readonly size: number;
  readonly at: number;
}

interface Directory {
  readonly entries: number;
  readonly at: number;
  readonly end: number;
}

/** Never more bytes than the directory says, which a few packed ones could become; and never fewer. */
async function* unpacked(read: ReadPart, entry: Entry, start: number): AsyncGenerator<Buffer> {
  let left = entry.size;
  for await (const part of entry.method === 0 ? packed(read, start, entry.packed) : inflated(packed(read, start, entry.packed))) {
    left -= part.length;
    if (left < 0) throw bad();
    yield part;
  }
  if (left > 0) throw bad();
}

async function* packed(read: ReadPart, start: number, length: number): AsyncGenerator<Buffer> {
  for (let done = 0; done < length;) {
    const part = await read(start + done, start + Math.min(length, done + windowBytes));
    if (part.length === 0) throw bad();
    done += part.length;
    yield part;
  }
}

async function* inflated(parts: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> {
  const inflate = createInflateRaw();
  const fed = pipeline(parts, inflate).catch(() => undefined);
  try {
    for await (const part of inflate as AsyncIterable<Buffer>) yield part;
  } catch {
    throw bad();
  } finally {
    inflate.destroy();
    await fed;
  }
}

async function directoryOf(read: ReadPart, sizeBytes: number): Promise<Directory> {
  const from = Math.max(0, sizeBytes - endAtMost);
  const tail = await read(from, sizeBytes);
  for (let at = tail.length - endLength; at >= 0; at -= 1) {
    if (tail.readUInt32LE(at) !== signatures.end || at + endLength + tail.readUInt16LE(at + 20) !== tail.length) continue;
    const found = { entries: tail.readUInt16LE(at + 10), length: tail.readUInt32LE(at + 12), at: tail.readUInt32LE(at + 16) };
    if (found.at + found.length > sizeBytes) throw bad();
    if (found.entries > limits.zipEntries || found.length > limits.zipDirectoryBytes)
      throw new JobpassError('too_large', 'The archive has too many files.');
    return { entries: found.entries, at: found.at, end: found.at + found.length };
  }
  throw bad();
}

/** The last entry of that name wins, as where archives are unpacked. */
async function entryIn(read: ReadPart, directory: Directory, path: Buffer): Promise<Entry | undefined> {
  let found: Entry | undefined;
  let window: Buffer = Buffer.alloc(0);
  let from = directory.at;
  /** @returns bytes of the directory, which are all there */
  const bytes = async (at: number, length: number): Promise<Buffer> => {
    if (at + length > directory.end) throw bad();
    if (at + length > from + window.length) {
      window = await read(at, Math.min(directory.end, at + Math.max(length, windowBytes)));
      from = at;
      if (window.length < length) throw bad();
    }
    return window.subarray(at - from, at - from + length);
  };
  let at = directory.at;
  for (let left = directory.entries; left > 0; left -= 1) {
    const head = await bytes(at, centralLength);
    if (head.readUInt32LE(0) !== signatures.central) throw bad();
    const nameLength = head.readUInt16LE(28);
    const next = at + centralLength + nameLength + head.readUInt16LE(30) + head.readUInt16LE(32);
    if (next > directory.end) throw bad();
    if ((await bytes(at + centralLength, nameLength)).equals(path))
      found = {
        flags: head.readUInt16LE(8),
        method: head.readUInt16LE(10),
        packed: head.readUInt32LE(20),
        size: head.readUInt32LE(24),
        at: head.readUInt32LE(42),
      };
    at = next;
  }
  return found;
}

function bad(): JobpassError {
  return new JobpassError('invalid_input', 'The archive is damaged, or no plain ZIP file: fetch it whole.');
}
