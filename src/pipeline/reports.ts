import { isFields } from './fields.ts';
import type { PartReader } from './reader.ts';

/** Type of report → paths. @see GitLab, CI/CD YAML syntax reference: `artifacts:reports` */
export function readReports(value: unknown, path: readonly string[], reader: PartReader): Readonly<Record<string, readonly string[]>> {
  if (!isFields(value)) {
    reader.error(path, '`artifacts:reports` must be a map of report types');
    return {};
  }
  reader.within('artifacts: reports').checkKeys(value, 'reports', path);
  const entries = Object.entries(value).map(([type, given]): readonly [string, readonly string[]] => {
    if (type === 'coverage_report') return coverage(given, [...path, type], reader);
    return [type, typeof given === 'string' ? [given] : reader.texts(given, [...path, type])];
  });
  return Object.fromEntries(entries);
}

/** The one that names its own format. */
function coverage(value: unknown, path: readonly string[], reader: PartReader): readonly [string, readonly string[]] {
  const { coverage_format: format, path: file } = isFields(value) ? value : {};
  if ((format === 'cobertura' || format === 'jacoco') && typeof file === 'string') return [format, [file]];
  reader.error(path, '`coverage_report` must be a map of `coverage_format` (cobertura or jacoco) and `path`');
  return ['cobertura', []];
}
