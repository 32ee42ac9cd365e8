import { advance } from './advance.ts';
import type { JobsDeps } from './deps.ts';
import { readyStatus } from './state.ts';

const atOnce = 100;

/** Delayed jobs whose time has come; also those that became due while no server ran. */
export async function startDue(deps: JobsDeps): Promise<void> {
  const { jobs, flow, transactor, clock, wakeup } = deps;
  const due = await flow.due(null, clock.now(), atOnce);
  for (const { id, pipelineId } of due)
    await transactor.write(async (tx) => {
      await jobs.lockPipeline(tx, pipelineId);
      const job = await jobs.job(tx, id);
      if (job === undefined) return;
      const status = readyStatus(job);
      await jobs.changeJob(tx, id, ['scheduled'], { status, ...(status === 'pending' ? { queuedAt: clock.now() } : {}) });
      await advance(deps, tx, pipelineId);
    });
  if (due.length > 0) wakeup.changed();
}
