import { advance } from './advance.ts';
import { cancelAll, canceled } from './cancel.ts';
import type { JobsDeps } from './deps.ts';

const atOnce = 100;

/** `workflow:auto_cancel:on_job_failure: all`: one failure ends the whole pipeline. */
export async function cancelFailing(deps: JobsDeps): Promise<void> {
  for (const id of await deps.flow.failing(null, atOnce)) {
    const ended = await deps.transactor.write(async (tx) => {
      await deps.jobs.lockPipeline(tx, id);
      const live = (await deps.jobs.jobsOfPipeline(tx, id)).filter((job) => job.retriedById === null);
      // A retry may have taken the failure's place meanwhile.
      if (!live.some((job) => job.status === 'failed' && !job.allowFailure)) return [];
      const ids = await cancelAll(deps, tx, live, false);
      await deps.commitStatuses.cancelOpen(tx, id, deps.clock.now());
      await advance(deps, tx, id);
      return ids;
    });
    await canceled(deps, ended);
  }
}
