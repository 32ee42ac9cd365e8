import type { Migration } from './migrations.ts';

/** Where renamed projects were. */
export const formerPaths: Migration = {
  version: 57,
  statements: ({ identity }) => [
    `create table "formerPaths" ("id" ${identity}, "pathKey" text not null unique, "projectId" integer not null)`,
    `create index "formerPathsByProject" on "formerPaths" ("projectId", "id")`,
  ],
};
