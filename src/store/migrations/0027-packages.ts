import type { Migration } from './migrations.ts';

/** Generic packages with their files, and files that were uploaded to a project. */
export const packages: Migration = {
  version: 27,
  statements: ({ identity, millis }) => [
    `create table "packages" ("id" ${identity}, "projectId" integer not null, "name" text not null, "version" text not null, "status" text not null,
      "creatorId" integer not null, "createdAt" ${millis} not null, unique ("projectId", "name", "version"))`,
    `create table "packageFiles" ("id" ${identity}, "projectId" integer not null, "packageId" integer not null, "fileName" text not null, "sizeBytes" ${millis} not null,
      "sha256" text not null, "blobKey" text not null, "createdAt" ${millis} not null)`,
    `create index "packageFilesByPackage" on "packageFiles" ("packageId", "fileName")`,
    `create index "packageFilesByProject" on "packageFiles" ("projectId")`,
    `create table "uploads" ("id" ${identity}, "projectId" integer not null, "secret" text not null unique, "fileName" text not null, "sizeBytes" ${millis} not null,
      "blobKey" text not null, "creatorId" integer not null, "createdAt" ${millis} not null)`,
    `create index "uploadsByProject" on "uploads" ("projectId")`,
  ],
};
