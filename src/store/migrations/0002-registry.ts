import type { Migration } from './migrations.ts';

/** The container registry: which repository of which project holds what. The bytes of blobs are files. */
export const registry: Migration = {
  version: 2,
  statements: ({ identity, millis, bytewise }) => [
    `create table "imageRepositories" ("id" ${identity}, "projectId" integer not null, "name" text not null, "createdAt" ${millis} not null, unique ("projectId", "name"))`,
    `create table "imageBlobs" ("repositoryId" integer not null, "digest" text not null, "sizeBytes" ${millis} not null, "createdAt" ${millis} not null,
      primary key ("repositoryId", "digest"))`,
    `create index "imageBlobsByDigest" on "imageBlobs" ("digest")`,
    `create table "imageManifests" ("id" ${identity}, "repositoryId" integer not null, "digest" text not null, "mediaType" text not null, "content" text not null,
      "sizeBytes" integer not null, "totalSizeBytes" ${millis} not null, "subject" text, "artifactType" text, "annotations" text, "createdAt" ${millis} not null,
      unique ("repositoryId", "digest"))`,
    `create index "imageManifestsBySubject" on "imageManifests" ("repositoryId", "subject")`,
    `create table "imageReferences" ("repositoryId" integer not null, "manifest" text not null, "target" text not null, primary key ("repositoryId", "manifest", "target"))`,
    `create index "imageReferencesByTarget" on "imageReferences" ("repositoryId", "target")`,
    `create table "imageTags" ("repositoryId" integer not null, "name" ${bytewise} not null, "digest" text not null, "createdAt" ${millis} not null,
      primary key ("repositoryId", "name"))`,
    `create index "imageTagsByDigest" on "imageTags" ("repositoryId", "digest")`,
  ],
};
