import { type Kysely, type Selectable, sql } from 'kysely';
import { id, type JobId, millis, type Oid, type PassId, type ProjectId, type PushId, type RefName, type UserId } from '../../base/ids.ts';
import type { NewPush, ProtectedRefStore, PushLogStore, PushRecord } from '../../forge/embedded/ports.ts';
import { type Database, readJson } from '../database.ts';
import type { PushesTable, Schema } from '../schema.ts';
import { paged } from './paged.ts';

/** Rows or parameters of one statement: SQLite and PostgreSQL both take far more. */
const chunkSize = 500;

export function pushLogRepository(db: Database): PushLogStore {
  return {
    async prepare(tx, push) {
      const on = db.on(tx);
      const { id: pushId } = await on
        .insertInto('pushes')
        .values({
          projectId: push.projectId,
          changes: JSON.stringify(push.changes),
          pushers: JSON.stringify(push.pushers),
          passId: push.passId,
          jobId: push.jobId,
          skipCi: push.skipCi ? 1 : 0,
          state: 'prepared',
          handled: 0,
          at: push.at,
          node: push.node,
        })
        .returning('id')
        .executeTakeFirstOrThrow();
      for (const commits of chunks(push.commits ?? [])) {
        await on
          .insertInto('pushedCommits')
          .values(commits.map((oid) => ({ projectId: push.projectId, oid, pushId })))
          .onConflict((conflict) => conflict.columns(['projectId', 'oid']).doNothing())
          .execute();
      }
      return id<PushId>(pushId);
    },
    async finish(tx, pushId, state, moved) {
      const on = db.on(tx);
      const row = await on.selectFrom('pushes').selectAll().where('id', '=', pushId).executeTakeFirstOrThrow();
      const changes = readJson<NewPush['changes']>(row.changes).filter((change) => moved.includes(change.ref));
      await on
        .updateTable('pushes')
        .set({ state, changes: JSON.stringify(changes), handled: state === 'dropped' ? 1 : 0 })
        .where('id', '=', pushId)
        .execute();
      if (state === 'dropped') await on.deleteFrom('pushedCommits').where('pushId', '=', pushId).execute();
      for (const change of changes) await rememberRef(on, row.projectId, change.ref, pushId);
    },
    async markHandled(tx, pushId) {
      await db.on(tx).updateTable('pushes').set({ handled: 1 }).where('id', '=', pushId).execute();
    },
    async unfinished(tx) {
      const rows = await db.on(tx).selectFrom('pushes').selectAll().where('handled', '=', 0).orderBy('id').execute();
      return rows.map(toPush);
    },
    list: (tx, project, page) =>
      paged(
        db.on(tx).selectFrom('pushes').where('projectId', '=', project).where('state', '=', 'applied'),
        page,
        (rows) => rows.selectAll().orderBy('id', 'desc').execute(),
        toPush,
      ),
    async pushersOf(tx, project, commits) {
      const found = new Map<Oid, readonly UserId[]>();
      for (const part of chunks(commits)) {
        const rows = await db
          .on(tx)
          .selectFrom('pushedCommits')
          .innerJoin('pushes', 'pushes.id', 'pushedCommits.pushId')
          .select(['pushedCommits.oid as oid', 'pushes.pushers as pushers'])
          .where('pushedCommits.projectId', '=', project)
          .where('pushedCommits.oid', 'in', [...part])
          .execute();
        for (const row of rows) found.set(row.oid as Oid, readJson<UserId[]>(row.pushers));
      }
      return found;
    },
    async share(tx, from, to, commits) {
      for (const part of chunks(commits))
        await db
          .on(tx)
          .insertInto('pushedCommits')
          .columns(['projectId', 'oid', 'pushId'])
          .expression((eb) =>
            eb
              .selectFrom('pushedCommits')
              .select([sql.lit<number>(to).as('projectId'), 'oid', 'pushId'])
              .where('projectId', '=', from)
              .where('oid', 'in', [...part]),
          )
          .onConflict((conflict) => conflict.columns(['projectId', 'oid']).doNothing())
          .execute();
    },
    async shareAll(tx, from, to) {
      const on = db.on(tx);
      await on
        .insertInto('pushedCommits')
        .columns(['projectId', 'oid', 'pushId'])
        .expression((eb) =>
          eb
            .selectFrom('pushedCommits')
            .select([sql.lit<number>(to).as('projectId'), 'oid', 'pushId'])
            .where('projectId', '=', from),
        )
        .onConflict((conflict) => conflict.columns(['projectId', 'oid']).doNothing())
        .execute();
      await on
        .insertInto('refPushes')
        .columns(['projectId', 'ref', 'pushId'])
        .expression((eb) =>
          eb
            .selectFrom('refPushes')
            .select([sql.lit<number>(to).as('projectId'), 'ref', 'pushId'])
            .where('projectId', '=', from),
        )
        .onConflict((conflict) => conflict.columns(['projectId', 'ref']).doNothing())
        .execute();
      // Nobody can tell whether the copy has them before or after that.
      for (const refs of chunks((await underWay(on, from)).flatMap((push) => push.refs)))
        await on
          .deleteFrom('refPushes')
          .where('projectId', '=', to)
          .where('ref', 'in', [...refs])
          .execute();
    },
    async lastPushers(tx, project, ref) {
      // First: one that is settled meanwhile stands in the second answer.
      const moving = (await underWay(db.on(tx), project)).filter(({ refs }) => refs.includes(ref));
      const row = await db
        .on(tx)
        .selectFrom('refPushes')
        .innerJoin('pushes', 'pushes.id', 'refPushes.pushId')
        .select('pushes.pushers as pushers')
        .where('refPushes.projectId', '=', project)
        .where('refPushes.ref', '=', ref)
        .executeTakeFirst();
      return row === undefined
        ? undefined
        : [...new Set([...readJson<UserId[]>(row.pushers), ...moving.flatMap(({ pushers }) => pushers)])];
    },
  };
}

/** Pushes that are not settled: git moves one ref of them after the other, and each may have moved already (A59). */
async function underWay(
  on: Kysely<Schema>,
  project: number,
): Promise<readonly { readonly refs: readonly RefName[]; readonly pushers: readonly UserId[] }[]> {
  const rows = await on
    .selectFrom('pushes')
    .select(['changes', 'pushers'])
    .where('handled', '=', 0)
    .where('state', '=', 'prepared')
    .where('projectId', '=', project)
    .execute();
  return rows.map(({ changes, pushers }) => ({
    refs: readJson<NewPush['changes']>(changes).map(({ ref }) => ref),
    pushers: readJson<UserId[]>(pushers),
  }));
}

/** The record of a push is made under its refs' locks, so a greater id moved a ref later; being settled, it holds none any more. */
async function rememberRef(on: Kysely<Schema>, projectId: number, ref: string, pushId: number): Promise<void> {
  await on
    .insertInto('refPushes')
    .values({ projectId, ref, pushId })
    .onConflict((conflict) => conflict.columns(['projectId', 'ref']).doUpdateSet({ pushId }).where('refPushes.pushId', '<', pushId))
    .execute();
}

function* chunks<Value>(values: readonly Value[]): Generator<readonly Value[]> {
  for (let from = 0; from < values.length; from += chunkSize) yield values.slice(from, from + chunkSize);
}

function toPush(row: Selectable<PushesTable>): PushRecord {
  return {
    id: id<PushId>(row.id),
    projectId: id<ProjectId>(row.projectId),
    changes: readJson<NewPush['changes']>(row.changes),
    pushers: readJson<UserId[]>(row.pushers),
    passId: row.passId === null ? null : id<PassId>(row.passId),
    jobId: row.jobId === null ? null : id<JobId>(row.jobId),
    skipCi: row.skipCi === 1,
    state: row.state === 'applied' ? 'applied' : row.state === 'dropped' ? 'dropped' : 'prepared',
    handled: row.handled === 1,
    at: millis(row.at),
    node: row.node,
  };
}

export function protectedRefRepository(db: Database): ProtectedRefStore {
  return {
    async put(tx, projectId, rule) {
      const values = { pushLevel: rule.pushLevel, mergeLevel: rule.mergeLevel, allowForcePush: rule.allowForcePush ? 1 : 0 };
      await db
        .on(tx)
        .insertInto('protectedRefs')
        .values({ projectId, kind: rule.kind, pattern: rule.pattern, ...values })
        .onConflict((conflict) => conflict.columns(['projectId', 'kind', 'pattern']).doUpdateSet(values))
        .execute();
    },
    async remove(tx, projectId, kind, pattern) {
      const done = await db
        .on(tx)
        .deleteFrom('protectedRefs')
        .where('projectId', '=', projectId)
        .where('kind', '=', kind)
        .where('pattern', '=', pattern)
        .executeTakeFirst();
      return done.numDeletedRows > 0n;
    },
  };
}
