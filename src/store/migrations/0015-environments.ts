import type { Migration } from './migrations.ts';

/** Where jobs deploy to. A deployment is the job that made it. */
export const environments: Migration = {
  version: 15,
  statements: ({ identity, millis, bytewise }) => [
    `create table "environments" ("id" ${identity}, "projectId" bigint not null, "name" ${bytewise} not null, "slug" text not null, "externalUrl" text, "tier" text not null,
      "state" text not null, "createdAt" ${millis} not null, "updatedAt" ${millis} not null, unique ("projectId", "name"))`,
    `alter table "jobs" add column "environmentId" bigint`,
    `alter table "jobs" add column "environmentAction" text`,
    `create index "jobsByEnvironment" on "jobs" ("projectId", "environmentId") where "environmentId" is not null`,
  ],
};
