import type { PlanJob } from '../pipeline/plan.ts';

/**
 * What a runner must be able to do for this job, by the flags that it sends; without one the job would silently run wrong.
 * @see GitLab Runner API, `info.features`
 */
const needs: readonly (readonly [feature: string, needed: (job: PlanJob) => boolean])[] = [
  ['upload_multiple_artifacts', (job) => Object.keys(job.artifacts?.reports ?? {}).length > 0],
  ['artifacts_exclude', (job) => (job.artifacts?.exclude.length ?? 0) > 0],
  ['return_exit_code', (job) => job.allowFailureExitCodes.length > 0 || job.retry?.exitCodes !== undefined],
];

/** @returns the flags that the job needs and the runner did not send as true */
export function missingFeatures(job: PlanJob, features: readonly string[]): readonly string[] {
  return needs.filter(([feature, needed]) => needed(job) && !features.includes(feature)).map(([feature]) => feature);
}
