import type { Migration } from './migrations.ts';

/** R3: projects that a user allowed by name, and who answers for a runner. */
export const trust: Migration = {
  version: 7,
  statements: ({ millis }) => [
    `create table "trustedProjects" ("userId" integer not null, "projectId" integer not null, "at" ${millis} not null, primary key ("userId", "projectId"))`,
    `alter table "runners" add column "responsibleId" integer`,
    `alter table "runners" add column "vouched" integer not null default 0`,
  ],
};
