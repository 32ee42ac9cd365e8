import { makeBounds } from './bounds.ts';
import { makeCeilingSettings } from './ceilings.ts';
import type { JobsDeps } from './deps.ts';
import type { Jobs } from './jobs.ts';
import { makePipelines } from './pipelines.ts';
import { makeQueue } from './queue.ts';
import { Reaper } from './reaper.ts';
import { makeRegistration } from './registration.ts';
import { makeReports } from './reports.ts';
import { makeRunners } from './runners.ts';
import { Watched } from './watched.ts';
import { makeTrustList } from './trust.ts';

/** Pipelines, jobs and runners, wired. */
export function makeJobs(deps: JobsDeps): Jobs {
  const reaper = new Reaper(deps);
  const watched = new Watched(deps.clock);
  return {
    pipelines: makePipelines(deps, watched),
    queue: makeQueue(deps),
    reports: makeReports(deps, watched),
    runners: makeRunners(deps),
    registration: makeRegistration(deps),
    bounds: makeBounds(deps),
    ceilings: makeCeilingSettings(deps),
    trust: makeTrustList(deps),
    start() {
      reaper.start();
      return Promise.resolve();
    },
    stop: () => reaper.stop(),
  };
}
