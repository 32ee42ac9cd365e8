import type { Selectable } from 'kysely';
import { id, millis, type ProjectId, type TokenId, type UserId } from '../../base/ids.ts';
import type { TriggerRecord, TriggerStore } from '../../ports/triggers.ts';
import type { Database } from '../database.ts';
import type { TriggersTable } from '../schema.ts';
import { paged } from './paged.ts';

export function triggerRepository(db: Database): TriggerStore {
  return {
    async insert(tx, trigger) {
      const values = { ...trigger, lastUsedAt: null };
      return toTrigger(await db.on(tx).insertInto('triggers').values(values).returningAll().executeTakeFirstOrThrow());
    },
    async byId(tx, trigger) {
      const row = await db.on(tx).selectFrom('triggers').selectAll().where('id', '=', trigger).executeTakeFirst();
      return row === undefined ? undefined : toTrigger(row);
    },
    async byDigest(tx, digest) {
      const row = await db.on(tx).selectFrom('triggers').selectAll().where('digest', '=', digest).executeTakeFirst();
      return row === undefined ? undefined : toTrigger(row);
    },
    list: (tx, project, page) =>
      paged(
        db.on(tx).selectFrom('triggers').where('projectId', '=', project),
        page,
        (rows) => rows.selectAll().orderBy('id').execute(),
        toTrigger,
      ),
    async change(tx, trigger, change) {
      if (Object.keys(change).length > 0) await db.on(tx).updateTable('triggers').set(change).where('id', '=', trigger).execute();
    },
    async remove(tx, trigger) {
      await db.on(tx).deleteFrom('triggers').where('id', '=', trigger).execute();
    },
  };
}

function toTrigger(row: Selectable<TriggersTable>): TriggerRecord {
  return {
    id: id<TokenId>(row.id),
    projectId: id<ProjectId>(row.projectId),
    description: row.description,
    ownerId: id<UserId>(row.ownerId),
    createdAt: millis(row.createdAt),
    expiresAt: row.expiresAt === null ? null : millis(row.expiresAt),
    lastUsedAt: row.lastUsedAt === null ? null : millis(row.lastUsedAt),
  };
}
