import { type Kysely, type Selectable, sql } from 'kysely';
import { JobpassError } from '../../base/errors.ts';
import { type GroupId, id, millis, type UserId } from '../../base/ids.ts';
import type { Visibility } from '../../base/levels.ts';
import type { GroupRecord, GroupStore } from '../../forge/embedded/ports.ts';
import { type Database, isUniqueViolation, likePattern } from '../database.ts';
import type { NamespacesTable, Schema } from '../schema.ts';
import { forgetPath } from './former-paths.ts';
import { paged } from './paged.ts';
import { visibleTo } from './visible.ts';

export function groupRepository(db: Database): GroupStore {
  return {
    async insert(tx, group) {
      const on = db.on(tx);
      const parent =
        group.parentId === null
          ? null
          : await on.selectFrom('namespaces').selectAll().where('id', '=', group.parentId).executeTakeFirstOrThrow();
      const row = await insertNamespace(on, { ...group, kind: 'group', parent, ownerUserId: null });
      return toGroup(row);
    },
    async byId(tx, groupId) {
      const row = await db.on(tx).selectFrom('namespaces').selectAll().where('id', '=', groupId).executeTakeFirst();
      return row === undefined ? undefined : toGroup(row);
    },
    list(tx, viewers, filter, page) {
      let query = db.on(tx).selectFrom('namespaces').where('kind', '=', 'group').where(visibleTo('namespaces', viewers));
      if (filter.parentId !== undefined) query = query.where('parentId', '=', filter.parentId);
      if (filter.search !== undefined) {
        const pattern = likePattern(filter.search);
        query = query.where(sql<boolean>`(lower("name") like ${pattern} escape '\\' or lower("path") like ${pattern} escape '\\')`);
      }
      return paged(query, page, (rows) => rows.selectAll().orderBy('path').execute(), toGroup);
    },
  };
}

/** Adds a group or a user's namespace, its place in the path space, and its line of ancestors (itself first). @throws conflict */
export async function insertNamespace(
  on: Kysely<Schema>,
  namespace: {
    kind: 'user' | 'group';
    name: string;
    slug: string;
    description: string;
    visibility: string;
    parent: Selectable<NamespacesTable> | null;
    ownerUserId: number | null;
    createdAt: number;
  },
): Promise<Selectable<NamespacesTable>> {
  const { parent, ...fields } = namespace;
  const path = parent === null ? fields.slug : `${parent.path}/${fields.slug}`;
  const { id: namespaceId } = await on
    .insertInto('namespaces')
    .values({ ...fields, path, parentId: parent?.id ?? null, rootGroupId: parent?.rootGroupId ?? 0 })
    .returning('id')
    .executeTakeFirstOrThrow();
  if (parent === null) await on.updateTable('namespaces').set({ rootGroupId: namespaceId }).where('id', '=', namespaceId).execute();
  await claimRoute(on, path, 'namespace', namespaceId);
  await on.insertInto('namespaceAncestors').values({ namespaceId, ancestorId: namespaceId }).execute();
  if (parent !== null) {
    await sql`insert into "namespaceAncestors" ("namespaceId", "ancestorId") select ${namespaceId}, "ancestorId" from "namespaceAncestors" where "namespaceId" = ${parent.id}`.execute(
      on,
    );
  }
  return on.selectFrom('namespaces').selectAll().where('id', '=', namespaceId).executeTakeFirstOrThrow();
}

/** Takes a path for a namespace or project. @throws conflict when anything has it, compared without case */
export async function claimRoute(on: Kysely<Schema>, path: string, kind: 'namespace' | 'project', targetId: number): Promise<void> {
  await forgetPath(on, path);
  try {
    await on.insertInto('routes').values({ pathKey: path.toLowerCase(), kind, targetId }).execute();
  } catch (error) {
    if (isUniqueViolation(error)) throw new JobpassError('conflict', { fields: { path: ['has already been taken'] } }, error);
    throw error;
  }
}

function toGroup(row: Selectable<NamespacesTable>): GroupRecord {
  return {
    id: id<GroupId>(row.id),
    kind: row.kind === 'user' ? 'user' : 'group',
    name: row.name,
    slug: row.slug,
    path: row.path,
    description: row.description,
    visibility: toVisibility(row.visibility),
    rootGroupId: id<GroupId>(row.rootGroupId),
    ownerUserId: row.ownerUserId === null ? null : id<UserId>(row.ownerUserId),
    parentId: row.parentId === null ? null : id<GroupId>(row.parentId),
    createdAt: millis(row.createdAt),
  };
}

/** An unknown word in the store is read as the narrowest. */
export function toVisibility(text: string): Visibility {
  return text === 'public' || text === 'internal' ? text : 'private';
}
