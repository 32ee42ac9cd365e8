import type { Migration } from './migrations.ts';

/** Who answers for a CI/CD variable (R3); null = an administrator. */
export const variableSetters: Migration = {
  version: 21,
  statements: () => [`alter table "ciVariables" add column "setBy" bigint`],
};
