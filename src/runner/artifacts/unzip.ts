import { createWriteStream } from 'node:fs';
import { mkdir, symlink, utimes } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type Entry, open, type ZipFile } from 'yauzl';
import { JobpassError } from '../../base/errors.ts';

const maxEntries = 200_000;
const maxTotalBytes = 4 * 1024 * 1024 * 1024;
const maxLinkBytes = 4096;

/**
 * Unpacks an archive that another job made into a fresh folder. Refuses whatever points out of it: `..`, absolute names, what lies below a link (A39).
 * Links themselves may lead anywhere, as those of a virtual environment do: nothing is ever written through one; whoever takes the folder on must not
 * follow them, nor be more than the job's user.
 * @throws invalid_input, too_large
 */
export async function unzip(archive: string, folder: string, signal: AbortSignal): Promise<void> {
  const zip = await opened(archive);
  const links = new Map<string, string>();
  let [entries, bytes] = [0, 0];
  try {
    for (let entry = await nextEntry(zip); entry !== undefined; entry = await nextEntry(zip)) {
      signal.throwIfAborted();
      entries += 1;
      bytes += entry.uncompressedSize;
      if (entries > maxEntries || bytes > maxTotalBytes)
        throw new JobpassError('too_large', 'The archive unpacks to more than 4 GiB or 200,000 files.');
      await unpack(zip, entry, folder, links, signal);
    }
  } finally {
    zip.close();
  }
  const through = throughAnother(links);
  if (through !== undefined) throw bad(through);
  // Last, so that no entry can be written through one.
  for (const [path, target] of links) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await symlink(target, join(folder, path));
  }
}

/** The first link that lies below another one. They may be many: each is looked at once. */
export function throughAnother(links: ReadonlyMap<string, string>): string | undefined {
  for (const path of links.keys()) for (let above = dirname(path); above !== '.'; above = dirname(above)) if (links.has(above)) return path;
  return undefined;
}

async function unpack(zip: ZipFile, entry: Entry, folder: string, links: Map<string, string>, signal: AbortSignal): Promise<void> {
  const path = entry.fileName.replace(/\/$/, '');
  if (!safeEntry(path)) throw bad(path);
  const mode = entry.externalFileAttributes >>> 16;
  if (entry.fileName.endsWith('/')) {
    await mkdir(join(folder, path), { recursive: true });
    return;
  }
  const link = (mode & 0o170000) === 0o120000;
  if (link && entry.uncompressedSize > maxLinkBytes) throw bad(path);
  if (!link) await mkdir(dirname(join(folder, path)), { recursive: true });
  // From here on it is read: whoever lets time pass first does not hear that it is broken.
  const content = await contentOf(zip, entry);
  if (link) {
    const target = await textOf(content);
    if (!/^[^\u0000]+$/.test(target)) throw bad(path);
    links.set(path, target);
    return;
  }
  const file = createWriteStream(join(folder, path), { mode: (mode & 0o777) === 0 ? 0o644 : mode & 0o777, flags: 'wx' });
  await pipeline(content, file, { signal });
  // Tools that build only what is older look at it, of a cache most of all.
  const time = entry.getLastModDate();
  if (!Number.isNaN(time.getTime())) await utimes(join(folder, path), time, time);
}

/** By its events: iterating over what is not packed would wait for ever, since yauzl's stream is never closed. */
function textOf(content: Readable): Promise<string> {
  const parts: Buffer[] = [];
  return new Promise((resolve, reject) => {
    content.on('data', (bytes: Buffer) => parts.push(bytes));
    content.once('end', () => resolve(Buffer.concat(parts).toString('utf8')));
    content.once('error', reject);
  });
}

/** A relative path of ordinary parts. */
export function safeEntry(path: string): boolean {
  if (path === '' || path.length > 4096 || /[\u0000-\u001f\u007f\\]/.test(path)) return false;
  return path.split('/').every((part) => part !== '' && part !== '.' && part !== '..');
}

function bad(path: string): JobpassError {
  return new JobpassError(
    'invalid_input',
    `The archive has an entry that is not allowed: ${path.replaceAll(/[^\u0020-\u007e]/g, '?').slice(0, 200)}`,
  );
}

function opened(archive: string): Promise<ZipFile> {
  return new Promise((resolve, reject) => {
    open(archive, { lazyEntries: true, autoClose: false, strictFileNames: true, validateEntrySizes: true }, (error, zip) => {
      if (error === null) resolve(zip);
      else reject(new JobpassError('invalid_input', 'The artifacts are no zip archive.', error));
    });
  });
}

function nextEntry(zip: ZipFile): Promise<Entry | undefined> {
  return new Promise((resolve, reject) => {
    const done = (entry: Entry | undefined): void => {
      zip.off('entry', done);
      zip.off('end', end);
      zip.off('error', fail);
      resolve(entry);
    };
    const end = (): void => done(undefined);
    const fail = (error: Error): void => reject(new JobpassError('invalid_input', 'The archive is malformed.', error));
    zip.on('entry', done);
    zip.on('end', end);
    zip.on('error', fail);
    zip.readEntry();
  });
}

function contentOf(zip: ZipFile, entry: Entry): Promise<Readable> {
  return new Promise((resolve, reject) => {
    zip.openReadStream(entry, (error, stream) => {
      // Also after its reader has gone, an error that nobody hears would end the runner.
      if (error === null) resolve(stream.on('error', () => undefined));
      else reject(new JobpassError('invalid_input', 'The archive is malformed.', error));
    });
  });
}
