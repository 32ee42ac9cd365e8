import type { Migration } from './migrations.ts';

/** CI/CD variables of the instance, of groups and of projects. */
export const variables: Migration = {
  version: 19,
  statements: ({ identity, millis, bytewise }) => [
    `create table "ciVariables" ("id" ${identity}, "ownerKind" text not null, "ownerId" bigint not null, "key" ${bytewise} not null, "sealed" text not null,
      "sizeBytes" integer not null, "type" text not null, "protected" integer not null, "masked" integer not null, "hidden" integer not null, "raw" integer not null,
      "environmentScope" ${bytewise} not null, "description" text, "createdAt" ${millis} not null, unique ("ownerKind", "ownerId", "key", "environmentScope"))`,
  ],
};
