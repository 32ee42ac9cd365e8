import type { Migration } from './migrations.ts';

/** Runners that came with a registration token, and so go with their last machine. */
export const selfRegisteredRunners: Migration = {
  version: 58,
  statements: () => [`alter table "runners" add column "selfRegistered" integer not null default 0`],
};
