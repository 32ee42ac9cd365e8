import type { Migration } from './migrations.ts';

/** Jobs that a gateway handed out, the tokens that it made upstream, and what passes wrote there. */
export const gateway: Migration = {
  version: 10,
  statements: ({ identity, millis }) => [
    `alter table "tokens" add column "impersonation" integer not null default 0`,
    `create table "gatewayJobs" ("id" bigint primary key, "projectId" bigint not null, "pipelineId" bigint not null, "userId" bigint not null, "sha" text not null,
      "ref" text not null, "tag" integer not null, "tokenDigest" text not null unique, "sealedToken" text not null, "state" text not null, "startedAt" ${millis} not null,
      "contactAt" ${millis} not null, "cancelingSince" ${millis}, "runnerId" bigint not null)`,
    `create index "gatewayJobsByState" on "gatewayJobs" ("state")`,
    `create table "actingTokens" ("id" ${identity}, "jobId" bigint not null, "userId" bigint not null, "channel" text not null, "upstreamId" bigint,
      "createdAt" ${millis} not null, "revokedAt" ${millis})`,
    `create index "actingTokensByJob" on "actingTokens" ("jobId")`,
    `create table "passWrites" ("projectId" bigint not null, "what" text not null, "jobId" bigint not null, "at" ${millis} not null, primary key ("projectId", "what"))`,
  ],
};
