import { stopOverdue } from './auto-stop.ts';
import { makeBounds } from './bounds.ts';
import { makeCeilingSettings } from './ceilings.ts';
import { makeCommitStatuses } from './commit-statuses.ts';
import { startDue } from './delayed.ts';
import type { JobsDeps } from './deps.ts';
import { makeEnvironments } from './environments.ts';
import type { Jobs } from './jobs.ts';
import { cancelFailing } from './on-failure.ts';
import { Onward } from './onward.ts';
import { makeLint } from './lint.ts';
import { mirrorBridges } from './mirror-bridges.ts';
import { makeMergeRequestPipelines } from './merge-request-pipelines.ts';
import { makePipelines } from './pipelines.ts';
import { makeQueue } from './queue.ts';
import { Reaper } from './reaper.ts';
import { recoverStopping } from './recover-stopping.ts';
import { makeRegistration } from './registration.ts';
import { makeRemoval } from './removal.ts';
import { makeReports } from './reports.ts';
import { assignResources } from './resources.ts';
import { makeResourceSettings } from './resource-settings.ts';
import { Scheduler } from './scheduler.ts';
import { makeSchedules } from './schedules.ts';
import { settleBridges } from './settle-bridges.ts';
import { startBridges } from './trigger.ts';
import { makeRunners } from './runners.ts';
import { Watched } from './watched.ts';
import { makeTriggers } from './triggers.ts';
import { makeTrustList } from './trust.ts';
import { makeCiVariables } from './variables.ts';

/** Pipelines, jobs and runners, wired. */
export function makeJobs(deps: JobsDeps): Jobs {
  const reaper = new Reaper(deps);
  const onward = new Onward(deps, [
    startDue,
    stopOverdue,
    cancelFailing,
    assignResources,
    mirrorBridges,
    settleBridges,
    startBridges,
    recoverStopping,
  ]);
  deps.wakeup.onChange(() => onward.look());
  const scheduler = new Scheduler(deps);
  const watched = new Watched(deps.clock);
  return {
    pipelines: makePipelines(deps, watched),
    lint: makeLint(deps),
    mergeRequests: makeMergeRequestPipelines(deps),
    schedules: makeSchedules(deps),
    triggers: makeTriggers(deps),
    queue: makeQueue(deps),
    reports: makeReports(deps, watched),
    runners: makeRunners(deps),
    registration: makeRegistration(deps),
    bounds: makeBounds(deps),
    ceilings: makeCeilingSettings(deps),
    trust: makeTrustList(deps),
    removal: makeRemoval(deps),
    resources: makeResourceSettings(deps),
    environments: makeEnvironments(deps),
    commitStatuses: makeCommitStatuses(deps),
    runSchedules: () => scheduler.sweep(),
    stopOverdue: () => stopOverdue(deps),
    variables: makeCiVariables(deps),
    start() {
      reaper.start();
      onward.start();
      scheduler.start();
      return Promise.resolve();
    },
    async stop() {
      await scheduler.stop();
      await onward.stop();
      await reaper.stop();
    },
  };
}
