import type { Readable } from 'node:stream';

export interface StoredBlob {
  readonly sizeBytes: number;
  /** Lower-case hex. */
  readonly sha256: string;
}

/** Files by key (`artifacts/17/archive.zip`); written whole or not at all. */
export interface Blobs {
  /** Streams, hashes, fsyncs and renames. @throws too_large past `maxBytes`; nothing is left then. */
  write(key: string, body: Readable, maxBytes: number): Promise<StoredBlob>;
  /** @throws not_found */
  open(key: string): Promise<{ readonly sizeBytes: number; readonly body: Readable }>;
  /** A part of one. @param endByte the first that is left out @returns less where the file ends before @throws not_found */
  part(key: string, fromByte: number, endByte: number): Promise<Buffer>;
  /** Under another key from now on, in place of what may stand there. @throws not_found */
  move(from: string, to: string): Promise<void>;
  remove(key: string): Promise<void>;
}

/** Append-only files for traces. */
export interface TraceFiles {
  sizeBytes(key: string): Promise<number>;
  /** Appends `bytes` at exactly `offset` (overwriting nothing). @throws range_mismatch with the stored size; too_large */
  append(key: string, offset: number, bytes: Buffer): Promise<number>;
  /** CRC32 (IEEE) of the whole, for the runner's checksum. */
  crc32(key: string): Promise<number>;
  /** @param endByte the first that is left out; undefined = to the end as it is now */
  read(key: string, fromByte?: number, endByte?: number): Promise<Readable>;
  /** Puts a star over each of these bytes, where they are stored (R12). */
  mask(key: string, at: readonly number[]): Promise<void>;
  truncate(key: string): Promise<void>;
  remove(key: string): Promise<void>;
}
