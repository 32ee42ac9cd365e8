import type { Migration } from './migrations.ts';

/** Keys of a forge's runners that sign their requests to a gateway. */
export const gatewayRunners: Migration = {
  version: 47,
  statements: ({ millis }) => [
    `create table "gatewayRunners" ("runnerId" bigint primary key, "publicKey" text not null, "pinnedAt" ${millis} not null)`,
  ],
};
