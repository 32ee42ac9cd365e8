import type { Migration } from './migrations.ts';

/** Git LFS: which project holds which object, and who locked what. The bytes are files. */
export const lfs: Migration = {
  version: 3,
  statements: ({ identity, millis }) => [
    `create table "lfsObjects" ("projectId" integer not null, "oid" text not null, "sizeBytes" ${millis} not null, "createdAt" ${millis} not null,
      primary key ("projectId", "oid"))`,
    `create table "lfsLocks" ("id" ${identity}, "projectId" integer not null, "path" text not null, "ownerId" integer not null, "lockedAt" ${millis} not null,
      unique ("projectId", "path"))`,
  ],
};
