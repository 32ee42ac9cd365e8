import type { JobRecord, PipelineRecord } from '../ports/jobs.ts';
import { advance } from './advance.ts';
import type { JobsDeps } from './deps.ts';

const atOnce = 100;

/** A bridge with `strategy: depend` ends as its downstream pipeline did. */
export async function settleBridges(deps: JobsDeps): Promise<void> {
  const settled = await deps.flow.settledBridges(null, atOnce);
  for (const { bridge, downstream } of settled) await end(deps, bridge, downstream);
  if (settled.length > 0) deps.wakeup.changed();
}

async function end(deps: JobsDeps, bridge: JobRecord, downstream: PipelineRecord | null): Promise<void> {
  const { jobs, transactor, clock } = deps;
  const good = downstream?.status === 'success';
  const text =
    downstream === null ? 'Its downstream pipeline was deleted.' : `Its downstream pipeline ${downstream.id} ended ${downstream.status}.`;
  const finishedAt = clock.now();
  await transactor.write(async (tx) => {
    await jobs.lockPipeline(tx, bridge.pipelineId);
    const done = await jobs.changeJob(
      tx,
      bridge.id,
      ['running'],
      good ? { status: 'success', finishedAt } : { status: 'failed', finishedAt, failureReason: 'unknown_failure', failureText: text },
    );
    if (done) await advance(deps, tx, bridge.pipelineId);
  });
}
