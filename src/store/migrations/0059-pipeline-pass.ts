import type { Migration } from './migrations.ts';

/** The pass that started a pipeline, or the chain that it belongs to: what bounds it bounds the jobs, too (R5). */
export const pipelinePass: Migration = {
  version: 59,
  statements: () => [`alter table "pipelines" add column "passId" integer`],
};
