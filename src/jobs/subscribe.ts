import type { ProjectId } from '../base/ids.ts';
import type { Grant } from '../pass/grant.ts';
import type { JobRecord, PipelineRecord } from '../ports/jobs.ts';
import { advance } from './advance.ts';
import { BridgeRefusal } from './bridge-refusal.ts';
import { bridgeIdentity } from './bridge-rights.ts';
import type { JobsDeps } from './deps.ts';
import { principalsOfJob } from './whose.ts';

/** The number that no project has: what is not there is asked for like what is hidden (A41). */
const nobody = 0 as ProjectId;
const hidden = 'There is no such project, or not everybody behind the job may see its pipelines.';

/**
 * Lets a job show how the newest pipeline of another project's default branch is doing (`needs:pipeline`): from here on it is a bridge that mirrors.
 * @param path of the project; a name alone is of the job's own namespace
 * @throws BridgeRefusal
 * @see GitLab, CI/CD YAML syntax reference: `needs:pipeline`
 */
export async function subscribe(deps: JobsDeps, bridge: JobRecord, path: string): Promise<void> {
  const { jobs, directory, transactor, clock, gatekeeper } = deps;
  const own = await directory.project(null, bridge.projectId);
  const whole = path.includes('/') ? path : `${own?.path.split('/').slice(0, -1).join('/') ?? ''}/${path}`;
  const upstream = await directory.projectByPath(null, whole);
  if (upstream?.id === bridge.projectId)
    throw new BridgeRefusal('invalid_bridge_trigger', 'A job mirrors a pipeline of another project: one of its own might wait for itself.');
  const grant = await mayWatch(deps, bridge, upstream?.id ?? nobody);
  if (grant === undefined || upstream === undefined) throw new BridgeRefusal('downstream_bridge_project_not_found', hidden);
  const { rows } = await jobs.listPipelines(null, upstream.id, { ref: upstream.defaultBranch }, { page: 1, perPage: 1 });
  const [newest] = rows;
  await gatekeeper.settle(grant, 'done');
  if (newest === undefined) throw new BridgeRefusal('downstream_pipeline_creation_failed', 'Its default branch has no pipeline.');
  await transactor.write(async (tx) => {
    await jobs.lockPipeline(tx, bridge.pipelineId);
    await grant.confirm(tx);
    const change = { status: 'running', startedAt: clock.now(), downstreamId: newest.id } as const;
    if (await jobs.changeJob(tx, bridge.id, ['pending'], change)) await advance(deps, tx, bridge.pipelineId);
  });
  // It may have ended long ago.
  deps.wakeup.changed();
  deps.log.info('bridge.subscribed', { job: bridge.id, pipeline: newest.id, project: upstream.id });
}

/** Whether everybody behind the job still may see the pipeline whose end it is about to show (R1, R3). */
export async function mayStillWatch(deps: JobsDeps, bridge: JobRecord, { projectId }: PipelineRecord): Promise<boolean> {
  const grant = await mayWatch(deps, bridge, projectId);
  if (grant !== undefined) await deps.gatekeeper.settle(grant, 'done');
  return grant !== undefined;
}

async function mayWatch(deps: JobsDeps, bridge: JobRecord, project: ProjectId): Promise<Grant | undefined> {
  const own = await deps.directory.project(null, bridge.projectId);
  const pipeline = await deps.jobs.pipeline(null, bridge.pipelineId);
  if (own === undefined || pipeline === undefined) return undefined;
  const principals = await principalsOfJob(deps, own, pipeline, bridge, null, [], []);
  const admission = await deps.gatekeeper.admit(
    await bridgeIdentity(deps, bridge, pipeline, principals, false),
    [{ permission: 'pipeline:read', resource: { kind: 'project', id: project } }],
    { door: 'jobs', endpoint: 'needs:pipeline', requestId: `job-${bridge.id}`, secure: true },
  );
  return admission.ok ? admission.grant : undefined;
}
