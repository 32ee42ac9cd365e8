import type { Migration } from './migrations.ts';

/** The machines behind a runner, how runners come and go, and what jobs report beside their archive. */
export const runnerManagers: Migration = {
  version: 8,
  statements: ({ identity, millis }) => [
    `alter table "runners" add column "locked" integer not null default 0`,
    `alter table "runners" add column "maximumTimeoutSeconds" integer`,
    `alter table "runners" add column "assist" text not null default 'none'`,
    `alter table "runners" add column "tokenExpiresAt" ${millis}`,
    `alter table "runners" add column "maintenanceNote" text not null default ''`,
    `create table "runnerManagers" ("id" ${identity}, "runnerId" integer not null, "systemId" text not null, "version" text, "revision" text, "platform" text,
      "architecture" text, "executor" text, "features" text not null, "createdAt" ${millis} not null, "contactAt" ${millis} not null, unique ("runnerId", "systemId"))`,
    `create table "registrationTokens" ("id" ${identity}, "scope" text not null, "scopeId" integer not null, "digest" text not null unique, "userId" integer not null,
      "createdAt" ${millis} not null, unique ("scope", "scopeId"))`,
    `alter table "jobs" add column "managerId" integer`,
    `alter table "jobs" add column "dotenv" text`,
    `create index "jobsByArtifactExpiry" on "jobs" ("artifactsExpireAt") where "artifactsExpireAt" is not null`,
    `create table "jobReports" ("jobId" integer not null, "type" text not null, "format" text not null, "filename" text not null, "sizeBytes" ${millis} not null,
      "expireAt" ${millis}, primary key ("jobId", "type"))`,
    `create index "jobReportsByExpiry" on "jobReports" ("expireAt") where "expireAt" is not null`,
  ],
};
