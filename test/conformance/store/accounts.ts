import { expect, test } from 'vitest';
import { millis } from '../../../src/base/ids.ts';
import { addGroup, addProject, addUser, digestOf, firstPage, now, uniqueName, unknownId } from './seed.ts';
import type { Bench } from './suite.ts';

export function accountCases(bench: Bench): void {
  const conflict = expect.objectContaining({ code: 'conflict' });

  test('a user has a namespace of its own, and is found by id and by name without case', async () => {
    const { forge, directory } = bench.store;
    const name = `Anna${uniqueName()}`;
    const user = await addUser(bench.store, name);
    expect(user).toMatchObject({ username: name, state: 'active', isAdmin: false, createdAt: now });
    expect(await forge.users.byId(null, user.id)).toEqual(user);
    expect(await forge.users.byId(null, unknownId as never)).toBeUndefined();
    const facts = { id: user.id, username: name, name: user.name, state: 'active', isAdmin: false };
    expect(await directory.userByName(null, name.toUpperCase())).toEqual(facts);
    expect(await directory.users(null, [user.id, unknownId as never])).toEqual(new Map([[user.id, facts]]));
    expect(await directory.users(null, [])).toEqual(new Map());
    const namespace = { kind: 'user', path: name, ownerUserId: user.id, rootGroupId: user.namespaceId };
    expect(await directory.group(null, user.namespaceId)).toMatchObject(namespace);
    expect(await directory.groupByPath(null, name.toLowerCase())).toMatchObject(namespace);
  });

  test('user names, e-mail addresses and group paths are taken without case, in one path space', async () => {
    const { transactor, forge } = bench.store;
    const user = await addUser(bench.store);
    const group = await addGroup(bench.store);
    await expect(addUser(bench.store, user.username.toUpperCase())).rejects.toThrow(conflict);
    await expect(addUser(bench.store, group.path.toUpperCase())).rejects.toThrow(conflict);
    await expect(addGroup(bench.store, null, 'private', user.username.toUpperCase())).rejects.toThrow(conflict);
    const sameMail = { username: uniqueName(), name: 'x', email: user.email.toUpperCase(), isAdmin: true, createdAt: now };
    await expect(transactor.write((tx) => forge.users.insert(tx, sameMail))).rejects.toThrow(conflict);
  });

  test('users are listed newest first, by exact name or a part of it, wildcards taken literally', async () => {
    const { forge } = bench.store;
    const [one, two] = [await addUser(bench.store, `find_me${uniqueName()}`), await addUser(bench.store, `findXme${uniqueName()}`)];
    const names = async (filter: { username?: string; search?: string }) =>
      (await forge.users.list(null, filter, firstPage)).rows.map((user) => user.username);
    expect(await names({ username: one.username.toUpperCase() })).toEqual([one.username]);
    expect(await names({ search: 'FIND_ME' })).toEqual([one.username]);
    expect(await names({ search: 'find%me' })).toEqual([]);
    expect((await names({ search: 'find' })).slice(0, 2)).toEqual([two.username, one.username]);
    const total = await forge.users.count(null);
    const page = await forge.users.list(null, {}, { page: 2, perPage: 1 });
    expect(page).toMatchObject({ total, rows: [{ id: one.id }] });
  });

  test('a blocked user stays blocked until set active', async () => {
    const { transactor, forge, directory } = bench.store;
    const user = await addUser(bench.store);
    await transactor.write((tx) => forge.users.setState(tx, user.id, 'blocked'));
    expect((await directory.users(null, [user.id])).get(user.id)?.state).toBe('blocked');
    await transactor.write((tx) => forge.users.setState(tx, user.id, 'active'));
    expect((await forge.users.byId(null, user.id))?.state).toBe('active');
  });

  test('a group inherits its place: path and root from the parent', async () => {
    const root = await addGroup(bench.store, null, 'public');
    const child = await addGroup(bench.store, root, 'private', 'sub');
    expect(child).toMatchObject({
      path: `${root.path}/sub`,
      parentId: root.id,
      rootGroupId: root.id,
      kind: 'group',
      visibility: 'private',
    });
    expect(await bench.store.forge.groups.byId(null, child.id)).toEqual(child);
    await expect(addGroup(bench.store, root, 'private', 'SUB')).rejects.toThrow(conflict);
    const owner = await addUser(bench.store);
    await expect(addProject(bench.store, root, owner.id, 'private', 'Sub')).rejects.toThrow(conflict);
  });

  test('members: direct and inherited, each user once with the highest level, changed and removed', async () => {
    const { transactor, forge } = bench.store;
    const root = await addGroup(bench.store);
    const child = await addGroup(bench.store, root);
    const [user, other] = [await addUser(bench.store), await addUser(bench.store)];
    const project = await addProject(bench.store, child, user.id);
    const [onRoot, onProject] = [{ kind: 'group', id: root.id } as const, { kind: 'project', id: project.id } as const];
    await transactor.write(async (tx) => {
      await forge.members.add(tx, onRoot, user.id, 40, null, now);
      await forge.members.add(tx, onProject, user.id, 20, millis(now + 5), now);
      await forge.members.add(tx, onProject, other.id, 30, null, now);
    });
    await expect(transactor.write((tx) => forge.members.add(tx, onRoot, user.id, 10, null, now))).rejects.toThrow(conflict);
    const all = await forge.members.list(null, onProject, true, firstPage);
    expect(all.rows.map((row) => [row.userId, row.accessLevel])).toEqual([
      [user.id, 40],
      [other.id, 30],
    ]);
    expect(await forge.members.list(null, onProject, true, { page: 2, perPage: 1 })).toMatchObject({
      total: 2,
      rows: [{ userId: other.id }],
    });
    const direct = { userId: user.id, username: user.username, accessLevel: 20, expiresAt: now + 5, createdAt: now, state: 'active' };
    expect(await forge.members.one(null, onProject, false, user.id)).toMatchObject(direct);
    expect(await forge.members.one(null, onProject, true, user.id)).toMatchObject({ accessLevel: 40 });
    expect(await forge.members.one(null, { kind: 'group', id: child.id }, false, user.id)).toBeUndefined();
    await transactor.write(async (tx) => {
      expect(await forge.members.change(tx, onProject, user.id, 50, null)).toBe(true);
      expect(await forge.members.change(tx, { kind: 'group', id: child.id }, user.id, 50, null)).toBe(false);
      expect(await forge.members.remove(tx, onRoot, user.id)).toBe(true);
      expect(await forge.members.remove(tx, onRoot, user.id)).toBe(false);
    });
    expect(await forge.members.one(null, onProject, true, user.id)).toMatchObject({ accessLevel: 50, expiresAt: null });
  });

  test('R5 a personal token is found by digest only, touched once a minute, revoked once', async () => {
    const { transactor, forge, credentials } = bench.store;
    const user = await addUser(bench.store);
    const digest = digestOf();
    const made = {
      userId: user.id,
      name: 'laptop',
      scopes: ['api', 'read_repository'],
      digest,
      expiresAt: millis(now + 9),
      createdAt: now,
      impersonation: false,
    };
    const token = await transactor.write((tx) => forge.tokens.insert(tx, made));
    expect(await credentials.personalToken(null, digest)).toEqual(token);
    expect(await credentials.personalToken(null, digestOf())).toBeUndefined();
    expect(await forge.tokens.byId(null, token.id)).toEqual(token);
    expect(token).toMatchObject({ scopes: made.scopes, expiresAt: now + 9, lastUsedAt: null, revokedAt: null });
    const usedAt = async (at: number) => {
      await transactor.write((tx) => credentials.touchPersonalToken(tx, token.id, millis(at)));
      return (await credentials.personalToken(null, digest))?.lastUsedAt;
    };
    expect(await usedAt(now)).toBe(now);
    expect(await usedAt(now + 60_000)).toBe(now);
    expect(await usedAt(now + 60_001)).toBe(now + 60_001);
    await transactor.write((tx) => forge.tokens.revoke(tx, token.id, now));
    await transactor.write((tx) => forge.tokens.revoke(tx, token.id, millis(now + 1)));
    expect((await credentials.personalToken(null, digest))?.revokedAt).toBe(now);
    expect(await forge.tokens.listForUser(null, user.id, false, firstPage)).toMatchObject({ total: 1, rows: [{ id: token.id }] });
  });
}
