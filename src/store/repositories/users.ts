import { type Selectable, sql } from 'kysely';
import { JobpassError } from '../../base/errors.ts';
import { type GroupId, id, millis, type UserId } from '../../base/ids.ts';
import type { UserRecord, UserStore } from '../../forge/embedded/ports.ts';
import { type Database, isUniqueViolation, likePattern } from '../database.ts';
import type { UsersTable } from '../schema.ts';
import { insertNamespace } from './groups.ts';
import { paged } from './paged.ts';

export function userRepository(db: Database): UserStore {
  return {
    async insert(tx, user) {
      const on = db.on(tx);
      try {
        const { id: userId } = await on
          .insertInto('users')
          .values({
            username: user.username,
            usernameKey: user.username.toLowerCase(),
            name: user.name,
            email: user.email,
            emailKey: user.email.toLowerCase(),
            state: 'active',
            isAdmin: user.isAdmin ? 1 : 0,
            namespaceId: 0,
            createdAt: user.createdAt,
          })
          .returning('id')
          .executeTakeFirstOrThrow();
        const namespace = await insertNamespace(on, {
          kind: 'user',
          name: user.name,
          slug: user.username,
          description: '',
          visibility: 'public',
          parent: null,
          ownerUserId: userId,
          createdAt: user.createdAt,
        });
        await on.updateTable('users').set({ namespaceId: namespace.id }).where('id', '=', userId).execute();
        return toUser(await on.selectFrom('users').selectAll().where('id', '=', userId).executeTakeFirstOrThrow());
      } catch (error) {
        if (isUniqueViolation(error))
          throw new JobpassError('conflict', { fields: { base: ['Username or email has already been taken'] } }, error);
        throw error;
      }
    },
    async byId(tx, userId) {
      const row = await db.on(tx).selectFrom('users').selectAll().where('id', '=', userId).executeTakeFirst();
      return row === undefined ? undefined : toUser(row);
    },
    list(tx, filter, page) {
      let query = db.on(tx).selectFrom('users');
      if (filter.username !== undefined) query = query.where('usernameKey', '=', filter.username.toLowerCase());
      if (filter.search !== undefined) {
        const pattern = likePattern(filter.search);
        query = query.where(sql<boolean>`("usernameKey" like ${pattern} escape '\\' or lower("name") like ${pattern} escape '\\')`);
      }
      return paged(query, page, (rows) => rows.selectAll().orderBy('id', 'desc').execute(), toUser);
    },
    async setState(tx, userId, state) {
      await db.on(tx).updateTable('users').set({ state }).where('id', '=', userId).execute();
    },
    async count(tx) {
      const row = await db
        .on(tx)
        .selectFrom('users')
        .select((eb) => eb.fn.countAll<number>().as('count'))
        .executeTakeFirstOrThrow();
      return row.count;
    },
  };
}

function toUser(row: Selectable<UsersTable>): UserRecord {
  return {
    id: id<UserId>(row.id),
    username: row.username,
    name: row.name,
    email: row.email,
    state: row.state === 'active' ? 'active' : 'blocked',
    isAdmin: row.isAdmin === 1,
    namespaceId: id<GroupId>(row.namespaceId),
    createdAt: millis(row.createdAt),
  };
}
