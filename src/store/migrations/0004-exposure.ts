import type { Migration } from './migrations.ts';

/** What a project or a user lets jobs see at most (R7), and the gate verdict that an admin pinned to a runner. */
export const exposure: Migration = {
  version: 4,
  statements: ({ millis }) => [
    `create table "exposureBounds" ("ownerKind" text not null, "ownerId" integer not null, "maximum" text not null, primary key ("ownerKind", "ownerId"))`,
    `alter table "runners" add column "pinnedVerdict" text`,
    `alter table "runners" add column "pinnedReasons" text`,
    `alter table "runners" add column "pinnedAt" ${millis}`,
  ],
};
