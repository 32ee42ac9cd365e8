import type { Migration } from './migrations.ts';

/** Merge requests, what was said in them, which commits they hold, and the pipelines that run for them. */
export const mergeRequests: Migration = {
  version: 26,
  statements: ({ identity, millis }) => [
    `create table "mergeRequests" ("id" ${identity}, "projectId" integer not null, "iid" integer not null, "sourceProjectId" integer not null, "sourceBranch" text not null,
      "targetBranch" text not null, "title" text not null, "description" text not null, "state" text not null, "authorId" integer not null, "writers" text not null,
      "labels" text not null, "assigneeIds" text not null, "removeSourceBranch" integer not null, "squash" integer not null, "headSha" text not null,
      "mergeCommitSha" text, "mergedBy" text not null, "mergedAt" ${millis}, "closedById" integer, "closedAt" ${millis}, "openKey" text unique,
      "createdAt" ${millis} not null, "updatedAt" ${millis} not null, unique ("projectId", "iid"))`,
    `create index "mergeRequestsBySource" on "mergeRequests" ("sourceProjectId", "sourceBranch")`,
    `create table "mergeRequestCommits" ("projectId" integer not null, "oid" text not null, "mergeRequestId" integer not null, primary key ("projectId", "oid", "mergeRequestId"))`,
    `create index "mergeRequestCommitsByRequest" on "mergeRequestCommits" ("mergeRequestId")`,
    `create table "mergeRequestNotes" ("id" ${identity}, "projectId" integer not null, "mergeRequestId" integer not null, "authorId" integer not null, "body" text not null,
      "system" integer not null, "createdAt" ${millis} not null)`,
    `create index "mergeRequestNotesByRequest" on "mergeRequestNotes" ("mergeRequestId", "id")`,
    `alter table "pipelines" add column "mergeRequestId" integer`,
    `create index "pipelinesByMergeRequest" on "pipelines" ("mergeRequestId") where "mergeRequestId" is not null`,
    `alter table "projects" add column "forkedFromId" integer`,
    `create index "projectsByFork" on "projects" ("forkedFromId") where "forkedFromId" is not null`,
    `create index "refPushesByPush" on "refPushes" ("pushId")`,
  ],
};
