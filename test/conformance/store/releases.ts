import { expect, test } from 'vitest';
import { millis, type Oid } from '../../../src/base/ids.ts';
import type { ReleaseLink, ReleaseRecord } from '../../../src/forge/embedded/ports.ts';
import { addProject, addUser, firstPage, now } from './seed.ts';
import type { Bench } from './suite.ts';

export function releaseCases(bench: Bench): void {
  const conflict = expect.objectContaining({ code: 'conflict' });
  const link: Omit<ReleaseLink, 'id'> = { name: 'binary', url: 'https://x.example/b', directAssetPath: '/b', linkType: 'package' };

  async function release(tag: string, releasedAt: number = now): Promise<ReleaseRecord> {
    const user = await addUser(bench.store);
    const project = await addProject(bench.store, { id: user.namespaceId }, user.id);
    const sha = 'b'.repeat(40) as Oid;
    return {
      projectId: project.id,
      tag,
      name: 'One',
      description: '',
      sha,
      authorId: user.id,
      createdAt: now,
      releasedAt: millis(releasedAt),
    };
  }
  const insert = (made: ReleaseRecord, links: readonly Omit<ReleaseLink, 'id'>[] = []) =>
    bench.store.transactor.write((tx) => bench.store.forge.releases.insert(tx, made, links));

  test('one release a tag; changed and removed with its links', async () => {
    const { transactor, forge } = bench.store;
    const made = await release('v1');
    await insert(made, [link]);
    await expect(insert(made)).rejects.toThrow(conflict);
    expect(await forge.releases.byTag(null, made.projectId, 'v1')).toEqual(made);
    await transactor.write(async (tx) => {
      expect(await forge.releases.change(tx, made.projectId, 'v1', { name: 'Two' })).toBe(true);
      expect(await forge.releases.change(tx, made.projectId, 'v1', {})).toBe(true);
      expect(await forge.releases.change(tx, made.projectId, 'v2', { name: 'Two' })).toBe(false);
      expect(await forge.releases.change(tx, made.projectId, 'v2', {})).toBe(false);
    });
    expect(await forge.releases.byTag(null, made.projectId, 'v1')).toEqual({ ...made, name: 'Two' });
    await transactor.write(async (tx) => {
      expect(await forge.releases.remove(tx, made.projectId, 'v1')).toBe(true);
      expect(await forge.releases.remove(tx, made.projectId, 'v1')).toBe(false);
    });
    expect(await forge.releases.links(null, made.projectId, 'v1')).toEqual([]);
  });

  test('releases are listed by either time, both ways, in pages', async () => {
    const { forge } = bench.store;
    const first = await release('v1');
    await insert(first);
    await insert({ ...first, tag: 'v2', releasedAt: millis(now - 5), createdAt: millis(now + 5) });
    const tags = async (by: 'released_at' | 'created_at', descending: boolean) =>
      (await forge.releases.list(null, first.projectId, { by, descending }, firstPage)).rows.map((row) => row.tag);
    expect(await tags('released_at', true)).toEqual(['v1', 'v2']);
    expect(await tags('released_at', false)).toEqual(['v2', 'v1']);
    expect(await tags('created_at', true)).toEqual(['v2', 'v1']);
    const page = await forge.releases.list(null, first.projectId, { by: 'created_at', descending: true }, { page: 2, perPage: 1 });
    expect(page).toMatchObject({ total: 2, rows: [{ tag: 'v1' }] });
  });

  test("links: names, urls and paths are unique in a release, and another release's link cannot be reached", async () => {
    const { transactor, forge } = bench.store;
    const made = await release('v1');
    await insert(made);
    await insert({ ...made, tag: 'v2' });
    const { projectId } = made;
    const add = (tag: string, change: Partial<ReleaseLink>) =>
      transactor.write((tx) => forge.releases.addLink(tx, projectId, tag, { ...link, ...change }));
    const one = await add('v1', {});
    await expect(add('v1', { url: 'https://x.example/c', directAssetPath: null })).rejects.toThrow(conflict);
    await expect(add('v1', { name: 'c', directAssetPath: null })).rejects.toThrow(conflict);
    await expect(add('v1', { name: 'c', url: 'https://x.example/c' })).rejects.toThrow(conflict);
    const two = await add('v1', { name: 'c', url: 'https://x.example/c', directAssetPath: null });
    await add('v1', { name: 'd', url: 'https://x.example/d', directAssetPath: null });
    const elsewhere = await add('v2', {});
    const change = (tag: string, linkId: number, to: Partial<ReleaseLink>) =>
      transactor.write((tx) => forge.releases.changeLink(tx, projectId, tag, linkId, to));
    expect(await change('v1', one.id, { name: 'other' })).toEqual({ ...one, name: 'other' });
    await expect(change('v1', two.id, { name: 'other' })).rejects.toThrow(conflict);
    expect(await change('v1', elsewhere.id, { name: 'mine' })).toBeUndefined();
    await transactor.write(async (tx) => {
      expect(await forge.releases.removeLink(tx, projectId, 'v1', elsewhere.id)).toBeUndefined();
      expect(await forge.releases.removeLink(tx, projectId, 'v1', two.id)).toEqual(two);
    });
    expect((await forge.releases.links(null, projectId, 'v1')).map((row) => row.name)).toEqual(['d', 'other']);
    expect(await forge.releases.links(null, projectId, 'v2')).toEqual([elsewhere]);
  });
}
