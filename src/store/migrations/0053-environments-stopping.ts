import type { Migration } from './migrations.ts';

/** Environments that jobs are stopping: looked at whenever something changes. */
export const environmentsStopping: Migration = {
  version: 53,
  statements: () => [`create index "environmentsStopping" on "environments" ("id") where "state" = 'stopping'`],
};
