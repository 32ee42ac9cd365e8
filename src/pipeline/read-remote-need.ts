import type { Fields } from './fields.ts';
import { scalarText } from './fields.ts';
import type { PlanRemoteNeed } from './plan.ts';
import type { PartReader } from './reader.ts';

const textLength = 255;

/**
 * An entry of `needs` that is about another pipeline: artifacts of a job of another project's ref, or of a pipeline of the same tree.
 * @returns undefined for a mistake, which it has reported
 * @see GitLab, CI/CD YAML syntax reference: `needs:project`, `needs:pipeline:job`
 */
export function readRemoteNeed(need: Fields, path: readonly string[], outer: PartReader): PlanRemoteNeed | undefined {
  const reader = outer.within('needs');
  reader.checkKeys(need, need['project'] === undefined ? 'need_pipeline' : 'need_project', path);
  const text = (name: string): string => {
    const given = scalarText(need[name]);
    if (given === '' || given.length > textLength)
      reader.error([...path, name], `\`${name}\` must be a text of 1 to ${textLength} characters`);
    return given;
  };
  if (need['artifacts'] !== undefined && need['artifacts'] !== true)
    reader.error([...path, 'artifacts'], '`artifacts` must be true: nothing else is needed of another pipeline');
  if (need['project'] !== undefined) return { project: text('project'), ref: text('ref'), job: text('job') };
  if (need['job'] === undefined) {
    reader.error(path, "`pipeline` needs `job`: a status is mirrored by `trigger` with `strategy: depend`, in the other pipeline's file");
    return undefined;
  }
  return { pipeline: text('pipeline'), job: text('job') };
}
