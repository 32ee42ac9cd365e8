import { type FileHandle, open, unlink } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { LineStamper } from './lines.ts';
import type { Masker } from './masker.ts';

export interface TraceOptions {
  /** The file that holds the masked trace, mode 0600; never in memory as a whole. */
  readonly path: string;
  readonly masker: Masker;
  readonly timestamps: boolean;
  readonly limitBytes: number;
}

/** A job's output on its way to the server: masked, stamped, written to a file. */
export class Trace {
  readonly #options: TraceOptions;
  readonly #stamper: LineStamper | undefined;
  readonly #file: FileHandle;
  /** Writes in order; a failed one fails `end()`. */
  #tail: Promise<unknown> = Promise.resolve();
  #size = 0;
  #written = 0;
  #crc = 0;
  #full = false;
  /** Called when there is more to send. */
  onMore: () => void = () => undefined;

  private constructor(options: TraceOptions, file: FileHandle) {
    this.#options = options;
    this.#file = file;
    this.#stamper = options.timestamps ? new LineStamper() : undefined;
  }

  static async open(options: TraceOptions): Promise<Trace> {
    return new Trace(options, await open(options.path, 'w+', 0o600));
  }

  /** Output of the job, unmasked. */
  append(bytes: Buffer): void {
    if (!this.#full) this.#store(this.#options.masker.write(bytes));
  }

  /** A line of the runner's own. */
  line(text: string): void {
    this.append(Buffer.from(`${text}\n`, 'utf8'));
  }

  /** Bytes that are in the file. */
  get sizeBytes(): number {
    return this.#written;
  }

  /** `crc32:%08x` (IEEE) of the whole masked trace; meant for after `end()`. */
  get checksum(): string {
    return `crc32:${this.#crc.toString(16).padStart(8, '0')}`;
  }

  /** Flushes what the masker holds back; nothing is appended after it. */
  async end(): Promise<void> {
    if (!this.#full) this.#store(this.#options.masker.end());
    this.#full = true;
    await this.#tail;
  }

  async read(offsetBytes: number, maxBytes: number): Promise<Buffer> {
    const length = Math.min(maxBytes, Math.max(0, this.#written - offsetBytes));
    const { bytesRead, buffer } = await this.#file.read(Buffer.alloc(length), 0, length, offsetBytes);
    return buffer.subarray(0, bytesRead);
  }

  async remove(): Promise<void> {
    await this.#file.close();
    await unlink(this.#options.path);
  }

  #store(masked: Buffer): void {
    if (masked.length === 0) return;
    let bytes = this.#stamper?.write(masked) ?? masked;
    if (this.#size + bytes.length > this.#options.limitBytes) {
      this.#full = true;
      const note = Buffer.from(`\nThe job's log exceeded its limit of ${this.#options.limitBytes} bytes.\n`);
      bytes = Buffer.concat([bytes.subarray(0, Math.max(0, this.#options.limitBytes - this.#size)), note]);
    }
    const at = this.#size;
    this.#size += bytes.length;
    this.#crc = crc32(bytes, this.#crc);
    this.#tail = this.#tail.then(async () => {
      await this.#file.write(bytes, 0, bytes.length, at);
      this.#written = at + bytes.length;
      return this.onMore();
    });
    this.#tail.catch(() => undefined);
  }
}
