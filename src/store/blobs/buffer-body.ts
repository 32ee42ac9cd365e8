import { readFileSync, statSync } from 'node:fs';
import { Readable, type Writable } from 'node:stream';
import { JobpassError } from '../../base/errors.ts';
import type { ContentBody } from '../../ports/content.ts';

/** Up to here a file is read at once: each step of reading it in the background waits for a turn of the loop, which costs more than the bytes. */
const smallBytes = 64 * 1024;

/** @returns undefined where the file is larger, or is not there */
export function readSmall(path: string): Buffer | undefined {
  const facts = statSync(path, { throwIfNoEntry: false });
  return facts === undefined || facts.size > smallBytes ? undefined : readFileSync(path);
}

/** Content that is in memory already. */
export class BufferBody extends Readable implements ContentBody {
  readonly #bytes: Buffer;

  constructor(bytes: Buffer, signal?: AbortSignal) {
    super();
    this.#bytes = bytes;
    // A stream that is cut before anybody reads it must not end the process.
    this.on('error', () => undefined);
    if (signal?.aborted === true) this.destroy(new JobpassError('pass_dead'));
  }

  override _read(): void {
    this.push(this.#bytes);
    this.push(null);
  }

  sendTo(out: Writable): Promise<boolean> {
    const cutBy = this.errored;
    if (cutBy !== null) {
      out.destroy();
      return Promise.reject(cutBy);
    }
    return new Promise((resolve) => {
      const cut = (): void => settle(false);
      const settle = (sent: boolean): void => {
        out.off('close', cut);
        this.destroy();
        resolve(sent);
      };
      if (out.destroyed) return settle(false);
      out.once('close', cut);
      out.end(this.#bytes, () => settle(true));
    });
  }
}
