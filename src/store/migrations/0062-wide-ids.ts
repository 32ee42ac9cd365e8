import type { Migration } from './migrations.ts';

const columns: readonly (readonly [table: string, columns: readonly string[]])[] = [
  ['passes', ['jobId', 'pipelineId', 'projectId']],
  ['audit', ['passId', 'jobId', 'pipelineId', 'jobProjectId']],
];

/** Room for the ids of a large GitLab behind a gateway, whose jobs have more than 2³¹ numbers. SQLite's integers have it. */
export const wideIds: Migration = {
  version: 62,
  statements: ({ millis }) =>
    millis !== 'bigint'
      ? []
      : columns.map(([table, names]) => `alter table "${table}" ${names.map((name) => `alter column "${name}" type bigint`).join(', ')}`),
};
