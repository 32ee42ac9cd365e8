import type { Migration } from './migrations.ts';

/** What a job's log says of its coverage. */
export const coverage: Migration = {
  version: 20,
  statements: () => [`alter table "jobs" add column "coverage" double precision`],
};
