import { sql } from 'kysely';
import type { LfsLockRecord, LfsStore } from '../../forge/embedded/ports.ts';
import { id, type JobId, millis, type UserId } from '../../base/ids.ts';
import type { Database } from '../database.ts';

export function lfsRepository(db: Database): LfsStore {
  return {
    async held(tx, project, oids) {
      if (oids.length === 0) return new Map();
      const rows = await db
        .on(tx)
        .selectFrom('lfsObjects')
        .select(['oid', 'sizeBytes'])
        .where('projectId', '=', project)
        .where('oid', 'in', [...oids])
        .execute();
      return new Map(rows.map((row) => [row.oid, row.sizeBytes]));
    },
    async holdAll(tx, from, to, at) {
      await db
        .on(tx)
        .insertInto('lfsObjects')
        .columns(['projectId', 'oid', 'sizeBytes', 'createdAt'])
        .expression((eb) =>
          eb
            .selectFrom('lfsObjects')
            .select([sql.lit<number>(to).as('projectId'), 'oid', 'sizeBytes', sql.lit<number>(at).as('createdAt')])
            .where('projectId', '=', from),
        )
        .onConflict((conflict) => conflict.columns(['projectId', 'oid']).doNothing())
        .execute();
    },
    async hold(tx, project, oid, sizeBytes, at) {
      await db
        .on(tx)
        .insertInto('lfsObjects')
        .values({ projectId: project, oid, sizeBytes, createdAt: at })
        .onConflict((conflict) => conflict.columns(['projectId', 'oid']).doNothing())
        .execute();
    },
    async lock(tx, project, path, owner, at, job) {
      const made = await db
        .on(tx)
        .insertInto('lfsLocks')
        .values({ projectId: project, path, ownerId: owner, lockedAt: at, jobId: job })
        .onConflict((conflict) => conflict.columns(['projectId', 'path']).doNothing())
        .returningAll()
        .executeTakeFirst();
      if (made !== undefined) return { lock: toLock(made), created: true };
      const known = await db
        .on(tx)
        .selectFrom('lfsLocks')
        .selectAll()
        .where('projectId', '=', project)
        .where('path', '=', path)
        .executeTakeFirstOrThrow();
      return { lock: toLock(known), created: false };
    },
    async locks(tx, project, filter) {
      let rows = db.on(tx).selectFrom('lfsLocks').selectAll().where('projectId', '=', project);
      if (filter.path !== undefined) rows = rows.where('path', '=', filter.path);
      if (filter.id !== undefined) rows = rows.where('id', '=', filter.id);
      if (filter.after !== undefined) rows = rows.where('id', '>', filter.after);
      return (await rows.orderBy('id').limit(filter.limit).execute()).map(toLock);
    },
    async unlock(tx, project, lock) {
      const gone = await db.on(tx).deleteFrom('lfsLocks').where('projectId', '=', project).where('id', '=', lock).returning('id').execute();
      return gone.length > 0;
    },
  };
}

function toLock(row: { id: number; path: string; ownerId: number; lockedAt: number; jobId: number | null }): LfsLockRecord {
  return {
    id: row.id,
    path: row.path,
    ownerId: id<UserId>(row.ownerId),
    lockedAt: millis(row.lockedAt),
    jobId: row.jobId === null ? null : id<JobId>(row.jobId),
  };
}
