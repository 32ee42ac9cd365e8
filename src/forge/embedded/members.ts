import { JobpassError } from '../../base/errors.ts';
import type { EpochMillis, UserId } from '../../base/ids.ts';
import type { AccessLevel } from '../../base/levels.ts';
import { type Grant, type Permission, verifyGrant } from '../../pass/grant.ts';
import type { Tx } from '../../ports/tx.ts';
import type { MemberEntry, Page, Paged } from '../forge.ts';
import type { MemberSource } from './ports.ts';
import type { ServiceDeps } from './projects/project-forge.ts';

/** @throws invalid_input for a level that is not one of `allowed` */
export function checkLevel(level: AccessLevel, allowed: readonly AccessLevel[]): void {
  if (!allowed.includes(level)) throw new JobpassError('invalid_input', { fields: { access_level: ['is not included in the list'] } });
}

/** Membership of projects and groups: the same calls, the same rules. */
export function memberCalls<Id extends MemberSource['id']>(
  deps: ServiceDeps,
  readPermission: Permission,
  writePermission: Permission,
  source: (id: Id) => MemberSource,
) {
  const { stores, transactor, clock, directory } = deps;

  /** Nobody gives or takes more than they have (GitLab: members of a project). */
  async function checkPower(tx: Tx, grant: Grant, place: MemberSource, level: AccessLevel): Promise<void> {
    const [actor] = grant.principals;
    if (actor === undefined) throw new JobpassError('access_denied');
    if ((await directory.users(tx, [actor])).get(actor)?.isAdmin === true) return;
    const levels =
      place.kind === 'project'
        ? await directory.projectLevels(tx, [actor], place.id, clock.now())
        : await directory.groupLevels(tx, [actor], place.id, clock.now());
    if ((levels.get(actor) ?? 0) < level) throw new JobpassError('access_denied', 'You cannot give or take a role above your own.');
  }

  /** A group keeps an owner. */
  async function checkLastOwner(tx: Tx, place: MemberSource, user: UserId): Promise<void> {
    if (place.kind !== 'group') return;
    const { rows } = await stores.members.list(tx, place, false, { page: 1, perPage: 100_000 });
    if (!rows.some((member) => member.accessLevel === 50 && member.userId !== user))
      throw new JobpassError('access_denied', 'The last owner of a group stays.');
  }

  const begin = async (tx: Tx, grant: Grant, id: Id, level: AccessLevel): Promise<MemberSource> => {
    await grant.confirm(tx);
    const place = source(id);
    await checkPower(tx, grant, place, level);
    return place;
  };

  return {
    async list(grant: Grant, id: Id, inherited: boolean, page: Page): Promise<Paged<MemberEntry>> {
      verifyGrant(grant, readPermission, source(id));
      return stores.members.list(null, source(id), inherited, page);
    },
    async one(grant: Grant, id: Id, inherited: boolean, user: UserId): Promise<MemberEntry | undefined> {
      verifyGrant(grant, readPermission, source(id));
      return stores.members.one(null, source(id), inherited, user);
    },
    async add(grant: Grant, id: Id, user: UserId, level: AccessLevel, expiresAt: EpochMillis | null): Promise<MemberEntry> {
      verifyGrant(grant, writePermission, source(id));
      checkLevel(level, [5, 10, 15, 20, 30, 40, 50]);
      return transactor.write(async (tx) => {
        const place = await begin(tx, grant, id, level);
        if (!(await directory.users(tx, [user])).has(user)) throw new JobpassError('not_found', { what: 'User' });
        await stores.members.add(tx, place, user, level, expiresAt, clock.now());
        const member = await stores.members.one(tx, place, false, user);
        if (member === undefined) throw new JobpassError('internal');
        return member;
      });
    },
    async change(grant: Grant, id: Id, user: UserId, level: AccessLevel, expiresAt: EpochMillis | null): Promise<MemberEntry | undefined> {
      verifyGrant(grant, writePermission, source(id));
      checkLevel(level, [5, 10, 15, 20, 30, 40, 50]);
      return transactor.write(async (tx) => {
        const known = await stores.members.one(tx, source(id), false, user);
        if (known === undefined) return undefined;
        const place = await begin(tx, grant, id, level > known.accessLevel ? level : known.accessLevel);
        if (level < 50 && known.accessLevel === 50) await checkLastOwner(tx, place, user);
        await stores.members.change(tx, place, user, level, expiresAt);
        return stores.members.one(tx, place, false, user);
      });
    },
    async remove(grant: Grant, id: Id, user: UserId): Promise<boolean> {
      verifyGrant(grant, writePermission, source(id));
      return transactor.write(async (tx) => {
        const known = await stores.members.one(tx, source(id), false, user);
        if (known === undefined) return false;
        const place = await begin(tx, grant, id, known.accessLevel);
        if (known.accessLevel === 50) await checkLastOwner(tx, place, user);
        return stores.members.remove(tx, place, user);
      });
    },
  };
}
