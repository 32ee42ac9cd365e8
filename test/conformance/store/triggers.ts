import { expect, test } from 'vitest';
import { millis } from '../../../src/base/ids.ts';
import { addProject, addUser, digestOf, firstPage, now } from './seed.ts';
import type { Bench } from './suite.ts';

export function triggerCases(bench: Bench): void {
  test('a trigger token is found by its digest, changed, listed, and goes with its project', async () => {
    const { triggers, transactor, forge } = bench.store;
    const user = await addUser(bench.store);
    const project = await addProject(bench.store, { id: user.namespaceId }, user.id);
    const fields = { projectId: project.id, description: 'bot', ownerId: user.id, createdAt: now };
    const [digest, other] = [digestOf(), digestOf()];
    const made = await transactor.write((tx) => triggers.insert(tx, { ...fields, digest, expiresAt: millis(now + 5) }));
    const second = await transactor.write((tx) => triggers.insert(tx, { ...fields, digest: other, expiresAt: null }));
    expect(made).toEqual({ ...fields, id: made.id, expiresAt: now + 5, lastUsedAt: null });
    expect(await triggers.byDigest(null, digest)).toEqual(made);
    expect(await triggers.byDigest(null, digestOf())).toBeUndefined();
    await transactor.write((tx) => triggers.change(tx, made.id, { description: 'robot', lastUsedAt: now }));
    expect(await triggers.byId(null, made.id)).toMatchObject({ description: 'robot', lastUsedAt: now });
    expect((await triggers.list(null, project.id, firstPage)).rows.map((one) => one.id)).toEqual([made.id, second.id]);
    await transactor.write((tx) => triggers.remove(tx, made.id));
    expect(await triggers.byDigest(null, digest)).toBeUndefined();
    await transactor.write((tx) => forge.projects.remove(tx, project.id));
    expect(await triggers.byDigest(null, other)).toBeUndefined();
  });
}
