import { JobpassError } from '../base/errors.ts';
import type { JobId, PipelineId, ProjectId } from '../base/ids.ts';
import { type Grant, verifyGrant } from '../pass/grant.ts';
import type { JobRecord, PipelineRecord } from '../ports/jobs.ts';
import type { Tx } from '../ports/tx.ts';
import { childrenOf } from './auto-cancel.ts';
import { cancelAll } from './cancel.ts';
import type { JobsDeps } from './deps.ts';
import { artifactKey, reportKey, traceKey } from './keys.ts';
import { hasEnded } from './state.ts';

/** What takes away what jobs left behind. The audit trail and the passes' rows stay. */
export interface Removal {
  /** Trace, artifacts and reports of a job that has ended. job:erase. @throws access_denied, not_found */
  erase(grant: Grant, project: ProjectId, id: JobId): Promise<JobRecord>;
  /** The pipeline with its jobs and child pipelines; what still runs dies first. pipeline:delete. @throws not_found */
  remove(grant: Grant, project: ProjectId, id: PipelineId): Promise<void>;
  /**
   * For who takes away the project itself, and was asked whether they may: what its jobs left in files.
   * @returns removes the files, once no row names them any more
   */
  leftBy(project: ProjectId): Promise<() => Promise<void>>;
  /** pipeline:update. @param name null = none @throws not_found */
  rename(grant: Grant, project: ProjectId, id: PipelineId, name: string | null): Promise<PipelineRecord>;
}

export function makeRemoval(deps: JobsDeps): Removal {
  const { jobs, transactor, clock } = deps;
  const gone = (): JobpassError => new JobpassError('not_found', {});

  /** The row first: it must not name what is gone. @returns removes the files */
  async function forget(tx: Tx, { id }: JobRecord): Promise<() => Promise<void>> {
    const reports = await jobs.reportsOf(tx, id);
    for (const { type } of reports) await jobs.removeReport(tx, id, type);
    return () =>
      removeFiles(
        id,
        reports.map(({ type }) => type),
      );
  }

  async function removeFiles(id: JobId, reports: readonly string[]): Promise<void> {
    await deps.blobs.remove(artifactKey(id));
    for (const type of reports) await deps.blobs.remove(reportKey(id, type));
    await deps.traces.remove(traceKey(id));
  }

  async function removeOne(grant: Grant, project: ProjectId, id: PipelineId): Promise<void> {
    const removals: (() => Promise<void>)[] = [];
    const ended = await transactor.write(async (tx) => {
      const row = await jobs.lockPipeline(tx, id);
      if (row?.projectId !== project) throw gone();
      await grant.confirm(tx);
      const all = await jobs.jobsOfPipeline(tx, id);
      const stopped = await cancelAll(deps, tx, all, true);
      for (const job of all) removals.push(await forget(tx, job));
      await deps.flow.removePipeline(tx, id);
      return stopped;
    });
    for (const job of ended) deps.revoker.jobEnded(job);
    for (const removal of removals) await removal();
    deps.wakeup.changed();
    deps.log.info('pipeline.removed', { pipeline: id, project });
  }

  return {
    async erase(grant, project, id) {
      verifyGrant(grant, 'job:erase', { kind: 'project', id: project });
      const known = await jobs.job(null, id);
      if (known?.projectId !== project) throw gone();
      const removal = await transactor.write(async (tx) => {
        await jobs.lockPipeline(tx, known.pipelineId);
        await grant.confirm(tx);
        const job = await jobs.job(tx, id);
        if (job === undefined) throw gone();
        if (!hasEnded(job.status) || job.erasedAt !== null) throw new JobpassError('access_denied', 'Job is not erasable!');
        const change = { erasedAt: clock.now(), artifactsFile: null, artifactsSizeBytes: null, artifactsExpireAt: null, dotenv: null };
        await jobs.changeJob(tx, id, [job.status], change);
        return forget(tx, job);
      });
      await removal();
      return (await jobs.job(null, id)) ?? known;
    },
    async remove(grant, project, id) {
      verifyGrant(grant, 'pipeline:delete', { kind: 'project', id: project });
      const children = await childrenOf(deps, id);
      await removeOne(grant, project, id);
      const line = [...children];
      for (let child = line.shift(); child !== undefined; child = line.shift()) {
        line.push(...(await childrenOf(deps, child.id)));
        await removeOne(grant, project, child.id);
      }
    },
    async leftBy(project) {
      const left = await jobs.reportTypesOf(null, project);
      return async () => {
        for (const [id, reports] of left) await removeFiles(id, reports);
      };
    },
    async rename(grant, project, id, name) {
      verifyGrant(grant, 'pipeline:update', { kind: 'project', id: project });
      await transactor.write(async (tx) => {
        const row = await jobs.lockPipeline(tx, id);
        if (row?.projectId !== project) throw gone();
        await grant.confirm(tx);
        await jobs.changePipeline(tx, id, { name, updatedAt: clock.now() });
      });
      return (await jobs.pipeline(null, id)) ?? Promise.reject(gone());
    },
  };
}
