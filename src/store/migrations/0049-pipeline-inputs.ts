import type { Migration } from './migrations.ts';

/** What a pipeline was given for the `spec:inputs` of its file, and a schedule gives: whoever gave it is a principal of the jobs (R3). */
export const pipelineInputs: Migration = {
  version: 49,
  statements: () => [
    `alter table "pipelines" add column "inputs" text not null default '{}'`,
    `alter table "schedules" add column "inputs" text not null default '[]'`,
  ],
};
