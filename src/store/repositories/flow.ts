import { sql } from 'kysely';
import { id, type PipelineId } from '../../base/ids.ts';
import type { FlowStore } from '../../ports/flow.ts';
import type { Database } from '../database.ts';
import { toJob, toPipeline } from './jobs.ts';

// Words that stand in an index's own condition are written out: SQLite does not see that a bound value is one of them.
const isBridge = sql<boolean>`"jobs"."kind" = 'bridge'`;

export function flowRepository(db: Database): FlowStore {
  return {
    async due(tx, now, limit) {
      const rows = await db
        .on(tx)
        .selectFrom('jobs')
        .selectAll()
        .where(sql<boolean>`"status" = 'scheduled'`)
        .where('scheduledAt', '<=', now)
        .orderBy('scheduledAt')
        .limit(limit)
        .execute();
      return rows.map(toJob);
    },
    async pendingBridges(tx, limit) {
      const rows = await db
        .on(tx)
        .selectFrom('jobs')
        .selectAll()
        .where(isBridge)
        .where('status', '=', 'pending')
        .orderBy('id')
        .limit(limit)
        .execute();
      return rows.map(toJob);
    },
    async settledBridges(tx, limit) {
      const on = db.on(tx);
      const rows = await on
        .selectFrom('jobs')
        .leftJoin('pipelines', 'pipelines.id', 'jobs.downstreamId')
        .selectAll('jobs')
        .where(isBridge)
        .where('jobs.status', '=', 'running')
        .where((eb) => eb.or([eb('pipelines.id', 'is', null), eb('pipelines.finishedAt', 'is not', null)]))
        .orderBy('jobs.id')
        .limit(limit)
        .execute();
      const found: { bridge: ReturnType<typeof toJob>; downstream: ReturnType<typeof toPipeline> | null }[] = [];
      for (const row of rows) {
        const bridge = toJob(row);
        const below =
          bridge.downstreamId === null
            ? undefined
            : await on.selectFrom('pipelines').selectAll().where('id', '=', bridge.downstreamId).executeTakeFirst();
        found.push({ bridge, downstream: below === undefined ? null : toPipeline(below) });
      }
      return found;
    },
    async staleMirrors(tx, limit) {
      const rows = await db
        .on(tx)
        .selectFrom('jobs')
        .leftJoin('pipelines', 'pipelines.id', 'jobs.downstreamId')
        .selectAll('jobs')
        .where(sql<boolean>`"jobs"."mirrors" = 1`)
        .where((eb) =>
          eb.or([
            eb.and([eb('jobs.status', '=', 'running'), eb('pipelines.status', '=', 'manual')]),
            eb.and([
              eb('jobs.status', '=', 'manual'),
              eb('jobs.downstreamId', 'is not', null),
              eb.or([eb('pipelines.id', 'is', null), eb('pipelines.status', '!=', 'manual')]),
            ]),
          ]),
        )
        .orderBy('jobs.id')
        .limit(limit)
        .execute();
      return rows.map(toJob);
    },
    async redundant(tx, { id: newest, projectId, ref, tag, sha }) {
      const rows = await db
        .on(tx)
        .selectFrom('pipelines')
        .selectAll()
        .where('projectId', '=', projectId)
        .where('ref', '=', ref)
        .where('tag', '=', tag ? 1 : 0)
        .where('finishedAt', 'is', null)
        .where('id', '<', newest)
        .where('sha', '!=', sha)
        .where('upstreamJobId', 'is', null)
        .where('source', '!=', 'schedule')
        .where('autoCancelOnNewCommit', '!=', 'none')
        .orderBy('id')
        .execute();
      return rows.map(toPipeline);
    },
    async failing(tx, limit) {
      const rows = await db
        .on(tx)
        .selectFrom('pipelines')
        .select('id')
        .where(sql<boolean>`"finishedAt" is null and "autoCancelOnJobFailure" = 'all'`)
        .where(
          sql<boolean>`exists (select 1 from "jobs" where "jobs"."pipelineId" = "pipelines"."id" and "jobs"."status" = 'failed' and "jobs"."allowFailure" = 0 and "jobs"."retriedById" is null)`,
        )
        .where(
          sql<boolean>`exists (select 1 from "jobs" where "jobs"."pipelineId" = "pipelines"."id" and "jobs"."status" not in ('success', 'failed', 'canceled', 'skipped', 'canceling', 'manual'))`,
        )
        .limit(limit)
        .execute();
      return rows.map((row) => id<PipelineId>(row.id));
    },
    async downstreamOf(tx, pipeline) {
      const rows = await db
        .on(tx)
        .selectFrom('pipelines')
        .selectAll()
        .where('upstreamJobId', 'in', (eb) => eb.selectFrom('jobs').select('id').where('pipelineId', '=', pipeline))
        .orderBy('id')
        .execute();
      return rows.map(toPipeline);
    },
    async treeSize(tx, root) {
      const row = await db
        .on(tx)
        .selectFrom('pipelines')
        .select((eb) => eb.fn.countAll<number | string>().as('count'))
        .where('rootId', '=', root)
        .executeTakeFirstOrThrow();
      return Number(row.count);
    },
    async removePipeline(tx, pipeline) {
      const on = db.on(tx);
      const jobs = on.selectFrom('jobs').select('id').where('pipelineId', '=', pipeline);
      await on.deleteFrom('jobReports').where('jobId', 'in', jobs).execute();
      await on.updateTable('resourceGroups').set({ holderId: null }).where('holderId', 'in', jobs).execute();
      await on.deleteFrom('jobs').where('pipelineId', '=', pipeline).execute();
      await on.deleteFrom('commitStatuses').where('pipelineId', '=', pipeline).execute();
      await on.deleteFrom('pipelines').where('id', '=', pipeline).execute();
    },
    async latestSuccess(tx, project, ref, name) {
      const row = await db
        .on(tx)
        .selectFrom('jobs')
        .selectAll()
        .where('projectId', '=', project)
        .where('ref', '=', ref)
        .where('name', '=', name)
        .where('kind', '=', 'build')
        .where('status', '=', 'success')
        .orderBy('id', 'desc')
        .limit(1)
        .executeTakeFirst();
      return row === undefined ? undefined : toJob(row);
    },
  };
}
