import { type Selectable, sql } from 'kysely';
import { id, type JobId, millis, type ProjectId, type ResourceGroupId } from '../../base/ids.ts';
import type { ResourceGroups } from '../../ports/flow.ts';
import type { ProcessMode, ResourceGroup } from '../../ports/jobs.ts';
import type { Database } from '../database.ts';
import type { ResourceGroupsTable } from '../schema.ts';
import { toJob } from './jobs.ts';
import { paged } from './paged.ts';

const modes: readonly ProcessMode[] = ['unordered', 'oldest_first', 'newest_first', 'newest_ready_first'];

export function resourceGroupRepository(db: Database): ResourceGroups {
  return {
    async ensure(tx, projectId, key, now) {
      await db
        .on(tx)
        .insertInto('resourceGroups')
        .values({ projectId, key, processMode: 'unordered', holderId: null, createdAt: now })
        .onConflict((conflict) => conflict.columns(['projectId', 'key']).doNothing())
        .execute();
    },
    list(tx, projectId, page) {
      const query = db.on(tx).selectFrom('resourceGroups').where('projectId', '=', projectId);
      return paged(query, page, (rows) => rows.selectAll().orderBy('id').execute(), toGroup);
    },
    async byKey(tx, projectId, key) {
      const row = await db
        .on(tx)
        .selectFrom('resourceGroups')
        .selectAll()
        .where('projectId', '=', projectId)
        .where('key', '=', key)
        .executeTakeFirst();
      return row === undefined ? undefined : toGroup(row);
    },
    async setMode(tx, group, processMode) {
      await db.on(tx).updateTable('resourceGroups').set({ processMode }).where('id', '=', group).execute();
    },
    async free(tx, limit) {
      const rows = await db
        .on(tx)
        .selectFrom('resourceGroups')
        .selectAll()
        .where('holderId', 'is', null)
        // Whose turn has come: those where an older or newer job has to go first, and is not ready, would else fill the list for all others.
        .where(
          sql<boolean>`exists (select 1 from "jobs" where "jobs"."projectId" = "resourceGroups"."projectId" and "jobs"."resourceGroup" = "resourceGroups"."key" and "jobs"."status" = 'waiting_for_resource' and "jobs"."retriedById" is null and not exists (select 1 from "jobs" "first" where "first"."projectId" = "jobs"."projectId" and "first"."resourceGroup" = "jobs"."resourceGroup" and "first"."status" in ('created', 'scheduled') and "first"."retriedById" is null and (("resourceGroups"."processMode" = 'oldest_first' and "first"."pipelineId" < "jobs"."pipelineId") or ("resourceGroups"."processMode" = 'newest_first' and "first"."pipelineId" > "jobs"."pipelineId"))))`,
        )
        .orderBy('id')
        .limit(limit)
        .execute();
      return rows.map(toGroup);
    },
    async upcoming(tx, { projectId, key, processMode }, limit) {
      const waits = processMode === 'oldest_first' || processMode === 'newest_first';
      const direction = processMode === 'newest_first' || processMode === 'newest_ready_first' ? 'desc' : 'asc';
      const rows = await db
        .on(tx)
        .selectFrom('jobs')
        .selectAll()
        .where('projectId', '=', projectId)
        .where('resourceGroup', '=', key)
        .where('status', 'in', waits ? ['created', 'scheduled', 'waiting_for_resource'] : ['waiting_for_resource'])
        .where('retriedById', 'is', null)
        .orderBy('pipelineId', direction)
        // Within a pipeline those that wait come first (GitLab).
        .orderBy(sql`case "status" when 'waiting_for_resource' then 0 else 1 end`)
        .orderBy('id')
        .limit(limit)
        .execute();
      return rows.map(toJob);
    },
    async take(tx, group, job) {
      const done = await db
        .on(tx)
        .updateTable('resourceGroups')
        .set({ holderId: job })
        .where('id', '=', group)
        .where('holderId', 'is', null)
        .executeTakeFirst();
      return done.numUpdatedRows > 0n;
    },
    async release(tx, pipeline) {
      await db
        .on(tx)
        .updateTable('resourceGroups')
        .set({ holderId: null })
        .where('holderId', 'in', (eb) =>
          eb
            .selectFrom('jobs')
            .select('id')
            .where('pipelineId', '=', pipeline)
            .where('status', 'in', ['success', 'failed', 'canceled', 'skipped']),
        )
        .execute();
    },
  };
}

function toGroup(row: Selectable<ResourceGroupsTable>): ResourceGroup {
  return {
    id: id<ResourceGroupId>(row.id),
    projectId: id<ProjectId>(row.projectId),
    key: row.key,
    // An unknown mode gives the resource to anybody, one at a time as ever.
    processMode: modes.find((mode) => mode === row.processMode) ?? 'unordered',
    holderId: row.holderId === null ? null : id<JobId>(row.holderId),
    createdAt: millis(row.createdAt),
  };
}
