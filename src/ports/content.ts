import type { Readable } from 'node:stream';
import type { Digest } from '../base/digest.ts';

/** Content-addressed bytes, and uploads that may come in pieces. Knows nothing of who may read what: rows elsewhere say that. */
export interface ContentStore {
  /** @returns undefined where there is no such content */
  sizeOf(digest: Digest): Promise<number | undefined>;
  /** @param range inclusive. @throws not_found */
  read(digest: Digest, range?: { readonly first: number; readonly last: number }): Promise<{ sizeBytes: number; body: Readable }>;
  /** @returns an id that nobody can guess; the upload survives a restart */
  begin(): Promise<string>;
  /** @returns bytes so far, or undefined for an unknown id */
  uploaded(id: string): Promise<number | undefined>;
  /**
   * Adds to an upload; what came before a cut stays. One append at a time.
   * @param offset must equal what is there; undefined = wherever it stands
   * @throws not_found, range_mismatch, too_large, conflict (another append is under way)
   */
  append(id: string, offset: number | undefined, body: Readable, maxBytes: number): Promise<number>;
  /** Flushed and whole under its digest when it resolves; the upload is gone either way. @throws invalid_input where the digest differs, not_found */
  finish(id: string, digest: Digest): Promise<number>;
  /** @returns false where there was none */
  discard(id: string): Promise<boolean>;
  /** @returns false where there was none */
  remove(digest: Digest): Promise<boolean>;
  /** Removes uploads that nobody added to since `before` (milliseconds since 1970). @returns how many */
  removeIdleUploads(before: number): Promise<number>;
}
