import type { JobRecord } from '../ports/jobs.ts';
import { advance } from './advance.ts';
import type { JobsDeps } from './deps.ts';

const atOnce = 100;

/**
 * A bridge with `strategy: mirror` waits as its downstream pipeline does: `manual` while somebody has to play a job there, else `running`. How
 * it ends: `settleBridges`.
 * @see GitLab, CI/CD YAML syntax reference: `trigger:strategy`
 */
export async function mirrorBridges(deps: JobsDeps): Promise<void> {
  const stale = await deps.flow.staleMirrors(null, atOnce);
  for (const bridge of stale) await follow(deps, bridge);
  if (stale.length > 0) deps.wakeup.changed();
}

async function follow({ jobs, ...deps }: JobsDeps, { id, pipelineId, downstreamId }: JobRecord): Promise<void> {
  if (downstreamId === null) return;
  await deps.transactor.write(async (tx) => {
    await jobs.lockPipeline(tx, pipelineId);
    const waits = (await jobs.pipeline(tx, downstreamId))?.status === 'manual';
    const moved = waits
      ? await jobs.changeJob(tx, id, ['running'], { status: 'manual' })
      : await jobs.changeJob(tx, id, ['manual'], { status: 'running' });
    if (moved) await advance({ jobs, ...deps }, tx, pipelineId);
  });
}
