import type { ExposureBounds } from '../../ports/exposure.ts';
import type { Exposure } from '../../wire/runner.ts';
import type { Database } from '../database.ts';

export function exposureBoundRepository(db: Database): ExposureBounds {
  return {
    async of(tx, { kind, id }) {
      const row = await db
        .on(tx)
        .selectFrom('exposureBounds')
        .select('maximum')
        .where('ownerKind', '=', kind)
        .where('ownerId', '=', id)
        .executeTakeFirst();
      return row === undefined ? null : toExposure(row.maximum);
    },
    async set(tx, { kind, id }, maximum) {
      if (maximum === null) {
        await db.on(tx).deleteFrom('exposureBounds').where('ownerKind', '=', kind).where('ownerId', '=', id).execute();
        return;
      }
      await db
        .on(tx)
        .insertInto('exposureBounds')
        .values({ ownerKind: kind, ownerId: id, maximum })
        .onConflict((conflict) => conflict.columns(['ownerKind', 'ownerId']).doUpdateSet({ maximum }))
        .execute();
    },
  };
}

function toExposure(text: string): Exposure {
  return text === 'variable' || text === 'replace' ? text : 'withhold';
}
