import type { Selectable } from 'kysely';
import { type EpochMillis, type GroupId, id, type UserId } from '../../base/ids.ts';
import { type AccessLevel, parseAccessLevel } from '../../base/levels.ts';
import type { Directory, FormerPaths, GroupFacts, ProjectFacts, ProtectedRef, UserFacts } from '../../ports/directory.ts';
import type { MaybeTx } from '../../ports/tx.ts';
import type { Database } from '../database.ts';
import type { NamespacesTable, UsersTable } from '../schema.ts';
import { toVisibility } from './groups.ts';
import { projectColumns, toProjectFacts } from './projects.ts';

/** Just what decisions need: each column costs, and this is asked several times about every request. */
const userColumns = ['id', 'username', 'name', 'state', 'isAdmin'] as const;

/** Who may do what, straight from the rows. */
export function directoryRepository(db: Database): Directory {
  const routes = db.prepared(['pathKey', 'kind'], (on, { pathKey, kind }: { pathKey: string; kind: 'namespace' | 'project' }) =>
    on.selectFrom('routes').select('targetId').where('pathKey', '=', pathKey).where('kind', '=', kind),
  );
  const projectsByPath = db.prepared(['pathKey'], (on, { pathKey }: { pathKey: string }) =>
    on
      .selectFrom('routes')
      .innerJoin('projects', 'projects.id', 'routes.targetId')
      .select(projectColumns.map((column) => `projects.${column}` as const))
      .where('routes.pathKey', '=', pathKey)
      .where('routes.kind', '=', 'project'),
  );
  const projectRows = db.prepared(['projectId'], (on, { projectId }: { projectId: number }) =>
    on.selectFrom('projects').select(projectColumns).where('id', '=', projectId),
  );
  const groupRows = db.prepared(['groupId'], (on, { groupId }: { groupId: number }) =>
    on.selectFrom('namespaces').selectAll().where('id', '=', groupId),
  );
  const oneUser = db.prepared(['userId'], (on, { userId }: { userId: UserId }) =>
    on.selectFrom('users').select(userColumns).where('id', '=', userId),
  );
  const route = async (tx: MaybeTx, path: string, kind: 'namespace' | 'project'): Promise<number | undefined> =>
    (await routes(tx, { pathKey: path.toLowerCase(), kind }))[0]?.targetId;
  const project = async (tx: MaybeTx, projectId: number): Promise<ProjectFacts | undefined> => {
    const [row] = await projectRows(tx, { projectId });
    return row === undefined ? undefined : toProjectFacts(row);
  };
  const group = async (tx: MaybeTx, groupId: number): Promise<GroupFacts | undefined> => {
    const [row] = await groupRows(tx, { groupId });
    return row === undefined ? undefined : toGroupFacts(row);
  };
  return {
    async users(tx, ids) {
      const rows = await Promise.all([...new Set(ids)].map((userId) => oneUser(tx, { userId })));
      return new Map(rows.flat().map((row) => [id<UserId>(row.id), toUserFacts(row)]));
    },
    async userByName(tx, username) {
      const row = await db
        .on(tx)
        .selectFrom('users')
        .select(userColumns)
        .where('usernameKey', '=', username.toLowerCase())
        .executeTakeFirst();
      return row === undefined ? undefined : toUserFacts(row);
    },
    project,
    async projectByPath(tx, path) {
      const [row] = await projectsByPath(tx, { pathKey: path.toLowerCase() });
      return row === undefined ? undefined : toProjectFacts(row);
    },
    group,
    async groupByPath(tx, path) {
      const target = await route(tx, path, 'namespace');
      return target === undefined ? undefined : group(tx, target);
    },
    projectLevels: levelsIn(db, 'project'),
    groupLevels: levelsIn(db, 'group'),
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

export function formerPathRepository(db: Database): FormerPaths {
  return {
    async projectAt(tx, path) {
      const row = await db
        .on(tx)
        .selectFrom('formerPaths')
        .innerJoin('projects', 'projects.id', 'formerPaths.projectId')
        .select(projectColumns.map((column) => `projects.${column}` as const))
        .where('formerPaths.pathKey', '=', path.toLowerCase())
        .executeTakeFirst();
      return row === undefined ? undefined : toProjectFacts(row);
    },
  };
}

interface LevelQuestion {
  readonly userId: UserId;
  readonly placeId: number;
  readonly now: EpochMillis;
}

/** What people may in a project or group: their own memberships and those of each group above, and all of it in their own namespace. */
function levelsIn(db: Database, kind: 'project' | 'group') {
  // One statement for all of it: this is asked about every request.
  const levels = db.prepared(['userId', 'placeId', 'now'], (on, { userId, placeId, now }: LevelQuestion) => {
    const namespaces = on.selectFrom('namespaces');
    const place =
      kind === 'group'
        ? namespaces.where('namespaces.id', '=', placeId)
        : namespaces.where('namespaces.id', '=', on.selectFrom('projects').select('namespaceId').where('id', '=', placeId));
    return place.select((from) => [
      'ownerUserId',
      from
        .selectFrom('members')
        .select((eb) => eb.fn.max('accessLevel').as('highest'))
        .where('userId', '=', userId)
        .where((eb) => eb.or([eb('expiresAt', 'is', null), eb('expiresAt', '>', now)]))
        .where((eb) => {
          const above = eb.selectFrom('namespaceAncestors').select('ancestorId').whereRef('namespaceId', '=', 'namespaces.id');
          const inherited = eb.and([eb('sourceKind', '=', 'group'), eb('sourceId', 'in', above)]);
          return kind === 'group'
            ? inherited
            : eb.or([eb.and([eb('sourceKind', '=', 'project'), eb('sourceId', '=', placeId)]), inherited]);
        })
        .as('level'),
    ]);
  });
  return async (tx: MaybeTx, users: readonly UserId[], placeId: number, now: EpochMillis): Promise<ReadonlyMap<UserId, AccessLevel>> => {
    const found = new Map<UserId, AccessLevel>();
    const levelOf = async (userId: UserId): Promise<void> => {
      const [row] = await levels(tx, { userId, placeId, now });
      if (row === undefined) return;
      if (row.ownerUserId === userId) found.set(userId, 50);
      else if (row.level !== null) found.set(userId, toLevel(row.level));
    };
    await Promise.all([...new Set(users)].map(levelOf));
    return found;
  };
}

/** A level that is none of GitLab's counts as no role. */
export function toLevel(value: number): AccessLevel {
  return parseAccessLevel(value) ?? 0;
}

function toUserFacts(row: Pick<Selectable<UsersTable>, (typeof userColumns)[number]>): UserFacts {
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
