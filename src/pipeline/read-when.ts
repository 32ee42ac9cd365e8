import type { CiJob, CiRule } from './ci-file.ts';
import { isFields } from './fields.ts';
import type { PartReader } from './reader.ts';

/** @see GitLab, CI/CD YAML syntax reference: `when` */
export function readWhen(value: unknown, path: readonly string[], reader: PartReader): { readonly when?: NonNullable<CiRule['when']> } {
  const when = (['on_success', 'on_failure', 'always', 'manual', 'delayed', 'never'] as const).find((word) => word === value);
  if (when !== undefined) return { when };
  reader.error(path, '`when` must be on_success, on_failure, always, manual, delayed or never');
  return {};
}

/** @see GitLab, CI/CD YAML syntax reference: `allow_failure` */
export function readAllowFailure(
  value: unknown,
  path: readonly string[],
  reader: PartReader,
): Pick<CiJob, 'allowFailure' | 'allowFailureExitCodes'> {
  if (typeof value === 'boolean') return { allowFailure: value, allowFailureExitCodes: [] };
  if (isFields(value)) reader.within('allow_failure').checkKeys(value, 'allow_failure', path);
  const codes = isFields(value) ? [value['exit_codes']].flat() : [];
  const numbers = codes.filter((code): code is number => Number.isInteger(code));
  if (numbers.length === 0 || numbers.length !== codes.length)
    reader.error(path, '`allow_failure` must be true, false, or a map with `exit_codes`');
  return { allowFailureExitCodes: numbers };
}
