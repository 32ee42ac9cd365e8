import type { Migration } from './migrations.ts';

/** Bridges that show what their downstream pipeline does (`trigger:strategy: mirror`). */
export const mirrors: Migration = {
  version: 52,
  statements: () => [
    `alter table "jobs" add column "mirrors" integer not null default 0`,
    `create index "mirrorsByStatus" on "jobs" ("mirrors", "status") where "mirrors" = 1`,
  ],
};
