import { Readable } from 'node:stream';
import { limits } from './limits.ts';
import { PassSearch } from './pass-search.ts';
import { Unpacking } from './unpacking.ts';

/** A local file header of a zip archive. @see APPNOTE.TXT 4.3.7 */
const signature = Buffer.from([0x50, 0x4b, 0x03, 0x04]);
const headerBytes = 30;
const encrypted = 1;
const deflated = 8;
const gzip = [0x1f, 0x8b, 0x08];

/**
 * Looks for passes in what is uploaded, on its way in and in one go (R12, A27): in the bytes as they come, which has names and whatever is not
 * packed, and in what the entries of a zip archive, or a gzip file, hold. What is packed inside of those is not opened. Past
 * `limits.searchedUploadBytes` nothing more is unpacked.
 */
export class UploadSearch {
  readonly #raw = new PassSearch();
  readonly #unpacked = new PassSearch();
  #unpacking: Unpacking | undefined;
  /** What could be the beginning of a header. */
  #rest = Buffer.alloc(0);
  #begun = false;
  #left: number;

  /** @param limitBytes how much is unpacked */
  constructor(limitBytes: number = limits.searchedUploadBytes) {
    this.#left = limitBytes;
  }

  /** The same bytes, looked at. */
  through(body: Readable): Readable {
    const looked = async function* (search: UploadSearch): AsyncGenerator<Buffer> {
      for await (const chunk of body) {
        const bytes: Buffer = Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk);
        await search.#push(bytes);
        yield bytes;
      }
      await search.#end();
    };
    return Readable.from(looked(this), { objectMode: false });
  }

  /** Looks at all of it, and keeps nothing. */
  async read(body: AsyncIterable<Buffer> | Iterable<Buffer>): Promise<void> {
    for await (const bytes of body) await this.#push(bytes);
    await this.#end();
  }

  /** Candidates, once all has come. */
  get found(): ReadonlySet<string> {
    return new Set([...this.#raw.found, ...this.#unpacked.found]);
  }

  async #push(bytes: Buffer): Promise<void> {
    this.#raw.push(bytes);
    if (this.#left <= 0) return;
    let left = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    this.#rest = Buffer.alloc(0);
    while (left.length > 0) left = this.#unpacking === undefined ? this.#seek(left) : await this.#unpack(left, this.#unpacking);
  }

  /** Goes to where something packed begins. @returns what is to be unpacked, or nothing */
  #seek(bytes: Buffer): Buffer {
    if (!this.#begun && bytes.length < gzip.length) return this.#wait(bytes);
    const first = !this.#begun;
    this.#begun = true;
    if (first && gzip.every((byte, index) => bytes[index] === byte)) {
      this.#begin('gzip');
      return bytes;
    }
    const at = bytes.indexOf(signature);
    if (at < 0) return this.#wait(bytes.subarray(Math.max(0, bytes.length - signature.length + 1)));
    const header = bytes.subarray(at);
    if (header.length < headerBytes) return this.#wait(header);
    const length = headerBytes + header.readUInt16LE(26) + header.readUInt16LE(28);
    if (header.length < length) return this.#wait(header);
    if (header.readUInt16LE(8) !== deflated || (header.readUInt16LE(6) & encrypted) !== 0) return header.subarray(signature.length);
    this.#begin('deflate');
    return header.subarray(length);
  }

  #wait(bytes: Buffer): Buffer {
    this.#rest = Buffer.from(bytes);
    return Buffer.alloc(0);
  }

  #begin(kind: 'deflate' | 'gzip'): void {
    this.#unpacking = new Unpacking(kind, (bytes) => {
      this.#left -= bytes.length;
      this.#unpacked.push(bytes);
      return this.#left > 0;
    });
  }

  async #unpack(bytes: Buffer, unpacking: Unpacking): Promise<Buffer> {
    const taken = await unpacking.feed(bytes);
    if (taken === bytes.length && this.#left > 0) return Buffer.alloc(0);
    await this.#close(unpacking);
    return this.#left > 0 ? bytes.subarray(taken) : Buffer.alloc(0);
  }

  async #close(unpacking: Unpacking): Promise<void> {
    await unpacking.end();
    this.#unpacking = undefined;
    this.#unpacked.end();
  }

  async #end(): Promise<void> {
    if (this.#unpacking !== undefined) await this.#close(this.#unpacking);
    this.#raw.end();
  }
}
