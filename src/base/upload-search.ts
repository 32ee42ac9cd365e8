import { Readable } from 'node:stream';
import { limits } from './limits.ts';
import { PassSearch, passesInText } from './pass-search.ts';
import { Unpacking } from './unpacking.ts';

/** A local file header of a zip archive. @see APPNOTE.TXT 4.3.7 */
const signature = Buffer.from([0x50, 0x4b, 0x03, 0x04]);
const headerBytes = 30;
const encrypted = 1;
const deflated = 8;
const gzip = Buffer.from([0x1f, 0x8b, 0x08]);
/** Where files of a tar begin. */
const blockBytes = 512;
/** How deep an archive in an archive is opened: a `.jar` in a `.tar.gz` in a `.zip`. */
const mostLevels = 3;
/** What it costs to begin with something packed, in unpacked bytes: what only looks like it must not cost nothing. */
const beginBytes = 16 * 1024;

/** Bytes that may still be looked at, packed and unpacked, on all levels together. */
interface Budget {
  raw: number;
  unpacked: number;
}

/**
 * Looks for passes in what is uploaded, on its way in and in one go (R12, A27): in the bytes as they come, which has names and whatever is not
 * packed, and in what the entries of a zip archive, or a gzip file, hold; in archives inside of archives three deep. Past
 * `limits.searchedUploadBytes` nothing more is looked at.
 */
export class UploadSearch {
  readonly #budget: Budget;
  readonly #top: Level;
  readonly #named = new Set<string>();

  /** @param limitBytes how much is unpacked, on all levels together */
  constructor(limitBytes: number = limits.searchedUploadBytes) {
    this.#budget = { raw: limits.searchedUploadBytes, unpacked: limitBytes };
    this.#top = new Level(this.#budget, 0);
  }

  /** What it will be called. */
  named(name: string): void {
    for (const { pass } of passesInText(name)) this.#named.add(pass);
  }

  /** The same bytes, looked at. */
  through(body: Readable): Readable {
    const looked = async function* (search: UploadSearch): AsyncGenerator<Buffer> {
      for await (const chunk of body) {
        const bytes: Buffer = Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk);
        await search.#push(bytes);
        yield bytes;
      }
      await search.#top.end();
    };
    return Readable.from(looked(this), { objectMode: false });
  }

  /** Looks at all of it, and keeps nothing. */
  async read(body: AsyncIterable<Buffer> | Iterable<Buffer>): Promise<void> {
    for await (const bytes of body) await this.#push(bytes);
    await this.#top.end();
  }

  /** Candidates, once all has come. */
  get found(): ReadonlySet<string> {
    return new Set([...this.#named, ...this.#top.found()]);
  }

  async #push(bytes: Buffer): Promise<void> {
    if (this.#budget.raw <= 0) return;
    this.#budget.raw -= bytes.length;
    await this.#top.push(bytes);
  }
}

/** Bytes of one level: the upload's own, or what was packed in the level above. */
class Level {
  readonly #budget: Budget;
  readonly #depth: number;
  readonly #search = new PassSearch();
  /** Of what is packed here; one after the other uses it. */
  #inner: Level | undefined;
  #unpacking: Unpacking | undefined;
  /** What could be the beginning of a header. */
  #rest = Buffer.alloc(0);
  /** Where in the level the bytes stand that are looked at next. */
  #position = 0;
  /** Where a gzip file was begun with last: not twice. */
  #tried = -1;

  constructor(budget: Budget, depth: number) {
    this.#budget = budget;
    this.#depth = depth;
  }

  *found(): Generator<string> {
    yield* this.#search.found;
    if (this.#inner !== undefined) yield* this.#inner.found();
  }

  async push(bytes: Buffer): Promise<void> {
    this.#search.push(bytes);
    if (this.#depth >= mostLevels || this.#budget.unpacked <= 0) return;
    let left = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    this.#rest = Buffer.alloc(0);
    while (left.length > 0) {
      const next = this.#unpacking === undefined ? this.#seek(left) : await this.#unpack(left, this.#unpacking);
      this.#position += left.length - next.length - this.#rest.length;
      left = next;
    }
  }

  /** The level ends; another may be pushed. */
  async end(): Promise<void> {
    if (this.#unpacking !== undefined) await this.#close(this.#unpacking);
    this.#search.end();
    this.#rest = Buffer.alloc(0);
    this.#position = 0;
    this.#tried = -1;
  }

  /** Goes to where something packed begins. @returns what is to be unpacked, or nothing */
  #seek(bytes: Buffer): Buffer {
    const zip = bytes.indexOf(signature);
    const zipped = zip < 0 ? bytes.length : zip;
    const file = this.#gzipIn(bytes, zipped);
    if (file !== undefined) {
      this.#tried = this.#position + file;
      this.#begin('gzip');
      return bytes.subarray(file);
    }
    if (zip < 0) return this.#wait(bytes.subarray(Math.max(0, bytes.length - signature.length + 1)));
    const header = bytes.subarray(zip);
    if (header.length < headerBytes) return this.#wait(header);
    const length = headerBytes + header.readUInt16LE(26) + header.readUInt16LE(28);
    if (header.length < length) return this.#wait(header);
    if (header.readUInt16LE(8) !== deflated || (header.readUInt16LE(6) & encrypted) !== 0) return header.subarray(signature.length);
    this.#begin('deflate');
    return header.subarray(length);
  }

  /** A gzip file begins the level, or one of the blocks that a tar has. */
  #gzipIn(bytes: Buffer, end: number): number | undefined {
    const first = (blockBytes - (this.#position % blockBytes)) % blockBytes;
    for (let at = first; at < end && at + gzip.length <= bytes.length; at += blockBytes)
      if (this.#position + at > this.#tried && bytes[at] === gzip[0] && bytes[at + 1] === gzip[1] && bytes[at + 2] === gzip[2]) return at;
    return undefined;
  }

  #wait(bytes: Buffer): Buffer {
    this.#rest = Buffer.from(bytes);
    return Buffer.alloc(0);
  }

  #begin(kind: 'deflate' | 'gzip'): void {
    this.#budget.unpacked -= beginBytes;
    const inner = (this.#inner ??= new Level(this.#budget, this.#depth + 1));
    this.#unpacking = new Unpacking(kind, async (bytes) => {
      this.#budget.unpacked -= bytes.length;
      await inner.push(bytes);
      return this.#budget.unpacked > 0;
    });
  }

  async #unpack(bytes: Buffer, unpacking: Unpacking): Promise<Buffer> {
    const taken = await unpacking.feed(bytes);
    if (taken === bytes.length && this.#budget.unpacked > 0) return Buffer.alloc(0);
    await this.#close(unpacking);
    return this.#budget.unpacked > 0 ? bytes.subarray(taken) : Buffer.alloc(0);
  }

  async #close(unpacking: Unpacking): Promise<void> {
    await unpacking.end();
    this.#unpacking = undefined;
    await this.#inner?.end();
  }
}
