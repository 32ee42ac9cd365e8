import { type Kysely, type RawBuilder, type Selectable, sql } from 'kysely';
import { type EpochMillis, type GroupId, id, type UserId } from '../../base/ids.ts';
import { type AccessLevel, parseAccessLevel } from '../../base/levels.ts';
import type { Directory, GroupFacts, ProjectFacts, ProtectedRef, UserFacts } from '../../ports/directory.ts';
import type { MaybeTx } from '../../ports/tx.ts';
import type { Database } from '../database.ts';
import type { NamespacesTable, Schema, UsersTable } from '../schema.ts';
import { toVisibility } from './groups.ts';
import { toProject } from './projects.ts';

/** Who may do what, straight from the rows. */
export function directoryRepository(db: Database): Directory {
  const route = async (tx: MaybeTx, path: string, kind: 'namespace' | 'project'): Promise<number | undefined> =>
    (
      await db
        .on(tx)
        .selectFrom('routes')
        .select('targetId')
        .where('pathKey', '=', path.toLowerCase())
        .where('kind', '=', kind)
        .executeTakeFirst()
    )?.targetId;
  const project = async (tx: MaybeTx, projectId: number): Promise<ProjectFacts | undefined> => {
    const row = await db.on(tx).selectFrom('projects').selectAll().where('id', '=', projectId).executeTakeFirst();
    return row === undefined ? undefined : toProject(row);
  };
  const group = async (tx: MaybeTx, groupId: number): Promise<GroupFacts | undefined> => {
    const row = await db.on(tx).selectFrom('namespaces').selectAll().where('id', '=', groupId).executeTakeFirst();
    return row === undefined ? undefined : toGroupFacts(row);
  };
  return {
    async users(tx, ids) {
      if (ids.length === 0) return new Map();
      const rows = await db
        .on(tx)
        .selectFrom('users')
        .selectAll()
        .where('id', 'in', [...ids])
        .execute();
      return new Map(rows.map((row) => [id<UserId>(row.id), toUserFacts(row)]));
    },
    async userByName(tx, username) {
      const row = await db.on(tx).selectFrom('users').selectAll().where('usernameKey', '=', username.toLowerCase()).executeTakeFirst();
      return row === undefined ? undefined : toUserFacts(row);
    },
    project,
    async projectByPath(tx, path) {
      const target = await route(tx, path, 'project');
      return target === undefined ? undefined : project(tx, target);
    },
    group,
    async groupByPath(tx, path) {
      const target = await route(tx, path, 'namespace');
      return target === undefined ? undefined : group(tx, target);
    },
    async projectLevels(tx, users, projectId, now) {
      const row = await db.on(tx).selectFrom('projects').select('namespaceId').where('id', '=', projectId).executeTakeFirst();
      if (row === undefined) return new Map();
      return levels(db.on(tx), users, row.namespaceId, sql`("sourceKind" = 'project' and "sourceId" = ${projectId}) or`, now);
    },
    groupLevels: (tx, users, groupId, now) => levels(db.on(tx), users, groupId, sql``, now),
    async protectedRefs(tx, projectId) {
      const rows = await db.on(tx).selectFrom('protectedRefs').selectAll().where('projectId', '=', projectId).orderBy('pattern').execute();
      return rows.map((row): ProtectedRef => ({
        kind: row.kind === 'tag' ? 'tag' : 'branch',
        pattern: row.pattern,
        pushLevel: toLevel(row.pushLevel),
        mergeLevel: toLevel(row.mergeLevel),
        allowForcePush: row.allowForcePush === 1,
      }));
    },
  };
}

async function levels(
  on: Kysely<Schema>,
  users: readonly UserId[],
  namespaceId: number,
  direct: RawBuilder<unknown>,
  now: EpochMillis,
): Promise<ReadonlyMap<UserId, AccessLevel>> {
  const found = new Map<UserId, AccessLevel>();
  if (users.length === 0) return found;
  const rows = await sql<{ userId: number; level: number }>`select "userId", max("accessLevel") as "level" from "members"
    where "userId" in (${sql.join([...users])}) and ("expiresAt" is null or "expiresAt" > ${now})
    and (${direct} ("sourceKind" = 'group' and "sourceId" in (select "ancestorId" from "namespaceAncestors" where "namespaceId" = ${namespaceId})))
    group by "userId"`.execute(on);
  for (const row of rows.rows) found.set(id<UserId>(row.userId), toLevel(row.level));
  const owner = await on.selectFrom('namespaces').select('ownerUserId').where('id', '=', namespaceId).executeTakeFirst();
  const ownerId = users.find((user) => user === owner?.ownerUserId);
  if (ownerId !== undefined) found.set(ownerId, 50);
  return found;
}

/** A level that is none of GitLab's counts as no role. */
export function toLevel(value: number): AccessLevel {
  return parseAccessLevel(value) ?? 0;
}

function toUserFacts(row: Selectable<UsersTable>): UserFacts {
  return {
    id: id<UserId>(row.id),
    username: row.username,
    name: row.name,
    state: row.state === 'active' ? 'active' : 'blocked',
    isAdmin: row.isAdmin === 1,
  };
}

function toGroupFacts(row: Selectable<NamespacesTable>): GroupFacts {
  return {
    id: id<GroupId>(row.id),
    kind: row.kind === 'user' ? 'user' : 'group',
    path: row.path,
    visibility: toVisibility(row.visibility),
    rootGroupId: id<GroupId>(row.rootGroupId),
    ownerUserId: row.ownerUserId === null ? null : id<UserId>(row.ownerUserId),
  };
}
