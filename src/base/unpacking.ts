import { createGunzip, createInflateRaw, type Gunzip, type InflateRaw } from 'node:zlib';

/** One packed part of a stream whose end only the unpacking tells. */
export class Unpacking {
  readonly #engine: Gunzip | InflateRaw;
  readonly #over: Promise<void>;
  #broken = false;
  #fed = 0;

  /** @param onBytes gets what comes out, one piece after the other; false = no more of it */
  constructor(kind: 'deflate' | 'gzip', onBytes: (bytes: Buffer) => Promise<boolean>) {
    this.#engine = kind === 'gzip' ? createGunzip({ chunkSize: 64 * 1024 }) : createInflateRaw({ chunkSize: 64 * 1024 });
    this.#engine.on('data', (bytes: Buffer) => {
      // Nothing more comes out, and so nothing more goes in, until this piece was looked at.
      this.#engine.pause();
      void onBytes(bytes).then((more) => (more ? this.#engine.resume() : this.#engine.destroy()));
    });
    this.#over = new Promise((resolve) => {
      for (const event of ['end', 'close'] as const) this.#engine.once(event, () => resolve());
      this.#engine.once('error', () => {
        this.#broken = true;
        resolve();
      });
    });
  }

  /** @returns how many of the bytes belong to it; fewer than were given where it ends among them. What breaks ends as well. */
  async feed(bytes: Buffer): Promise<number> {
    const before = this.#fed;
    this.#fed += bytes.length;
    await Promise.race([this.#over, new Promise<void>((resolve) => void this.#engine.write(bytes, () => resolve()))]);
    if (this.#broken) return 0;
    return this.#engine.bytesWritten - before;
  }

  /** All that came out was given on. Nothing more is taken. */
  async end(): Promise<void> {
    this.#engine.end();
    await this.#over;
    this.#engine.destroy();
  }
}
