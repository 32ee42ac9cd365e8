import type { Migration } from './migrations.ts';

/** Limits that only narrow (R4), and those that a pass carries itself: of its job, and what its parents gave to it (R9). */
export const ceilings: Migration = {
  version: 6,
  statements: ({ millis }) => [
    `create table "ceilings" ("ownerKind" text not null, "ownerId" bigint not null, "document" text not null, "setAt" ${millis} not null, primary key ("ownerKind", "ownerId"))`,
    `alter table "passes" add column "limits" text not null default '[]'`,
  ],
};
