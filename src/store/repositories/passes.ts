import { type Selectable, sql } from 'kysely';
import { id, type JobId, millis, type PassId, type PipelineId, type ProjectId, type SecretDigest } from '../../base/ids.ts';
import type { Liveness, PassPrincipal, PassRecord, PassStore } from '../../ports/passes.ts';
import { type Database, readJson } from '../database.ts';
import type { PassesTable } from '../schema.ts';

export function passRepository(db: Database): PassStore {
  return {
    async insert(tx, pass) {
      const row = await db
        .on(tx)
        .insertInto('passes')
        .values({
          ...pass,
          principals: JSON.stringify(pass.principals),
          ownProjectOnly: pass.ownProjectOnly ? 1 : 0,
          revokedAt: null,
          revokedReason: null,
        })
        .returning('id')
        .executeTakeFirstOrThrow();
      return id<PassId>(row.id);
    },
    async byDigest(tx, digest) {
      const row = await db.on(tx).selectFrom('passes').selectAll().where('digest', '=', digest).executeTakeFirst();
      return row === undefined ? undefined : toPass(row);
    },
    async byId(tx, passId) {
      const query = db.on(tx).selectFrom('passes').selectAll().where('id', '=', passId);
      // In a transaction a revocation waits until the effect is committed, or the effect sees the revocation (R2).
      const row = await (tx !== null && db.engine.rowLocks ? query.forShare() : query).executeTakeFirst();
      return row === undefined ? undefined : toPass(row);
    },
    async forJob(tx, job) {
      return (await db.on(tx).selectFrom('passes').selectAll().where('jobId', '=', job).orderBy('id').execute()).map(toPass);
    },
    async revoke(tx, passId, reason, at) {
      // A child is never wider and dies with its parent (R9), however deep.
      const done = await sql<{ id: number }>`with recursive "line" ("id") as (
          select "id" from "passes" where "id" = ${passId} union select "passes"."id" from "passes" join "line" on "passes"."parentId" = "line"."id")
        update "passes" set "revokedAt" = ${at}, "revokedReason" = ${reason} where "revokedAt" is null and "id" in (select "id" from "line") returning "id"`.execute(
        db.on(tx),
      );
      return done.rows.length;
    },
    async revokeForJob(tx, job, reason, at) {
      const done = await db
        .on(tx)
        .updateTable('passes')
        .set({ revokedAt: at, revokedReason: reason })
        .where('jobId', '=', job)
        .where('revokedAt', 'is', null)
        .executeTakeFirst();
      return Number(done.numUpdatedRows);
    },
  };
}

/** The job's row is the one truth about its life; in a transaction it is locked until the effect is committed (R2). */
export function livenessRepository(db: Database): Liveness {
  return {
    async jobLife(tx, job) {
      let query = db.on(tx).selectFrom('jobs').select(['status', 'cancelingSince', 'contactAt', 'startedAt']).where('id', '=', job);
      if (tx !== null && db.engine.rowLocks) query = query.forShare();
      const row = await query.executeTakeFirst();
      if (row === undefined) return undefined;
      return {
        state:
          row.status === 'running'
            ? 'running'
            : row.status === 'canceling'
              ? 'canceling'
              : ['created', 'pending', 'manual'].includes(row.status)
                ? 'waiting'
                : 'ended',
        cancelingSince: row.cancelingSince === null ? null : millis(row.cancelingSince),
        contactAt: millis(row.contactAt ?? row.startedAt ?? 0),
      };
    },
  };
}

function toPass(row: Selectable<PassesTable>): PassRecord {
  return {
    id: id<PassId>(row.id),
    // An unknown kind in the store is read as the one that may do nothing.
    kind: row.kind === 'full' ? 'full' : row.kind === 'fetch' ? 'fetch' : 'narrowed',
    digest: row.digest as SecretDigest,
    jobId: id<JobId>(row.jobId),
    pipelineId: id<PipelineId>(row.pipelineId),
    projectId: id<ProjectId>(row.projectId),
    sha: row.sha,
    parentId: row.parentId === null ? null : id<PassId>(row.parentId),
    principals: readJson<PassPrincipal[]>(row.principals),
    ownProjectOnly: row.ownProjectOnly === 1,
    chainDepth: row.chainDepth,
    issuedAt: millis(row.issuedAt),
    expiresAt: millis(row.expiresAt),
    revokedAt: row.revokedAt === null ? null : millis(row.revokedAt),
    revokedReason: row.revokedReason,
  };
}
