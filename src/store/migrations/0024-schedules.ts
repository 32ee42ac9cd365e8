import type { Migration } from './migrations.ts';

/** Pipelines that run by the clock, and what only a pipeline's source knows of it. */
export const schedules: Migration = {
  version: 24,
  statements: ({ identity, millis }) => [
    `alter table "pipelines" add column "sourceVariables" text not null default '{}'`,
    `create table "schedules" ("id" ${identity}, "projectId" integer not null, "description" text not null, "ref" text not null, "cron" text not null,
      "timezone" text not null, "active" integer not null, "nextRunAt" ${millis}, "ownerId" integer not null, "describedBy" integer not null, "problem" text, "lastPipelineId" integer,
      "createdAt" ${millis} not null, "updatedAt" ${millis} not null)`,
    `create index "schedulesByProject" on "schedules" ("projectId", "id")`,
    `create index "schedulesDue" on "schedules" ("nextRunAt") where "active" = 1`,
    `create table "scheduleVariables" ("projectId" integer not null, "scheduleId" integer not null, "key" text not null, "value" text not null,
      "setBy" integer not null, primary key ("scheduleId", "key"))`,
  ],
};
