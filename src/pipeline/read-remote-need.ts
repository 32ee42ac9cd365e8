import type { CiJob } from './ci-file.ts';
import { type Fields, isFields, scalarText } from './fields.ts';
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
    reader.error(path, '`pipeline` needs `job`, or stands alone: then the job shows how that pipeline is doing');
    return undefined;
  }
  return { pipeline: text('pipeline'), job: text('job') };
}

/** `needs: {pipeline: group/project}`, also as the one entry of a list: a job that shows how a pipeline is doing. */
export function upstreamNeed(needs: unknown): Fields | undefined {
  const entries: readonly unknown[] = Array.isArray(needs) ? needs : [needs];
  const [only, ...others] = entries;
  return isFields(only) && others.length === 0 && Object.hasOwn(only, 'pipeline') && !Object.hasOwn(only, 'job') ? only : undefined;
}

/** @see GitLab, CI/CD YAML syntax reference: `needs:pipeline` */
export function readUpstream(need: Fields, path: readonly string[], outer: PartReader): Pick<CiJob, 'upstreamProject'> {
  const reader = outer.within('needs');
  reader.checkKeys(need, 'need_upstream', path);
  const project = need['pipeline'];
  if (typeof project === 'string' && /^[\w.-]+(?:\/[\w.-]+)*$/.test(project) && project.length <= textLength)
    return { upstreamProject: project };
  reader.error([...path, 'pipeline'], '`pipeline` must be the path of a project');
  return {};
}
