import { expandNested } from '../pipeline/nested.ts';
import type { PlanJob } from '../pipeline/plan.ts';
import type { JobRecord, PipelineRecord } from '../ports/jobs.ts';
import type { JobVariable } from '../wire/runner.ts';
import { dotenvVariables } from './dotenv.ts';
import type { KeptVariable } from './kept-variables.ts';

/** Where a job's variables come from. */
export interface VariableSources {
  /** What the server says of job, project and runner; stands for itself. */
  readonly predefined: Iterable<readonly [string, string]>;
  /** What the server lends the job, such as its token. */
  readonly secrets: Iterable<readonly [string, string]>;
  readonly globals: Readonly<Record<string, string>>;
  readonly rawGlobals: readonly string[];
  readonly plan: Pick<PlanJob, 'variables' | 'rawVariables'>;
  readonly dependencies: readonly Pick<JobRecord, 'dotenv'>[];
  readonly kept: readonly KeptVariable[];
  readonly pipeline: Pick<PipelineRecord, 'variables'>;
  readonly job: Pick<JobRecord, 'variables'>;
}

/**
 * A job's variables, each name once: predefined ones, then the file's, the job's, dotenv reports', the instance's, the groups', the project's, and those given
 * with the pipeline or the play, the later over the earlier. Values are put into each other as far as the runner cannot.
 * @see GitLab CI/CD, "CI/CD variable precedence"
 */
export function jobVariablesOf(from: VariableSources): readonly JobVariable[] {
  const open = (entries: Iterable<readonly [string, string]>, raw: (key: string) => boolean): JobVariable[] =>
    [...entries].map(([key, value]) => ({ key, value, public: true, masked: false, ...(raw(key) ? { raw: true } : {}) }));
  const given = [...from.pipeline.variables, ...from.job.variables];
  const all = [
    ...open(from.predefined, () => true),
    ...[...from.secrets].map(([key, value]) => ({ key, value, public: false, masked: true, raw: true })),
    ...open(Object.entries(from.globals), (key) => from.rawGlobals.includes(key)),
    ...open(Object.entries(from.plan.variables), (key) => from.plan.rawVariables?.includes(key) === true),
    ...open(dotenvVariables(from.dependencies), () => true),
    // Not public: a runner gives those to services, too.
    ...from.kept.map((one) => ({
      key: one.key,
      value: one.value.reveal(),
      public: false,
      masked: one.masked,
      ...(one.raw ? { raw: true } : {}),
      ...(one.type === 'file' ? { file: true } : {}),
    })),
    ...open(
      given.map(({ key, value }) => [key, value] as const),
      () => false,
    ),
  ];
  return [...expandNested(new Map(all.map((one) => [one.key, one]))).values()];
}
