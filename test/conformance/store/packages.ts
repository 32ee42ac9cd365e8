import { expect, test } from 'vitest';
import { addProject, addUser, firstPage, now } from './seed.ts';
import type { Bench } from './suite.ts';

export function packageCases(bench: Bench): void {
  test('a package keeps its files; the newest of a name counts; where bytes are is told when they go', async () => {
    const { packages, transactor, forge } = bench.store;
    const user = await addUser(bench.store);
    const project = await addProject(bench.store, { id: user.namespaceId }, user.id);
    const wanted = {
      projectId: project.id,
      name: 'My_Tool',
      version: '1.0',
      status: 'default',
      creatorId: user.id,
      createdAt: now,
    } as const;
    const made = await transactor.write((tx) => packages.ensure(tx, wanted));
    expect(made).toEqual({ ...wanted, id: made.id });
    const file = { packageId: made.id, fileName: 'x', sizeBytes: 5e9, sha256: 'a'.repeat(64), createdAt: now };
    await transactor.write(async (tx) => {
      expect((await packages.ensure(tx, { ...wanted, status: 'hidden' })).id).toBe(made.id);
      await packages.addFile(tx, { ...file, blobKey: 'files/1/one' });
      await packages.addFile(tx, { ...file, blobKey: 'files/1/two' });
    });
    expect(await packages.list(null, project.id, {}, firstPage)).toMatchObject({ total: 0 });
    await transactor.write((tx) => packages.ensure(tx, wanted));
    expect(await packages.list(null, project.id, { name: 'y_tOO' }, firstPage)).toMatchObject({ total: 1 });
    expect(await packages.list(null, project.id, { name: 'y%tool' }, firstPage)).toMatchObject({ total: 0 });
    expect(await packages.file(null, project.id, 'My_Tool', '1.0', 'x')).toMatchObject({ ...file, blobKey: 'files/1/two' });
    expect(await packages.file(null, project.id, 'My_Tool', '1.1', 'x')).toBeUndefined();
    expect(await packages.count(null, project.id)).toBe(2);
    const upload = {
      projectId: project.id,
      secret: 's'.repeat(32),
      fileName: 'a',
      sizeBytes: 1,
      blobKey: 'files/1/up',
      creatorId: user.id,
      createdAt: now,
    };
    await transactor.write((tx) => packages.addUpload(tx, upload));
    expect(await packages.upload(null, project.id, upload.secret)).toMatchObject(upload);
    expect([...(await packages.keysOf(null, project.id))].toSorted()).toEqual(['files/1/one', 'files/1/two', 'files/1/up']);
    expect(await transactor.write((tx) => packages.remove(tx, made.id))).toEqual(['files/1/one', 'files/1/two']);
    await transactor.write((tx) => forge.projects.remove(tx, project.id));
    expect(await packages.upload(null, project.id, upload.secret)).toBeUndefined();
  });
}
