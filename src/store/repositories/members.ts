import { type Kysely, sql } from 'kysely';
import { JobpassError } from '../../base/errors.ts';
import { id, millis, type UserId } from '../../base/ids.ts';
import type { Member, MemberSource, MemberStore } from '../../forge/embedded/ports.ts';
import { type Database, isUniqueViolation } from '../database.ts';
import type { Schema } from '../schema.ts';
import { toLevel } from './directory.ts';

interface Row {
  userId: number;
  username: string;
  name: string;
  state: string;
  accessLevel: number;
  expiresAt: number | null;
  createdAt: number;
}

export function memberRepository(db: Database): MemberStore {
  const direct = (source: MemberSource) => sql<boolean>`"sourceKind" = ${source.kind} and "sourceId" = ${source.id}`;
  return {
    async add(tx, source, user, accessLevel, expiresAt, at) {
      try {
        await db
          .on(tx)
          .insertInto('members')
          .values({ sourceKind: source.kind, sourceId: source.id, userId: user, accessLevel, expiresAt, createdAt: at })
          .execute();
      } catch (error) {
        if (isUniqueViolation(error)) throw new JobpassError('conflict', 'Member already exists', error);
        throw error;
      }
    },
    async change(tx, source, user, accessLevel, expiresAt) {
      const done = await db
        .on(tx)
        .updateTable('members')
        .set({ accessLevel, expiresAt })
        .where('userId', '=', user)
        .where(direct(source))
        .executeTakeFirst();
      return done.numUpdatedRows > 0n;
    },
    async remove(tx, source, user) {
      const done = await db.on(tx).deleteFrom('members').where('userId', '=', user).where(direct(source)).executeTakeFirst();
      return done.numDeletedRows > 0n;
    },
    async list(tx, source, inherited, page) {
      const rows = await membersOf(db.on(tx), source, inherited, undefined);
      const from = (page.page - 1) * page.perPage;
      return { rows: rows.slice(from, from + page.perPage), total: rows.length };
    },
    async one(tx, source, inherited, user) {
      return (await membersOf(db.on(tx), source, inherited, user))[0];
    },
  };
}

/** Each user once, with the highest level of all places that count. */
async function membersOf(
  on: Kysely<Schema>,
  source: MemberSource,
  inherited: boolean,
  user: UserId | undefined,
): Promise<readonly Member[]> {
  const namespace = source.kind === 'group' ? sql`${source.id}` : sql`(select "namespaceId" from "projects" where "id" = ${source.id})`;
  const above = inherited
    ? sql`or ("sourceKind" = 'group' and "sourceId" in (select "ancestorId" from "namespaceAncestors" where "namespaceId" = ${namespace}))`
    : sql``;
  const only = user === undefined ? sql`` : sql`and "members"."userId" = ${user}`;
  const { rows } =
    await sql<Row>`select "members"."userId", "username", "name", "state", "accessLevel", "expiresAt", "members"."createdAt" from "members"
    join "users" on "users"."id" = "members"."userId"
    where (("sourceKind" = ${source.kind} and "sourceId" = ${source.id}) ${above}) ${only} order by "members"."userId", "accessLevel" desc`.execute(
      on,
    );
  const seen = new Map<number, Member>();
  for (const row of rows) if (!seen.has(row.userId)) seen.set(row.userId, toMember(row));
  return [...seen.values()];
}

function toMember(row: Row): Member {
  return {
    userId: id<UserId>(row.userId),
    username: row.username,
    name: row.name,
    state: row.state === 'active' ? 'active' : 'blocked',
    accessLevel: toLevel(row.accessLevel),
    expiresAt: row.expiresAt === null ? null : millis(row.expiresAt),
    createdAt: millis(row.createdAt),
  };
}
