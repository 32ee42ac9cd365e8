import type { Migration } from './migrations.ts';

/** The job that locked a large file: its passes may take that back, whoever stands behind them. */
export const lockJobs: Migration = {
  version: 61,
  statements: () => [`alter table "lfsLocks" add column "jobId" integer`],
};
