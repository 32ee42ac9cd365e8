import { type Selectable, sql } from 'kysely';
import { type EnvironmentId, id, millis, type ProjectId } from '../../base/ids.ts';
import type { EnvironmentRecord, Environments, Tier } from '../../ports/environments.ts';
import { type Database, likePattern } from '../database.ts';
import type { EnvironmentsTable } from '../schema.ts';
import { toJob } from './jobs.ts';
import { paged } from './paged.ts';

const states = ['available', 'stopping', 'stopped'] as const;
const tiers: readonly Tier[] = ['production', 'staging', 'testing', 'development', 'other'];

export function environmentRepository(db: Database): Environments {
  return {
    async ensure(tx, { projectId, name, slug, tier, createdAt }, tierGiven) {
      const row = await db
        .on(tx)
        .insertInto('environments')
        .values({ projectId, name, slug, tier, externalUrl: null, state: 'available', autoStopAt: null, createdAt, updatedAt: createdAt })
        // Touched in any case, so that its row comes back.
        .onConflict((conflict) => conflict.columns(['projectId', 'name']).doUpdateSet(tierGiven ? { tier } : { slug }))
        .returning('id')
        .executeTakeFirstOrThrow();
      return id<EnvironmentId>(row.id);
    },
    async byId(tx, projectId, environment) {
      const row = await db
        .on(tx)
        .selectFrom('environments')
        .selectAll()
        .where('projectId', '=', projectId)
        .where('id', '=', environment)
        .executeTakeFirst();
      return row === undefined ? undefined : toEnvironment(row);
    },
    list(tx, projectId, filter, page) {
      let query = db.on(tx).selectFrom('environments').where('projectId', '=', projectId);
      if (filter.name !== undefined) query = query.where('name', '=', filter.name);
      if (filter.state !== undefined) query = query.where('state', '=', filter.state);
      if (filter.search !== undefined) query = query.where(sql<boolean>`lower("name") like ${likePattern(filter.search)} escape '\\'`);
      return paged(query, page, (rows) => rows.selectAll().orderBy('name').execute(), toEnvironment);
    },
    async change(tx, environment, change) {
      await db.on(tx).updateTable('environments').set(change).where('id', '=', environment).execute();
    },
    async remove(tx, environment) {
      await db.on(tx).deleteFrom('environments').where('id', '=', environment).execute();
    },
    async lastDeployment(tx, environment) {
      const row = await db
        .on(tx)
        .selectFrom('jobs')
        .selectAll()
        .where('environmentId', '=', environment)
        .where('environmentAction', '=', 'start')
        .where('status', 'in', ['success', 'failed', 'canceled'])
        .orderBy('id', 'desc')
        .limit(1)
        .executeTakeFirst();
      return row === undefined ? undefined : toJob(row);
    },
    async overdue(tx, now, limit) {
      const rows = await db
        .on(tx)
        .selectFrom('environments')
        .selectAll()
        .where('autoStopAt', '<=', now)
        .orderBy('autoStopAt')
        .limit(limit)
        .execute();
      return rows.map(toEnvironment);
    },
    async stuckStopping(tx, limit) {
      const rows = await db
        .on(tx)
        .selectFrom('environments')
        .select('id')
        // Written out: it stands in the index's own condition.
        .where(sql<boolean>`"state" = 'stopping'`)
        .where((eb) =>
          eb.not(
            eb.exists(
              eb
                .selectFrom('jobs')
                .select('jobs.id')
                .whereRef('jobs.projectId', '=', 'environments.projectId')
                .whereRef('jobs.environmentId', '=', 'environments.id')
                .where('environmentAction', '=', 'stop')
                .where('retriedById', 'is', null)
                .where((job) =>
                  job.or([
                    job('status', 'in', ['pending', 'running', 'canceling', 'waiting_for_resource']),
                    // A bridge that shows what its pipeline waits for.
                    job.and([job('status', '=', 'manual'), job('downstreamId', 'is not', null)]),
                  ]),
                ),
            ),
          ),
        )
        .orderBy('id')
        .limit(limit)
        .execute();
      return rows.map((row) => id<EnvironmentId>(row.id));
    },
    deployments(tx, projectId, { environment }, page) {
      const query = db
        .on(tx)
        .selectFrom('jobs')
        .where('projectId', '=', projectId)
        .where('environmentId', 'in', (eb) => {
          const known = eb.selectFrom('environments').select('id').where('environments.projectId', '=', projectId);
          return environment === undefined ? known : known.where('name', '=', environment);
        })
        .where('environmentAction', '=', 'start');
      return paged(query, page, (rows) => rows.selectAll().orderBy('id').execute(), toJob);
    },
    async deployment(tx, projectId, job) {
      const row = await db
        .on(tx)
        .selectFrom('jobs')
        .selectAll()
        .where('projectId', '=', projectId)
        .where('id', '=', job)
        .where('environmentAction', '=', 'start')
        .where('environmentId', 'is not', null)
        .executeTakeFirst();
      return row === undefined ? undefined : toJob(row);
    },
  };
}

function toEnvironment(row: Selectable<EnvironmentsTable>): EnvironmentRecord {
  return {
    id: id<EnvironmentId>(row.id),
    projectId: id<ProjectId>(row.projectId),
    name: row.name,
    slug: row.slug,
    externalUrl: row.externalUrl,
    tier: tiers.find((tier) => tier === row.tier) ?? 'other',
    state: states.find((state) => state === row.state) ?? 'available',
    autoStopAt: row.autoStopAt === null ? null : millis(row.autoStopAt),
    createdAt: millis(row.createdAt),
    updatedAt: millis(row.updatedAt),
  };
}
