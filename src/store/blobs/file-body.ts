import type { FileHandle } from 'node:fs/promises';
import { Readable, type Writable } from 'node:stream';
import { JobpassError } from '../../base/errors.ts';
import type { ContentBody } from '../../ports/content.ts';

const bufferBytes = 2 * 1024 * 1024;
/** Fresh memory of this size costs a page fault for each 4 KiB of it, so it is used again. */
const spare: Buffer[] = [];
const sparesKept = 16;

/** The bytes `first` to `last` of an open file, which it closes. */
export class FileBody extends Readable implements ContentBody {
  readonly #file: FileHandle;
  readonly #last: number;
  readonly #signal: AbortSignal | undefined;
  readonly #abort = (): void => void this.destroy(new JobpassError('pass_dead'));
  #at: number;

  constructor(file: FileHandle, first: number, last: number, signal?: AbortSignal) {
    super({ highWaterMark: bufferBytes });
    this.#file = file;
    this.#at = first;
    this.#last = last;
    this.#signal = signal;
    // A stream that is cut before anybody reads it must not end the process.
    this.on('error', () => undefined);
    signal?.addEventListener('abort', this.#abort, { once: true });
    if (signal?.aborted === true) this.#abort();
  }

  override _read(): void {
    const wanted = Math.min(bufferBytes, this.#last + 1 - this.#at);
    if (wanted <= 0) return void this.push(null);
    this.#fill(Buffer.allocUnsafe(wanted)).then(
      (bytes) => this.push(bytes),
      (error: unknown) => this.destroy(error instanceof Error ? error : new JobpassError('internal')),
    );
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#signal?.removeEventListener('abort', this.#abort);
    // The stream's end waits for nothing: the descriptor closes when the read that may be under way is done.
    void closed(this.#file);
    done(error);
  }

  /** Two buffers: one is filled while the other is written. */
  async sendTo(out: Writable): Promise<boolean> {
    const left = this.#last + 1 - this.#at;
    const [one, other] = left > bufferBytes / 4 ? [spare.pop() ?? fresh(), spare.pop() ?? fresh()] : [fresh(left), fresh(0)];
    let [filling, resting] = [one, other];
    let writing = Promise.resolve(!this.destroyed);
    try {
      if (left <= 0) out.end();
      while (this.#at <= this.#last) {
        const bytes = await this.#fill(filling);
        if (!(await writing)) break;
        writing = this.#written(out, bytes);
        [filling, resting] = [resting, filling];
      }
      if (await writing) {
        // Only now: a broken socket may still hold on to the last of them.
        if (one.length === bufferBytes && spare.length < sparesKept) spare.push(one, other);
        return true;
      }
    } catch (error) {
      out.destroy();
      throw this.errored ?? error;
    } finally {
      this.destroy();
    }
    out.destroy();
    if (this.errored !== null) throw this.errored;
    return false;
  }

  /** Resolves when `out` let go of the bytes, with false where either side broke off. The last of them end it, so that small bodies are one write. */
  #written(out: Writable, bytes: Buffer): Promise<boolean> {
    return new Promise((resolve) => {
      const settle = (error?: Error | null): void => {
        out.off('close', cut);
        this.off('close', cut);
        resolve(!error);
      };
      const cut = (): void => settle(new JobpassError('internal'));
      if (this.destroyed || out.destroyed) return cut();
      out.once('close', cut);
      this.once('close', cut);
      if (this.#at > this.#last) out.end(bytes, settle);
      else out.write(bytes, settle);
    });
  }

  async #fill(buffer: Buffer): Promise<Buffer> {
    const wanted = Math.min(buffer.length, this.#last + 1 - this.#at);
    const { bytesRead } = await this.#file.read(buffer, 0, wanted, this.#at);
    if (bytesRead === 0) throw new JobpassError('internal', 'A file is shorter than it was.');
    this.#at += bytesRead;
    return buffer.subarray(0, bytesRead);
  }
}

async function closed(file: FileHandle): Promise<void> {
  try {
    await file.close();
  } catch {
    // It was only read.
  }
}

function fresh(sizeBytes: number = bufferBytes): Buffer {
  return Buffer.allocUnsafeSlow(sizeBytes);
}
