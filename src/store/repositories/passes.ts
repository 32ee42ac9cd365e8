import { type Selectable, sql } from 'kysely';
import { id, type JobId, millis, type PassId, type PipelineId, type ProjectId, type SecretDigest } from '../../base/ids.ts';
import type { Liveness, PassLimit, PassPrincipal, PassRecord, PassStore } from '../../ports/passes.ts';
import { type Connection, type Database, readJson } from '../database.ts';
import { notifyRevoked } from '../postgres/revocations.ts';
import type { PassesTable } from '../schema.ts';

export function passRepository(db: Database): PassStore {
  /**
   * Where rows are locked one by one, a revocation may have waited for a pass that was just making a child: its own look at the rows is older than
   * that child. So it looks again, until there is none that lives.
   */
  async function untilNone<Row>(revokeSome: () => Promise<readonly Row[]>): Promise<readonly Row[]> {
    const dead: Row[] = [];
    for (let some = await revokeSome(); some.length > 0; some = db.engine.rowLocks ? await revokeSome() : []) dead.push(...some);
    return dead;
  }
  const byDigest = db.prepared(['digest'], (on, { digest }: { digest: SecretDigest }) =>
    on.selectFrom('passes').selectAll().where('digest', '=', digest),
  );
  const byId = db.prepared(['passId'], (on, { passId }: { passId: PassId }) =>
    on.selectFrom('passes').selectAll().where('id', '=', passId),
  );
  const lockedById = db.prepared(['passId'], (on, { passId }: { passId: PassId }) =>
    on.selectFrom('passes').selectAll().where('id', '=', passId).forShare(),
  );
  return {
    async insert(tx, pass) {
      const row = await db
        .on(tx)
        .insertInto('passes')
        .values({
          ...pass,
          principals: JSON.stringify(pass.principals),
          limits: JSON.stringify(pass.limits ?? []),
          ownProjectOnly: pass.ownProjectOnly ? 1 : 0,
          revokedAt: null,
          revokedReason: null,
        })
        .returning('id')
        .executeTakeFirstOrThrow();
      return id<PassId>(row.id);
    },
    async byDigest(tx, digest) {
      const [row] = await byDigest(tx, { digest });
      return row === undefined ? undefined : toPass(row);
    },
    async byId(tx, passId) {
      // In a transaction a revocation waits until the effect is committed, or the effect sees the revocation (R2).
      const [row] = await (tx !== null && db.engine.rowLocks ? lockedById : byId)(tx, { passId });
      return row === undefined ? undefined : toPass(row);
    },
    async forJob(tx, job) {
      return (await db.on(tx).selectFrom('passes').selectAll().where('jobId', '=', job).orderBy('id').execute()).map(toPass);
    },
    async revoke(tx, passId, reason, at) {
      const dead = await untilNone(async () => {
        // A child is never wider and dies with its parent (R9), however deep.
        const done = await sql<{ id: number }>`with recursive "line" ("id") as (
          select "id" from "passes" where "id" = ${passId} union select "passes"."id" from "passes" join "line" on "passes"."parentId" = "line"."id")
        update "passes" set "revokedAt" = ${at}, "revokedReason" = ${reason} where "revokedAt" is null and "id" in (select "id" from "line") returning "id"`.execute(
          db.on(tx),
        );
        return done.rows.map((row) => id<PassId>(row.id));
      });
      if (dead.length > 0 && db.engine.notifies) await notifyRevoked(db, tx, { kind: 'passes', passIds: dead });
      return dead;
    },
    async revokeForJob(tx, job, reason, at) {
      const dead = await untilNone(async () => {
        const alive = db
          .on(tx)
          .updateTable('passes')
          .set({ revokedAt: at, revokedReason: reason })
          .where('jobId', '=', job)
          .where('revokedAt', 'is', null);
        return alive.returning('id').execute();
      });
      if (dead.length > 0 && db.engine.notifies) await notifyRevoked(db, tx, { kind: 'job', jobId: job });
      return dead.length;
    },
  };
}

/** The job's row is the one truth about its life; in a transaction it is locked until the effect is committed (R2). */
export function livenessRepository(db: Database): Liveness {
  const life = (on: Connection, job: JobId) =>
    on.selectFrom('jobs').select(['status', 'cancelingSince', 'contactAt', 'startedAt']).where('id', '=', job);
  const now = db.prepared(['job'], (on, { job }: { job: JobId }) => life(on, job));
  const locked = db.prepared(['job'], (on, { job }: { job: JobId }) => life(on, job).forShare());
  return {
    async jobLife(tx, job) {
      const [row] = await (tx !== null && db.engine.rowLocks ? locked : now)(tx, { job });
      if (row === undefined) return undefined;
      return {
        state:
          row.status === 'running'
            ? 'running'
            : row.status === 'canceling'
              ? 'canceling'
              : ['created', 'pending', 'manual', 'scheduled', 'waiting_for_resource'].includes(row.status)
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
    limits: readJson<PassLimit[]>(row.limits),
    ownProjectOnly: row.ownProjectOnly === 1,
    chainDepth: row.chainDepth,
    issuedAt: millis(row.issuedAt),
    expiresAt: millis(row.expiresAt),
    revokedAt: row.revokedAt === null ? null : millis(row.revokedAt),
    revokedReason: row.revokedReason,
  };
}
