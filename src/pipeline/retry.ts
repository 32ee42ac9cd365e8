import { isFields } from './fields.ts';
import type { PlanJob } from './plan.ts';
import type { PartReader } from './reader.ts';

type Retry = NonNullable<PlanJob['retry']>;

/** @see GitLab, CI/CD YAML syntax reference: `retry:when` */
const reasons: readonly string[] = [
  'always',
  'unknown_failure',
  'script_failure',
  'api_failure',
  'stuck_or_timeout_failure',
  'runner_system_failure',
  'runner_unsupported',
  'stale_schedule',
  'job_execution_timeout',
  'archived_failure',
  'unmet_prerequisites',
  'scheduler_failure',
  'data_integrity_failure',
];
const mostRetries = 2;

/** A number, or a map with `max`, `when` and `exit_codes`. @see GitLab, CI/CD YAML syntax reference: `retry` */
export function readRetry(value: unknown, path: readonly string[], reader: PartReader): Retry {
  if (!isFields(value)) return { max: maxOf(value, path, reader), when: ['always'] };
  reader.within('retry').checkKeys(value, 'retry', path);
  const max = maxOf(value['max'], [...path, 'max'], reader);
  const exitCodes = numbersOf(value['exit_codes'], [...path, 'exit_codes'], reader);
  // Named exit codes are all that is retried, unless reasons are named as well.
  const fallback: readonly string[] = exitCodes === undefined ? ['always'] : [];
  const when = value['when'] === undefined ? fallback : reasonsOf(value['when'], [...path, 'when'], reader);
  return { max, when, ...(exitCodes === undefined ? {} : { exitCodes }) };
}

function maxOf(value: unknown, path: readonly string[], reader: PartReader): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= mostRetries) return value;
  reader.error(path, `\`retry\` must be a number from 0 to ${mostRetries}, or a map with \`max\``);
  return 0;
}

function reasonsOf(value: unknown, path: readonly string[], reader: PartReader): readonly string[] {
  const words: readonly unknown[] = Array.isArray(value) ? value : [value];
  const known = words.filter((word): word is string => typeof word === 'string' && reasons.includes(word));
  if (known.length !== words.length || known.length === 0) reader.error(path, `\`retry:when\` must be of ${reasons.join(', ')}`);
  return known;
}

function numbersOf(value: unknown, path: readonly string[], reader: PartReader): readonly number[] | undefined {
  if (value === undefined) return undefined;
  const codes: readonly unknown[] = Array.isArray(value) ? value : [value];
  const numbers = codes.filter((code): code is number => Number.isInteger(code));
  if (numbers.length !== codes.length || numbers.length === 0) reader.error(path, '`retry:exit_codes` must be a number or a list of them');
  return numbers;
}
