import { JobpassError } from '../../base/errors.ts';

type Format = 'zip' | 'gzip' | 'raw';
const formats: readonly Format[] = ['zip', 'gzip', 'raw'];

/** The one form of each report type, as runners send it. @see GitLab Runner API, artifact types and formats */
const reports: ReadonlyMap<string, Format> = new Map([
  ...of('gzip', ['junit', 'dotenv', 'cobertura', 'jacoco', 'metrics', 'cyclonedx', 'annotations']),
  ...of('zip', ['lsif', 'scip']),
  ...of('raw', ['sast', 'secret_detection', 'dependency_scanning', 'container_scanning', 'cluster_image_scanning', 'dast', 'sarif']),
  ...of('raw', ['coverage_fuzzing', 'api_fuzzing', 'codequality', 'accessibility', 'performance', 'browser_performance', 'terraform']),
  ...of('raw', ['load_performance', 'requirements', 'requirements_v2', 'repository_xray', 'license_scanning']),
]);

function of(format: Format, types: readonly string[]): [string, Format][] {
  return types.map((type) => [type, format]);
}

/** What an upload says that it is; the archive may have any form. @throws invalid_input */
export function parseReportKind(type: string | null, format: string | null): { readonly type: string; readonly format: Format } {
  const kind = type === null || type === '' ? 'archive' : type;
  const given = format === null || format === '' ? 'zip' : formats.find((one) => one === format);
  if (given === undefined) throw new JobpassError('invalid_input', `artifact_format is none of ${formats.join(', ')}`);
  if (kind === 'archive') return { type: kind, format: given };
  const expected = reports.get(kind);
  if (expected === undefined) throw new JobpassError('invalid_input', 'artifact_type is not known');
  // Whoever reads a report knows by its type what it is.
  if (expected !== given) throw new JobpassError('invalid_input', `artifacts of type ${kind} come in format ${expected}`);
  return { type: kind, format: given };
}

/** The form in which a runner is told to send a report; undefined for a type that is not kept. */
export function reportFormat(type: string): Format | undefined {
  return reports.get(type);
}
