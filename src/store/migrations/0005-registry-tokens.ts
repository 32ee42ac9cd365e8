import type { Migration } from './migrations.ts';

/** Registry tokens by their digest, each with the digest of the credential behind it. */
export const registryTokens: Migration = {
  version: 5,
  statements: ({ millis }) => [
    `create table "registryTokens" ("digest" text primary key, "parentKind" text not null, "parentDigest" text not null, "scope" text not null, "expiresAt" ${millis} not null)`,
    `create index "registryTokensByExpiry" on "registryTokens" ("expiresAt")`,
  ],
};
