import type { Migration } from './migrations.ts';

/** The node that a push is at: nobody else finishes it while that lives. */
export const pushNodes: Migration = {
  version: 60,
  statements: () => [`alter table "pushes" add column "node" integer not null default 0`],
};
