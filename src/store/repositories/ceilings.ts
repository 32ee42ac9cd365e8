import type { CeilingOwner, Ceilings } from '../../ports/ceilings.ts';
import type { Database } from '../database.ts';

export function ceilingRepository(db: Database): Ceilings {
  const one = db.prepared(['kind', 'ownerId'], (on, { kind, ownerId }: { kind: string; ownerId: number }) =>
    on.selectFrom('ceilings').select('document').where('ownerKind', '=', kind).where('ownerId', '=', ownerId),
  );
  const some = db.prepared([], (on, _none: object) => on.selectFrom('ceilings').select('ownerId').limit(1));
  const idOf = (owner: CeilingOwner): number => (owner.kind === 'instance' ? 0 : owner.id);
  return {
    async any(tx) {
      return (await some(tx, {})).length > 0;
    },
    async of(tx, owner) {
      return (await one(tx, { kind: owner.kind, ownerId: idOf(owner) }))[0]?.document;
    },
    async set(tx, owner, document, at) {
      const on = db.on(tx);
      if (document === null) {
        await on.deleteFrom('ceilings').where('ownerKind', '=', owner.kind).where('ownerId', '=', idOf(owner)).execute();
        return;
      }
      await on
        .insertInto('ceilings')
        .values({ ownerKind: owner.kind, ownerId: idOf(owner), document, setAt: at })
        .onConflict((conflict) => conflict.columns(['ownerKind', 'ownerId']).doUpdateSet({ document, setAt: at }))
        .execute();
    },
  };
}
