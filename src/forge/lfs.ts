import type { Readable } from 'node:stream';
import type { EpochMillis, ProjectId, UserId } from '../base/ids.ts';
import type { Grant } from '../pass/grant.ts';
import type { BlobBody } from './registry.ts';

/** An LFS object: `oid` is the SHA-256 of its content, 64 lower-case hex digits. */
export interface LfsObject {
  readonly oid: string;
  readonly sizeBytes: number;
}

export interface LfsLock {
  readonly id: string;
  readonly path: string;
  readonly lockedAt: EpochMillis;
  readonly ownerId: UserId;
  readonly ownerName: string;
}

/**
 * Large files of a project. An object is read through a project that holds it, never by its oid alone (A40).
 * Reading needs code:download, writing and locking code:push. Every write asks `grant.confirm` in the transaction of its row (R2).
 * @see git-lfs docs/api
 */
export interface LfsForge {
  /** Those of the asked that this project holds, with their sizes. At most `limits.lfsBatch` at a time. */
  held(grant: Grant, project: ProjectId, oids: readonly string[]): Promise<ReadonlyMap<string, number>>;
  /** @throws not_found */
  read(
    grant: Grant,
    project: ProjectId,
    oid: string,
    range?: { readonly first: number; readonly last: number },
  ): Promise<{ readonly sizeBytes: number; readonly body: BlobBody }>;
  /** Streams, hashes and flushes before the row. @throws invalid_input where oid or size differ, too_large */
  write(grant: Grant, project: ProjectId, object: LfsObject, body: Readable): Promise<void>;
  /** @returns the present lock where the path is locked already */
  lock(grant: Grant, project: ProjectId, path: string, owner: UserId): Promise<{ readonly lock: LfsLock; readonly created: boolean }>;
  locks(
    grant: Grant,
    project: ProjectId,
    filter: { readonly path?: string; readonly id?: string; readonly cursor?: string; readonly limit: number },
  ): Promise<{ readonly locks: readonly LfsLock[]; readonly nextCursor: string | null }>;
  /** Another's lock needs `force`, and `force` the right to it, which the door admits. @throws not_found, access_denied */
  unlock(grant: Grant, project: ProjectId, id: string, by: UserId, force: boolean): Promise<LfsLock>;
}
