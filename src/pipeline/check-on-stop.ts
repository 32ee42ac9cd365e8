import type { CiJob } from './ci-file.ts';
import type { CiError } from './plan.ts';

/** What `environment:on_stop` names must stop the same environment. @param jobs before `parallel` makes instances of them */
export function checkOnStop(jobs: readonly CiJob[]): readonly CiError[] {
  const byName = new Map(jobs.map((job) => [job.name, job]));
  return jobs.flatMap(({ name, place, environment }) => {
    const stop = environment?.onStop;
    if (environment === undefined || stop === undefined) return [];
    const wrong = (what: string): readonly CiError[] => [{ ...place, message: `job \`${name}\`: on_stop job \`${stop}\` ${what}` }];
    const target = byName.get(stop);
    if (target === undefined) return wrong('is not defined');
    if (target.environment === undefined) return wrong('does not have environment defined');
    if (target.environment.name !== environment.name) return wrong('have different environment name');
    if (target.environment.action !== 'stop') return wrong('needs to have action stop defined');
    return target.parallel === undefined ? [] : wrong('must not be parallel');
  });
}
