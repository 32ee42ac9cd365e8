import type { Selectable } from 'kysely';
import { JobpassError } from '../../base/errors.ts';
import { type GroupId, id, millis, type ProjectId, type UserId, type VariableId } from '../../base/ids.ts';
import type { VariableChange, VariableOwner, VariableRecord, VariableStore } from '../../ports/variables.ts';
import type { Database } from '../database.ts';
import type { CiVariablesTable } from '../schema.ts';
import { paged } from './paged.ts';

export function variableRepository(db: Database): VariableStore {
  const reaching = db.prepared(['projectId'], (on, { projectId }: { projectId: number }) =>
    on
      .selectFrom('ciVariables')
      .leftJoin('namespaces', (join) => join.onRef('namespaces.id', '=', 'ciVariables.ownerId').on('ciVariables.ownerKind', '=', 'group'))
      .selectAll('ciVariables')
      // An inner group's path goes on where its parent's ends.
      .select((eb) => eb.fn.coalesce('namespaces.path', eb.val('')).as('path'))
      .where((eb) =>
        eb.or([
          eb('ownerKind', '=', 'instance'),
          eb.and([eb('ownerKind', '=', 'project'), eb('ownerId', '=', projectId)]),
          eb.and([
            eb('ownerKind', '=', 'group'),
            eb(
              'ownerId',
              'in',
              eb
                .selectFrom('namespaceAncestors')
                .innerJoin('projects', 'projects.namespaceId', 'namespaceAncestors.namespaceId')
                .select('namespaceAncestors.ancestorId')
                .where('projects.id', '=', projectId),
            ),
          ]),
        ]),
      ),
  );
  const of = (owner: VariableOwner) => ({ ownerKind: owner.kind, ownerId: owner.kind === 'instance' ? 0 : owner.id });
  return {
    list(tx, owner, page) {
      const { ownerKind, ownerId } = of(owner);
      const query = db.on(tx).selectFrom('ciVariables').where('ownerKind', '=', ownerKind).where('ownerId', '=', ownerId);
      return paged(query, page, (rows) => rows.selectAll().orderBy('id').execute(), toVariable);
    },
    async byKey(tx, owner, key) {
      const { ownerKind, ownerId } = of(owner);
      const query = db.on(tx).selectFrom('ciVariables').selectAll().where('ownerKind', '=', ownerKind).where('ownerId', '=', ownerId);
      return (await query.where('key', '=', key).orderBy('id').execute()).map(toVariable);
    },
    async tally(tx, owner) {
      const { ownerKind, ownerId } = of(owner);
      const row = await db
        .on(tx)
        .selectFrom('ciVariables')
        .select((eb) => [eb.fn.countAll<number>().as('count'), eb.fn.sum<number | string | null>('sizeBytes').as('bytes')])
        .where('ownerKind', '=', ownerKind)
        .where('ownerId', '=', ownerId)
        .executeTakeFirstOrThrow();
      return { count: row.count, bytes: Number(row.bytes ?? 0) };
    },
    async insert(tx, owner, variable) {
      const { protected: isProtected, masked, hidden, raw, ...rest } = variable;
      const row = await db
        .on(tx)
        .insertInto('ciVariables')
        .values({ ...of(owner), ...rest, protected: bit(isProtected), masked: bit(masked), hidden: bit(hidden), raw: bit(raw) })
        .returningAll()
        .executeTakeFirstOrThrow();
      return toVariable(row);
    },
    async change(tx, variableId, change) {
      const row = await db
        .on(tx)
        .updateTable('ciVariables')
        .set(changed(change))
        .where('id', '=', variableId)
        .returningAll()
        .executeTakeFirst();
      if (row === undefined) throw new JobpassError('not_found', { what: 'Variable' });
      return toVariable(row);
    },
    async remove(tx, variableId) {
      await db.on(tx).deleteFrom('ciVariables').where('id', '=', variableId).execute();
    },
    async reaching(tx, project) {
      const rank = (row: { ownerKind: string; path: string | null }): number =>
        row.ownerKind === 'instance' ? 0 : row.ownerKind === 'project' ? Infinity : (row.path ?? '').length;
      const rows = await reaching(tx, { projectId: project });
      return rows.toSorted((one, other) => (rank(one) === rank(other) ? one.id - other.id : rank(one) - rank(other))).map(toVariable);
    },
  };
}

function changed({ protected: isProtected, masked, raw, ...rest }: VariableChange) {
  return {
    ...rest,
    ...(isProtected === undefined ? {} : { protected: bit(isProtected) }),
    ...(masked === undefined ? {} : { masked: bit(masked) }),
    ...(raw === undefined ? {} : { raw: bit(raw) }),
  };
}

function bit(flag: boolean): number {
  return flag ? 1 : 0;
}

function toVariable(row: Selectable<CiVariablesTable>): VariableRecord {
  return {
    id: id<VariableId>(row.id),
    owner: toOwner(row),
    key: row.key,
    sealed: row.sealed,
    sizeBytes: row.sizeBytes,
    type: row.type === 'file' ? 'file' : 'env_var',
    // What is not plainly open is kept back (R13).
    protected: row.protected !== 0,
    masked: row.masked !== 0,
    hidden: row.hidden !== 0,
    raw: row.raw === 1,
    environmentScope: row.environmentScope,
    description: row.description,
    createdAt: millis(row.createdAt),
    setBy: row.setBy === null ? null : id<UserId>(row.setBy),
  };
}

function toOwner({ ownerKind, ownerId }: Selectable<CiVariablesTable>): VariableOwner {
  if (ownerKind === 'group') return { kind: 'group', id: id<GroupId>(ownerId) };
  return ownerKind === 'project' ? { kind: 'project', id: id<ProjectId>(ownerId) } : { kind: 'instance' };
}
