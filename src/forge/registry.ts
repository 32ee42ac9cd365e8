import type { Readable, Writable } from 'node:stream';
import type { Page, Paged } from '../base/page.ts';
import type { Digest } from '../base/digest.ts';
import type { EpochMillis, ProjectId, RepositoryId } from '../base/ids.ts';
import type { Grant } from '../pass/grant.ts';

/** An image repository: the project's own path, or a name below it, lower case. `name` is '' for the project's own. */
export interface ImageRepository {
  readonly id: RepositoryId;
  readonly projectId: ProjectId;
  readonly name: string;
  readonly createdAt: EpochMillis;
}

/** Where something is asked for: the project that was admitted, and the name below its path ('' = the project's own repository). */
export interface ImagePlace {
  readonly projectId: ProjectId;
  readonly name: string;
}

export interface Upload {
  /** Opaque; nobody can guess another's. */
  readonly id: string;
  /** Bytes stored so far. */
  readonly sizeBytes: number;
}

/** A stream like any other, and a quicker way out. */
export interface BlobBody extends Readable {
  /** Writes all of it to `out` and ends that, with backpressure. @returns false where `out` closed before. @throws what the stream is cut with; `out` is then destroyed */
  sendTo(out: Writable): Promise<boolean>;
}

/** @see OCI image-spec, descriptor */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
  readonly artifactType?: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface StoredManifest {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly sizeBytes: number;
  /** At most `limits.manifestBytes`. */
  readonly bytes: Buffer;
}

export interface ImageTag {
  readonly name: string;
  readonly digest: Digest;
  readonly mediaType: string;
  /** Config and layers together; of an index: its manifests. */
  readonly totalSizeBytes: number;
  readonly createdAt: EpochMillis;
}

/**
 * Container images: content-addressed blobs, and the rows that say which repository holds what. A blob is read through a repository that
 * holds it, never by its digest alone (A13). Every write asks `grant.confirm` in the transaction of its row (R2).
 * Reading needs container:read on the project, writing container:push, deleting container:admin, or container:delete as GitLab's REST API asks.
 * @see OCI distribution-spec 1.1
 */
export interface RegistryForge {
  /** @returns undefined where this repository does not hold it */
  blob(grant: Grant, place: ImagePlace, digest: Digest): Promise<{ readonly sizeBytes: number } | undefined>;
  /** Streams `range` (inclusive) or all; ends early when `grant.signal` aborts. @throws not_found */
  readBlob(
    grant: Grant,
    place: ImagePlace,
    digest: Digest,
    range?: { readonly first: number; readonly last: number },
  ): Promise<{ readonly sizeBytes: number; readonly body: BlobBody }>;
  /** Takes the blob out of this repository. @returns false where it was not there. @throws conflict while a manifest here needs it */
  deleteBlob(grant: Grant, place: ImagePlace, digest: Digest): Promise<boolean>;
  /** Links a blob of another repository; the grant covers both (A13). @returns false where the source does not hold it */
  mountBlob(grant: Grant, place: ImagePlace, from: ImagePlace, digest: Digest): Promise<boolean>;
  /** Leaves no row: what is not finished is nothing yet. @throws rate_limited */
  startUpload(grant: Grant, place: ImagePlace): Promise<Upload>;
  /** @returns undefined for an upload of another repository, or none */
  upload(grant: Grant, place: ImagePlace, id: string): Promise<Upload | undefined>;
  /** Appends; `offset` undefined = wherever it stands. What arrived before a cut stays. @throws range_mismatch, not_found, too_large */
  appendUpload(grant: Grant, place: ImagePlace, id: string, offset: number | undefined, body: Readable): Promise<Upload>;
  /** Appends `body`, if any, checks the digest, flushes, and links the blob. @throws invalid_input (digest differs; the upload is gone), not_found, range_mismatch */
  finishUpload(
    grant: Grant,
    place: ImagePlace,
    id: string,
    digest: Digest,
    rest?: { readonly body: Readable; readonly offset: number | undefined },
  ): Promise<void>;
  /** A whole blob in one request. @throws invalid_input where the digest differs */
  putBlob(grant: Grant, place: ImagePlace, digest: Digest, body: Readable): Promise<void>;
  cancelUpload(grant: Grant, place: ImagePlace, id: string): Promise<boolean>;
  /** @param reference a tag or a digest */
  manifest(grant: Grant, place: ImagePlace, reference: string): Promise<StoredManifest | undefined>;
  /**
   * Checks form and references (every blob and child manifest must be held here), stores, and points the tag at it.
   * @returns the digest, and the subject's where the manifest names one
   * @throws invalid_input (malformed, or its digest is not `reference`), not_found {what: 'Blob' | 'Manifest'}, too_large
   */
  putManifest(
    grant: Grant,
    place: ImagePlace,
    reference: string,
    mediaType: string,
    bytes: Buffer,
  ): Promise<{ readonly digest: Digest; readonly subject?: Digest }>;
  /** By digest: the manifest and its tags; by tag: the tag alone. @returns false where there was none. */
  deleteManifest(grant: Grant, place: ImagePlace, reference: string): Promise<boolean>;
  /** In byte order, after `last`, at most `limit`; undefined where there is no such repository. */
  tags(grant: Grant, place: ImagePlace, limit: number, last?: string): Promise<readonly string[] | undefined>;
  /** Manifests whose subject is `digest`, in order of arrival, after the digest `last`, at most `limit`, and fewer where they are large. */
  referrers(
    grant: Grant,
    place: ImagePlace,
    digest: Digest,
    filter: { readonly artifactType?: string; readonly last?: Digest; readonly limit: number },
  ): Promise<{ readonly rows: readonly Descriptor[]; readonly more: boolean }>;

  /** Which project is to be asked about: no answer to anybody by itself. */
  projectOf(id: RepositoryId): Promise<ProjectId | undefined>;
  /** Repositories of a project, for GitLab's REST API. */
  repositories(grant: Grant, project: ProjectId, page: Page): Promise<Paged<ImageRepository & { readonly tagsCount: number }>>;
  repository(grant: Grant, project: ProjectId, id: RepositoryId): Promise<ImageRepository | undefined>;
  /** Removes tags, manifests and links. @returns false where there was none */
  deleteRepository(grant: Grant, project: ProjectId, id: RepositoryId): Promise<boolean>;
  tagList(grant: Grant, project: ProjectId, id: RepositoryId, page: Page): Promise<Paged<ImageTag> | undefined>;
  tag(grant: Grant, project: ProjectId, id: RepositoryId, name: string): Promise<ImageTag | undefined>;
}
