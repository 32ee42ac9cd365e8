import { RE2JS } from 're2js';
import type { CiJob } from './ci-file.ts';
import { scalarText } from './fields.ts';
import type { PartReader } from './reader.ts';

/** A pattern between slashes. @see GitLab, CI/CD YAML syntax reference: `coverage` */
export function readCoverage(value: unknown, path: readonly string[], reader: PartReader): Pick<CiJob, 'coverage'> {
  const pattern = /^\/(.{1,500})\/$/s.exec(scalarText(value))?.[1];
  if (pattern !== undefined && compiles(pattern)) return { coverage: pattern };
  reader.error(
    path,
    '`coverage` must be a regular expression (RE2) of at most 500 characters between slashes, such as `/Lines: \\d+\\.\\d+/`',
  );
  return {};
}

function compiles(pattern: string): boolean {
  try {
    RE2JS.compile(pattern);
    return true;
  } catch {
    return false;
  }
}
