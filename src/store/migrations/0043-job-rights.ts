import type { Migration } from './migrations.ts';

/** R3: whose rights a job intersected, also where its runner got no pass, for the jobs that consume its artifacts. */
export const jobRights: Migration = {
  version: 43,
  statements: () => [
    `create table "jobRights" ("jobId" integer primary key, "principals" text not null, "provable" integer not null, "sources" text not null)`,
  ],
};
