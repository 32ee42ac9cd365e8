import type { Migration } from './migrations.ts';

/** A57: which commits of other projects a pipeline's configuration came from. */
export const includes: Migration = {
  version: 11,
  statements: () => [
    `create table "pipelineIncludes" ("pipelineId" integer not null, "projectId" integer not null, "sha" text not null, "ref" text not null, "movers" text,
     primary key ("pipelineId", "projectId", "sha", "ref"))`,
  ],
};
