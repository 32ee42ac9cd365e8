import type { Branded, EpochMillis, ProjectId, UserId } from '../base/ids.ts';
import type { Page, Paged } from '../base/page.ts';
import type { MaybeTx, Tx } from './tx.ts';

export type PackageId = Branded<number, 'PackageId'>;
export type PackageFileId = Branded<number, 'PackageFileId'>;

export interface NewPackage {
  readonly projectId: ProjectId;
  readonly name: string;
  readonly version: string;
  /** A hidden one is found by its name only. */
  readonly status: 'default' | 'hidden';
  readonly creatorId: UserId;
  readonly createdAt: EpochMillis;
}
export interface PackageRecord extends NewPackage {
  readonly id: PackageId;
}
export interface PackageFileRecord {
  readonly id: PackageFileId;
  readonly packageId: PackageId;
  readonly fileName: string;
  readonly sizeBytes: number;
  readonly sha256: string;
  /** Where its bytes are. */
  readonly blobKey: string;
  readonly createdAt: EpochMillis;
}
export interface UploadRecord {
  readonly id: number;
  readonly projectId: ProjectId;
  /** Nobody can guess it; part of its address. */
  readonly secret: string;
  readonly fileName: string;
  readonly sizeBytes: number;
  readonly blobKey: string;
  readonly creatorId: UserId;
  readonly createdAt: EpochMillis;
}

/** Files that a project holds beside its repository. */
export interface PackageStore {
  /** The package of that name and version, made where it is missing; an existing one takes the status. */
  ensure(tx: Tx, wanted: NewPackage): Promise<PackageRecord>;
  byId(tx: MaybeTx, project: ProjectId, id: PackageId): Promise<PackageRecord | undefined>;
  /** Newest first, without hidden ones. */
  list(tx: MaybeTx, project: ProjectId, filter: { readonly name?: string }, page: Page): Promise<Paged<PackageRecord>>;
  /** Files of the project. */
  count(tx: MaybeTx, project: ProjectId): Promise<number>;
  addFile(tx: Tx, file: Omit<PackageFileRecord, 'id'>): Promise<PackageFileRecord>;
  /** The newest of that name. */
  file(tx: MaybeTx, project: ProjectId, name: string, version: string, fileName: string): Promise<PackageFileRecord | undefined>;
  /** Oldest first. */
  files(tx: MaybeTx, id: PackageId): Promise<readonly PackageFileRecord[]>;
  /** With its files. @returns where their bytes are */
  remove(tx: Tx, id: PackageId): Promise<readonly string[]>;
  addUpload(tx: Tx, upload: Omit<UploadRecord, 'id'>): Promise<UploadRecord>;
  upload(tx: MaybeTx, project: ProjectId, secret: string): Promise<UploadRecord | undefined>;
  /** Where the bytes of all of a project's files are. */
  keysOf(tx: MaybeTx, project: ProjectId): Promise<readonly string[]>;
}
