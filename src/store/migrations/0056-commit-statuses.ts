import type { Migration } from './migrations.ts';

/** What other services say of commits. */
export const commitStatuses: Migration = {
  version: 56,
  statements: ({ identity, millis }) => [
    `create table "commitStatuses" ("id" ${identity}, "projectId" integer not null, "pipelineId" integer not null, "sha" text not null, "ref" text not null,
      "name" text not null, "state" text not null, "targetUrl" text, "description" text, "coverage" double precision, "authorId" integer not null, "writers" text not null,
      "replaced" integer not null, "createdAt" ${millis} not null, "startedAt" ${millis}, "finishedAt" ${millis})`,
    `create index "commitStatusesByPipeline" on "commitStatuses" ("pipelineId", "name")`,
    `create index "commitStatusesByCommit" on "commitStatuses" ("projectId", "sha", "id")`,
    `create index "pipelinesByCommit" on "pipelines" ("projectId", "sha", "id")`,
  ],
};
