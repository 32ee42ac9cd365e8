import type { Readable } from 'node:stream';
import type { EpochMillis, ProjectId, UserId } from '../base/ids.ts';
import type { Page, Paged } from '../base/page.ts';
import type { Grant } from '../pass/grant.ts';

export interface Package {
  readonly id: number;
  readonly name: string;
  readonly version: string;
  readonly status: 'default' | 'hidden';
  readonly creatorId: UserId;
  readonly createdAt: EpochMillis;
}
export interface PackageFile {
  readonly id: number;
  readonly packageId: number;
  readonly fileName: string;
  readonly sizeBytes: number;
  readonly sha256: string;
  readonly createdAt: EpochMillis;
}
export interface Upload {
  readonly id: number;
  readonly secret: string;
  readonly fileName: string;
}
/** A file on its way out. */
export interface OpenFile {
  readonly fileName: string;
  readonly sizeBytes: number;
  readonly body: Readable;
}
/** Generic packages, and files that people and release tools attach to a project. Bodies are streamed; a pass's end cuts them (R2). */
export interface PackageForge {
  /** package:write. @throws invalid_input (a name), too_large */
  publish(
    grant: Grant,
    project: ProjectId,
    place: { readonly name: string; readonly version: string; readonly fileName: string; readonly status: 'default' | 'hidden' },
    body: Readable,
  ): Promise<PackageFile>;
  /** package:read. */
  download(
    grant: Grant,
    project: ProjectId,
    place: { readonly name: string; readonly version: string; readonly fileName: string },
  ): Promise<OpenFile | undefined>;
  /** package:read. */
  list(grant: Grant, project: ProjectId, filter: { readonly name?: string }, page: Page): Promise<Paged<Package>>;
  one(grant: Grant, project: ProjectId, id: number): Promise<Package | undefined>;
  files(grant: Grant, project: ProjectId, id: number): Promise<readonly PackageFile[] | undefined>;
  /** package:delete. @returns false where there is none */
  remove(grant: Grant, project: ProjectId, id: number): Promise<boolean>;
  /** upload:create. @throws too_large */
  upload(grant: Grant, project: ProjectId, fileName: string, body: Readable): Promise<Upload>;
  /** project:read, and whoever knows its secret. */
  uploaded(grant: Grant, project: ProjectId, secret: string): Promise<OpenFile | undefined>;
}
