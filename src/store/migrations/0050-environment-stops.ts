import type { Migration } from './migrations.ts';

/** When an environment is to be stopped by itself (`environment:auto_stop_in`). */
export const environmentStops: Migration = {
  version: 50,
  statements: ({ millis }) => [
    `alter table "environments" add column "autoStopAt" ${millis}`,
    `create index "environmentsByAutoStop" on "environments" ("autoStopAt") where "autoStopAt" is not null`,
  ],
};
