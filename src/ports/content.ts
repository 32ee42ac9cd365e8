import type { Readable, Writable } from 'node:stream';
import type { Digest } from '../base/digest.ts';

/** A stream like any other, and a quicker way out. */
export interface ContentBody extends Readable {
  /** Writes all of it to `out` and ends that, with backpressure. @returns false where `out` closed before. @throws what the stream is cut with; `out` is then destroyed */
  sendTo(out: Writable): Promise<boolean>;
}

export interface ReadOptions {
  /** Inclusive. */
  readonly range?: { readonly first: number; readonly last: number } | undefined;
  /** Breaks the stream off with pass_dead. */
  readonly signal?: AbortSignal;
}

/**
 * Content-addressed bytes, and uploads that may come in pieces. Knows nothing of who may read what: rows elsewhere say that.
 *
 * A row may link content, or `retire` take it away, only inside a transaction that holds the digest's lock; a linker then asks `holds`.
 * So whichever comes second sees what the first one did, and no row is left without its bytes.
 */
export interface ContentStore {
  /** @throws not_found */
  read(digest: Digest, options?: ReadOptions): Promise<{ readonly sizeBytes: number; readonly body: ContentBody }>;
  /** Whether it is there; answers at once, for use inside of a transaction. */
  holds(digest: Digest): boolean;
  /** Takes it out of reach, at once, for use inside of a transaction; the bytes go with the next `emptyTrash`. */
  retire(digest: Digest): void;
  emptyTrash(): Promise<void>;
  /** All content that was last finished before (milliseconds since 1970). */
  finishedBefore(before: number): AsyncIterable<Digest>;

  /**
   * Begins an upload, which survives a restart.
   * @param owner `<project>` or `<project>-<name>`, of letters and digits: only who names it finds the upload again
   * @returns an id that nobody can guess
   * @throws rate_limited where the project has `limits.uploadsPerProject` open
   */
  begin(owner: string): Promise<string>;
  /** @returns bytes so far, or undefined for an unknown id */
  uploaded(owner: string, id: string): Promise<number | undefined>;
  /**
   * Adds to an upload; what came before a cut stays. One append at a time.
   * @param offset must equal what is there; undefined = wherever it stands
   * @throws not_found, range_mismatch, too_large, conflict (another append is under way)
   */
  append(owner: string, id: string, offset: number | undefined, body: Readable, maxBytes: number): Promise<number>;
  /** Flushed and whole under its digest when it resolves; the upload is gone either way. @throws invalid_input where the digest differs, not_found */
  finish(owner: string, id: string, digest: Digest): Promise<number>;
  /** @returns false where there was none */
  discard(owner: string, id: string): Promise<boolean>;
  /** Removes uploads that nobody added to since `before` (milliseconds since 1970). @returns how many */
  removeIdleUploads(before: number): Promise<number>;
  /** Lets go of open files; uploads stay. */
  close(): Promise<void>;
}
