export type ArtifactFormat = 'zip' | 'gzip' | 'raw';
export const artifactFormats: readonly ArtifactFormat[] = ['zip', 'gzip', 'raw'];

/** The one form of each report type, as runners send it. Source: GitLab Runner API, artifact types and formats. */
const reports: ReadonlyMap<string, ArtifactFormat> = new Map([
  ...of('gzip', ['junit', 'dotenv', 'cobertura', 'jacoco', 'metrics', 'cyclonedx', 'annotations']),
  ...of('zip', ['lsif', 'scip']),
  ...of('raw', ['sast', 'secret_detection', 'dependency_scanning', 'container_scanning', 'cluster_image_scanning', 'dast', 'sarif']),
  ...of('raw', ['coverage_fuzzing', 'api_fuzzing', 'codequality', 'accessibility', 'performance', 'browser_performance', 'terraform']),
  ...of('raw', ['load_performance', 'requirements', 'requirements_v2', 'repository_xray', 'license_scanning']),
]);

function of(format: ArtifactFormat, types: readonly string[]): [string, ArtifactFormat][] {
  return types.map((type) => [type, format]);
}

const names: ReadonlyMap<string, string> = new Map([
  ['junit', 'junit.xml'],
  ['dotenv', '.env'],
  ['cobertura', 'cobertura-coverage.xml'],
  ['jacoco', 'jacoco-coverage.xml'],
  ['metrics', 'metrics.txt'],
]);

/** The file name of a report that is uploaded, as GitLab calls it. */
export function reportName(type: string): string {
  return names.get(type) ?? `gl-${type.replaceAll('_', '-')}-report.json`;
}

/** @returns undefined for a type of report that is not known */
export function reportFormat(type: string): ArtifactFormat | undefined {
  return reports.get(type);
}
