import type { Migration } from './migrations.ts';

/** Allows whose outcome is not known yet: a handful at any time, where the index over all rows was written for each of them twice. */
export const auditOpen: Migration = {
  version: 48,
  statements: () => [
    `drop index "auditOpen"`,
    `create index "auditOpen" on "audit" ("id") where "outcome" is null and "decision" = 'allow'`,
  ],
};
