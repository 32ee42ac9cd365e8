import type { Migration } from './migrations.ts';

/** Bounds of a project and of a user on what jobs see (R7), and the gate verdict that an admin pinned to a runner. */
export const exposure: Migration = {
  version: 4,
  statements: ({ millis }) => [
    `alter table "projects" add column "maxExposure" text`,
    `alter table "users" add column "maxExposure" text`,
    `alter table "runners" add column "pinnedVerdict" text`,
    `alter table "runners" add column "pinnedReasons" text`,
    `alter table "runners" add column "pinnedAt" ${millis}`,
  ],
};
