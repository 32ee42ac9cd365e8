import { expect, test } from 'vitest';
import { millis } from '../../../src/base/ids.ts';
import { limits } from '../../../src/base/limits.ts';
import type { ProtectedRef } from '../../../src/ports/directory.ts';
import { addGroup, addJobs, addProject, addUser, firstPage, now, unknownId } from './seed.ts';
import type { Bench } from './suite.ts';

export function projectCases(bench: Bench): void {
  test('a project is found by id, and by its full path without case', async () => {
    const { forge, directory } = bench.store;
    const group = await addGroup(bench.store, await addGroup(bench.store));
    const user = await addUser(bench.store);
    const project = await addProject(bench.store, group, user.id, 'internal', 'Tool');
    expect(project).toMatchObject({
      path: `${group.path}/Tool`,
      rootGroupId: group.rootGroupId,
      emptyRepo: true,
      chainDepth: 0,
      archived: false,
    });
    expect(project).toMatchObject({ createdAt: now, lastActivityAt: now, creatorId: user.id });
    expect(await forge.projects.byId(null, project.id)).toEqual(project);
    expect(await directory.project(null, project.id)).toMatchObject({ id: project.id, visibility: 'internal', defaultBranch: 'main' });
    expect((await directory.projectByPath(null, project.path.toUpperCase()))?.id).toBe(project.id);
    expect(await directory.projectByPath(null, 'Tool')).toBeUndefined();
    expect(await directory.projectByPath(null, group.path)).toBeUndefined();
    expect(await directory.groupByPath(null, project.path)).toBeUndefined();
    expect(await directory.project(null, unknownId as never)).toBeUndefined();
    await expect(addProject(bench.store, group, user.id, 'private', 'tOOL')).rejects.toThrow(expect.objectContaining({ code: 'conflict' }));
  });

  test('a change sets what it names, nothing else', async () => {
    const { transactor, forge } = bench.store;
    const user = await addUser(bench.store);
    const project = await addProject(bench.store, { id: user.namespaceId }, user.id);
    const change = { visibility: 'public', archived: true, chainDepth: 2, emptyRepo: false, lastActivityAt: millis(now + 1) } as const;
    await transactor.write((tx) => forge.projects.change(tx, project.id, change));
    await transactor.write((tx) => forge.projects.change(tx, project.id, {}));
    expect(await forge.projects.byId(null, project.id)).toEqual({ ...project, ...change });
  });

  test('R14 a renamed path gives nothing away: the old one is free for others, the id stays', async () => {
    const { transactor, forge, directory } = bench.store;
    const user = await addUser(bench.store);
    const namespace = { id: user.namespaceId };
    const project = await addProject(bench.store, namespace, user.id, 'private', 'old');
    await addProject(bench.store, namespace, user.id, 'private', 'taken');
    const rename = (slug: string) => transactor.write((tx) => forge.projects.change(tx, project.id, { slug }));
    await expect(rename('TAKEN')).rejects.toThrow(expect.objectContaining({ code: 'conflict' }));
    await rename('new');
    expect((await directory.projectByPath(null, `${user.username}/new`))?.id).toBe(project.id);
    expect(await directory.projectByPath(null, `${user.username}/old`)).toBeUndefined();
    const recycled = await addProject(bench.store, namespace, user.id, 'private', 'old');
    expect(recycled.id).toBeGreaterThan(project.id);
  });

  test('R14 A38 an old path leads to its project until anything takes it; of many the oldest are forgotten', async () => {
    const { transactor, forge, formerPaths } = bench.store;
    const user = await addUser(bench.store);
    const group = await addGroup(bench.store);
    const project = await addProject(bench.store, group, user.id, 'private', 'p0');
    const rename = (slug: string, id = project.id) => transactor.write((tx) => forge.projects.change(tx, id, { slug }));
    const leads = async (slug: string) => (await formerPaths.projectAt(null, `${group.path}/${slug}`))?.id;
    await rename('P0');
    expect(await leads('p0')).toBeUndefined();
    await rename('p1');
    await rename('p2');
    expect([await leads('P0'), await leads('p1'), await leads('p2')]).toEqual([project.id, project.id, undefined]);
    await addGroup(bench.store, group, 'private', 'p0');
    const other = await addProject(bench.store, group, user.id, 'private', 'P1');
    expect([await leads('p0'), await leads('p1')]).toEqual([undefined, undefined]);
    await rename('elsewhere', other.id);
    expect(await leads('p1')).toBe(other.id);
    await rename('p1');
    expect([await leads('p1'), await leads('p2')]).toEqual([undefined, project.id]);
    await transactor.write(async (tx) => {
      for (let count = 0; count < limits.formerPaths; count += 1) await forge.projects.change(tx, project.id, { slug: `q${count}` });
    });
    expect([await leads('p2'), await leads('p1'), await leads('q0')]).toEqual([undefined, project.id, project.id]);
    await transactor.write((tx) => forge.projects.remove(tx, project.id));
    expect(await leads('q0')).toBeUndefined();
  });

  test('R14 ids are never used again, also after the newest row is gone and the store was opened again', async () => {
    const { transactor, forge, directory, jobs, liveness } = bench.store;
    const { project, user, jobs: made, pipeline } = await addJobs(bench.store, 1);
    const rule: ProtectedRef = { kind: 'branch', pattern: 'main', pushLevel: 40, mergeLevel: 40, allowForcePush: false };
    await transactor.write(async (tx) => {
      await forge.protectedRefs.put(tx, project.id, rule);
      await forge.members.add(tx, { kind: 'project', id: project.id }, user.id, 30, null, now);
      await forge.projects.remove(tx, project.id);
    });
    expect(await forge.projects.byId(null, project.id)).toBeUndefined();
    expect(await directory.projectByPath(null, project.path)).toBeUndefined();
    expect(await directory.protectedRefs(null, project.id)).toEqual([]);
    expect(await directory.projectLevels(null, [user.id], project.id, now)).toEqual(new Map());
    expect(await forge.members.list(null, { kind: 'project', id: project.id }, true, firstPage)).toMatchObject({ total: 0 });
    expect(await jobs.pipeline(null, pipeline.id)).toBeUndefined();
    for (const job of made) expect(await liveness.jobLife(null, job.id)).toBeUndefined();
    const next = await addJobs(bench.store, 1);
    expect(next.project.id).toBeGreaterThan(project.id);
    expect(next.pipeline.id).toBeGreaterThan(pipeline.id);
    expect(next.jobs[0]?.id).toBeGreaterThan(made[0]?.id ?? 0);
  });

  test('protection rules: put twice is one, removed once', async () => {
    const { transactor, forge, directory } = bench.store;
    const user = await addUser(bench.store);
    const project = await addProject(bench.store, { id: user.namespaceId }, user.id);
    const rule: ProtectedRef = { kind: 'branch', pattern: 'release/*', pushLevel: 0, mergeLevel: 30, allowForcePush: true };
    const tag: ProtectedRef = { kind: 'tag', pattern: 'v*', pushLevel: 40, mergeLevel: 40, allowForcePush: false };
    await transactor.write(async (tx) => {
      await forge.protectedRefs.put(tx, project.id, { ...rule, pushLevel: 40 });
      await forge.protectedRefs.put(tx, project.id, rule);
      await forge.protectedRefs.put(tx, project.id, tag);
    });
    expect(await directory.protectedRefs(null, project.id)).toEqual([rule, tag]);
    await transactor.write(async (tx) => {
      expect(await forge.protectedRefs.remove(tx, project.id, 'tag', 'release/*')).toBe(false);
      expect(await forge.protectedRefs.remove(tx, project.id, 'branch', 'release/*')).toBe(true);
      expect(await forge.protectedRefs.remove(tx, project.id, 'branch', 'release/*')).toBe(false);
    });
    expect(await directory.protectedRefs(null, project.id)).toEqual([tag]);
  });
}
