import type { Migration } from './migrations.ts';

/** How a project's merge requests are merged, and where the target stood before: with a fast-forward no commit says it. */
export const mergeMethod: Migration = {
  version: 51,
  statements: () => [
    `alter table "projects" add column "mergeMethod" text not null default 'merge'`,
    `alter table "mergeRequests" add column "mergedOnto" text`,
  ],
};
