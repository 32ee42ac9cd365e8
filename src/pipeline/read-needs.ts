import type { CiNeed } from './ci-file.ts';
import { isFields } from './fields.ts';
import { readParallel } from './parallel.ts';
import type { PartReader } from './reader.ts';

/** @see GitLab, CI/CD YAML syntax reference: `needs` */
export function readNeeds(value: unknown, path: readonly string[], reader: PartReader): readonly CiNeed[] {
  if (!Array.isArray(value)) {
    reader.error(path, '`needs` must be a list');
    return [];
  }
  return value.flatMap((need: unknown, index) => {
    const at = [...path, String(index)];
    if (typeof need === 'string') return [{ job: need, artifacts: true, optional: false }];
    if (isFields(need) && typeof need['job'] === 'string') {
      reader.within('needs').checkKeys(need, 'need', at);
      const instances = need['parallel'] === undefined ? {} : { instances: readParallel(need['parallel'], [...at, 'parallel'], reader) };
      return [{ job: need['job'], artifacts: need['artifacts'] !== false, optional: need['optional'] === true, ...instances }];
    }
    reader.error(at, "each entry of `needs` must be a job's name, or a map with `job`");
    return [];
  });
}
