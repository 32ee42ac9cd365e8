import type { Migration } from './migrations.ts';

/** Trigger tokens: each starts pipelines of one project, as who made it. */
export const triggers: Migration = {
  version: 25,
  statements: ({ identity, millis }) => [
    `create table "triggers" ("id" ${identity}, "projectId" integer not null, "description" text not null, "digest" text not null unique, "ownerId" integer not null,
      "createdAt" ${millis} not null, "expiresAt" ${millis}, "lastUsedAt" ${millis})`,
    `create index "triggersByProject" on "triggers" ("projectId", "id")`,
  ],
};
