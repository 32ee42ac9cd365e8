import type { Migration } from './migrations.ts';

/** Jobs of other pipelines whose artifacts a job was given when it was taken. */
export const remoteNeeds: Migration = {
  version: 16,
  statements: () => [
    `alter table "jobs" add column "remoteNeeds" text`,
    // Both name their own condition's column first: else the planner takes the index of all states.
    `create index "bridgesByStatus" on "jobs" ("kind", "status") where "kind" = 'bridge'`,
    `create index "jobsByDelay" on "jobs" ("status", "scheduledAt") where "status" = 'scheduled'`,
    `create index "pipelinesThatOneFailureEnds" on "pipelines" ("id") where "finishedAt" is null and "autoCancelOnJobFailure" = 'all'`,
  ],
};
