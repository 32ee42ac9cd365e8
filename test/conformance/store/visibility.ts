import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type GroupId, millis, type ProjectId, type UserId } from '../../../src/base/ids.ts';
import type { AccessLevel, Visibility } from '../../../src/base/levels.ts';
import type { GroupRecord, ProjectRecord, UserRecord, Viewers } from '../../../src/forge/embedded/ports.ts';
import type { Store } from '../../../src/store/open.ts';
import { addGroup, addProject, addUser, now } from './seed.ts';
import type { Bench } from './suite.ts';

const everything = { page: 1, perPage: 10_000 };

interface Membership {
  readonly user: number;
  /** Index of a group or project. */
  readonly place: number;
  readonly onProject: boolean;
  readonly level: AccessLevel;
  /** Against `now`: gone, going at this very moment, still there, or for ever. */
  readonly expires: 'before' | 'now' | 'after' | 'never';
}
interface World {
  readonly users: readonly UserRecord[];
  /** A line: each is the parent of the next; and one aside. */
  readonly groups: readonly GroupRecord[];
  readonly projects: readonly ProjectRecord[];
}

const visibility = fc.constantFrom<Visibility>('private', 'private', 'internal', 'public');
const membership = fc.record<Membership>({
  user: fc.nat(2),
  place: fc.nat(3),
  onProject: fc.boolean(),
  level: fc.constantFrom<AccessLevel>(0, 5, 10, 20, 30, 40, 50),
  expires: fc.constantFrom('before', 'now', 'after', 'never', 'never'),
});
const expiry = { before: millis(now - 1), now, after: millis(now + 1), never: null };

async function build(store: Store, groupsSeen: readonly Visibility[], projectsSeen: readonly Visibility[]): Promise<World> {
  const users = [await addUser(store), await addUser(store), await addUser(store)];
  const groups: GroupRecord[] = [];
  for (const [index, seen] of groupsSeen.entries())
    groups.push(await addGroup(store, index === 3 ? null : (groups[index - 1] ?? null), seen));
  const projects: ProjectRecord[] = [];
  const [first] = users;
  if (first === undefined) throw new Error('no user');
  for (const [index, seen] of projectsSeen.entries())
    projects.push(await addProject(store, groups[index] ?? { id: first.namespaceId }, first.id, seen));
  return { users, groups, projects };
}

/** The highest level that counts now, straight from the words of the design. */
function levelOf(world: World, members: readonly Membership[], user: UserId, namespace: GroupId, project?: ProjectId): number {
  const owned = world.users.find((one) => one.namespaceId === namespace);
  if (owned !== undefined) return owned.id === user ? 50 : 0;
  const line: GroupId[] = [];
  for (let at = world.groups.find((group) => group.id === namespace); at !== undefined;) {
    line.push(at.id);
    const { parentId } = at;
    at = world.groups.find((group) => group.id === parentId);
  }
  const counts = members.filter((one) => {
    if (world.users[one.user]?.id !== user || one.expires === 'before' || one.expires === 'now') return false;
    if (one.onProject) return project !== undefined && world.projects[one.place]?.id === project;
    return line.includes(world.groups[one.place]?.id ?? (0 as GroupId));
  });
  return Math.max(0, ...counts.map((one) => one.level));
}

function seen(visible: Visibility, levels: readonly number[], minLevel: number | undefined): boolean {
  if (levels.length === 0) return minLevel === undefined && visible === 'public';
  return levels.every((level) => level >= (minLevel ?? 10) || (minLevel === undefined && visible !== 'private'));
}

export function visibilityCases(bench: Bench): void {
  test('R3 a list holds what every principal may see, and the levels are those of the decisions', async () => {
    const { transactor, forge, directory } = bench.store;
    const four = fc.tuple(visibility, visibility, visibility, visibility);
    const world = fc.record({
      groupsSeen: four,
      projectsSeen: fc.tuple(visibility, visibility, visibility, visibility, visibility),
      // One row for each user and place.
      members: fc.uniqueArray(membership, { maxLength: 8, selector: (one) => `${one.user} ${one.onProject} ${one.place}` }),
    });
    await fc.assert(
      fc.asyncProperty(world, async ({ groupsSeen, projectsSeen, members }) => {
        const made = await build(bench.store, groupsSeen, projectsSeen);
        await transactor.write(async (tx) => {
          for (const one of members) {
            const [place, user] = [(one.onProject ? made.projects : made.groups)[one.place], made.users[one.user]];
            if (place === undefined || user === undefined) throw new Error('no such place');
            const source = one.onProject ? { kind: 'project', id: place.id as ProjectId } : { kind: 'group', id: place.id as GroupId };
            await forge.members.add(tx, source as Parameters<typeof forge.members.add>[1], user.id, one.level, expiry[one.expires], now);
          }
        });
        const ids = made.users.map((user) => user.id);
        for (const principals of [[], ids.slice(0, 1), ids.slice(1, 2), ids.slice(0, 2), ids]) {
          for (const minLevel of [undefined, 30] as const) {
            const viewers: Viewers = { principals, now, ...(minLevel === undefined ? {} : { minLevel }) };
            const listedGroups = (await forge.groups.list(null, viewers, {}, everything)).rows.map((row) => row.id);
            for (const group of made.groups) {
              const levels = principals.map((user) => levelOf(made, members, user, group.id));
              expect(listedGroups.includes(group.id)).toBe(seen(group.visibility, levels, minLevel));
            }
            const listed = (await forge.projects.list(null, viewers, {}, everything)).rows.map((row) => row.id);
            for (const project of made.projects) {
              const levels = principals.map((user) => levelOf(made, members, user, project.namespaceId, project.id));
              expect(listed.includes(project.id)).toBe(seen(project.visibility, levels, minLevel));
            }
          }
        }
        for (const project of made.projects) {
          const levels = await directory.projectLevels(null, ids, project.id, now);
          expect(ids.map((user) => levels.get(user) ?? 0)).toEqual(
            ids.map((user) => levelOf(made, members, user, project.namespaceId, project.id)),
          );
        }
        for (const group of made.groups) {
          const levels = await directory.groupLevels(null, ids, group.id, now);
          expect(ids.map((user) => levels.get(user) ?? 0)).toEqual(ids.map((user) => levelOf(made, members, user, group.id)));
        }
      }),
      { numRuns: 12 },
    );
  });

  test('R4 a list that is limited to projects holds no others; an empty limit holds none', async () => {
    const { forge } = bench.store;
    const user = await addUser(bench.store);
    const namespace = { id: user.namespaceId };
    const [one, two] = [await addProject(bench.store, namespace, user.id, 'public'), await addProject(bench.store, namespace, user.id)];
    const listed = async (projectIds: readonly ProjectId[]) =>
      (await forge.projects.list(null, { principals: [user.id], within: [{ projectIds, groupIds: [] }], now }, {}, everything)).rows.map(
        (row) => row.id,
      );
    expect(await listed([two.id])).toEqual([two.id]);
    expect(await listed([one.id, two.id])).toEqual([two.id, one.id]);
    expect(await listed([])).toEqual([]);
    const group = await addGroup(bench.store, null, 'public');
    const inGroup = await addProject(bench.store, await addGroup(bench.store, group, 'public'), user.id, 'public');
    const within = [{ projectIds: [one.id], groupIds: [group.id] }];
    const both = await forge.projects.list(null, { principals: [user.id], within, now }, {}, everything);
    expect(both.rows.map((row) => row.id)).toEqual([inGroup.id, one.id]);
    const narrower = [...within, { projectIds: [], groupIds: [group.id] }];
    expect(
      (await forge.projects.list(null, { principals: [user.id], within: narrower, now }, {}, everything)).rows.map((row) => row.id),
    ).toEqual([inGroup.id]);
  });

  test('list filters: part of a name, visibility, archived, group, owner, parent', async () => {
    const { transactor, forge } = bench.store;
    const user = await addUser(bench.store);
    const root = await addGroup(bench.store, null, 'public');
    const child = await addGroup(bench.store, root, 'public', `Deep_${root.slug}`);
    const mine = await addProject(bench.store, { id: user.namespaceId }, user.id, 'public');
    const theirs = await addProject(bench.store, root, user.id, 'internal', `Odd_${root.slug}`);
    await transactor.write((tx) => forge.projects.change(tx, theirs.id, { archived: true }));
    const viewers = { principals: [user.id], now };
    type Filter = Parameters<typeof forge.projects.list>[2];
    const projects = async (filter: Filter) => (await forge.projects.list(null, viewers, filter, everything)).rows.map((row) => row.id);
    expect(await projects({ search: `odd_${root.slug}` })).toEqual([theirs.id]);
    expect(await projects({ search: `odd%${root.slug}` })).toEqual([]);
    expect(await projects({ ownedBy: user.id })).toEqual([mine.id]);
    expect(await projects({ groupId: root.id })).toEqual([theirs.id]);
    expect(await projects({ groupId: root.id, archived: false })).toEqual([]);
    expect(await projects({ groupId: root.id, visibility: 'internal', archived: true })).toEqual([theirs.id]);
    const groups = await forge.groups.list(null, viewers, { parentId: root.id, search: 'deep_' }, everything);
    expect(groups.rows.map((row) => row.id)).toEqual([child.id]);
  });
}
