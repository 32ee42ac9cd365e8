import { inflateRawSync } from 'node:zlib';
import { JobpassError } from '../base/errors.ts';
import { limits } from '../base/limits.ts';

/** Reads bytes of the archive. @param end the first that is left out */
export type ReadPart = (from: number, end: number) => Promise<Buffer>;

const endLength = 22;
const endAtMost = endLength + 0xffff;
const signatures = { local: 0x04034b50, central: 0x02014b50, end: 0x06054b50 } as const;

/**
 * One small file out of a ZIP archive, by its central directory; the archive is never read whole.
 * @param sizeBytes of the archive
 * @param path as it stands in the archive
 * @returns undefined where the archive has no such file
 * @throws invalid_input for what is no plain ZIP (also ZIP64 and encrypted entries), too_large
 * @see PKWARE APPNOTE.TXT 4.3
 */
export async function zipEntry(read: ReadPart, sizeBytes: number, path: string, maxBytes: number): Promise<Buffer | undefined> {
  const { at, length, entries } = await directoryOf(read, sizeBytes);
  if (entries > limits.zipEntries || length > limits.zipDirectoryBytes)
    throw new JobpassError('too_large', 'The archive has too many files.');
  const directory = await read(at, at + length);
  if (directory.length !== length) throw bad();
  const found = entryIn(directory, entries, Buffer.from(path));
  if (found === undefined) return undefined;
  if (found.size > maxBytes || found.packed > maxBytes + 1024)
    throw new JobpassError('too_large', `${path} is larger than ${maxBytes} bytes.`);
  if ((found.flags & 1) !== 0 || (found.method !== 0 && found.method !== 8)) throw bad();
  const local = await read(found.at, found.at + 30);
  if (local.length < 30 || local.readUInt32LE(0) !== signatures.local) throw bad();
  const start = found.at + 30 + local.readUInt16LE(26) + local.readUInt16LE(28);
  const packed = await read(start, start + found.packed);
  if (packed.length !== found.packed) throw bad();
  return found.method === 0 ? packed : inflated(packed, maxBytes);
}

function inflated(packed: Buffer, maxBytes: number): Buffer {
  try {
    return inflateRawSync(packed, { maxOutputLength: maxBytes });
  } catch {
    throw bad();
  }
}

async function directoryOf(read: ReadPart, sizeBytes: number) {
  const from = Math.max(0, sizeBytes - endAtMost);
  const tail = await read(from, sizeBytes);
  for (let at = tail.length - endLength; at >= 0; at -= 1) {
    if (tail.readUInt32LE(at) !== signatures.end || at + endLength + tail.readUInt16LE(at + 20) !== tail.length) continue;
    const found = { entries: tail.readUInt16LE(at + 10), length: tail.readUInt32LE(at + 12), at: tail.readUInt32LE(at + 16) };
    if (found.at + found.length > sizeBytes) throw bad();
    return found;
  }
  throw bad();
}

/** The last entry of that name wins, as where archives are unpacked. */
function entryIn(directory: Buffer, entries: number, path: Buffer) {
  let found: { flags: number; method: number; packed: number; size: number; at: number } | undefined;
  let at = 0;
  for (let left = entries; left > 0; left -= 1) {
    if (at + 46 > directory.length || directory.readUInt32LE(at) !== signatures.central) throw bad();
    const nameLength = directory.readUInt16LE(at + 28);
    const next = at + 46 + nameLength + directory.readUInt16LE(at + 30) + directory.readUInt16LE(at + 32);
    if (next > directory.length) throw bad();
    if (directory.subarray(at + 46, at + 46 + nameLength).equals(path))
      found = {
        flags: directory.readUInt16LE(at + 8),
        method: directory.readUInt16LE(at + 10),
        packed: directory.readUInt32LE(at + 20),
        size: directory.readUInt32LE(at + 24),
        at: directory.readUInt32LE(at + 42),
      };
    at = next;
  }
  return found;
}

function bad(): JobpassError {
  return new JobpassError('invalid_input', 'The archive is damaged, or no plain ZIP file.');
}
