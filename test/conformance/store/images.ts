import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { type Digest, digestFrom } from '../../../src/base/digest.ts';
import { isJobpassError } from '../../../src/base/errors.ts';
import type { ProjectId, RepositoryId } from '../../../src/base/ids.ts';
import type { ImageManifestRecord } from '../../../src/forge/embedded/ports.ts';
import type { Tx } from '../../../src/ports/tx.ts';
import { addProject, addUser, firstPage, now, uniqueName } from './seed.ts';
import type { Bench } from './suite.ts';

const digestOf = (text: string): Digest => digestFrom('sha256', createHash('sha256').update(text).digest('hex'));
const unique = (): Digest => digestOf(uniqueName());
const manifest = (digest: Digest, change: Partial<ImageManifestRecord> = {}): ImageManifestRecord => ({
  digest,
  mediaType: 'application/vnd.oci.image.manifest.v1+json',
  content: '{"ключ":"\u2028"}\n',
  sizeBytes: 18,
  totalSizeBytes: 40_000_000_000,
  subject: null,
  artifactType: null,
  annotations: null,
  createdAt: now,
  ...change,
});

/** What the container registry keeps. */
export function imageCases(bench: Bench): void {
  const images = () => bench.store.forge.images;
  const write = <Result>(work: (tx: Tx) => Promise<Result>): Promise<Result> => bench.store.transactor.write(work);
  const newProject = async (): Promise<ProjectId> => {
    const user = await addUser(bench.store);
    return (await addProject(bench.store, { id: user.namespaceId }, user.id)).id;
  };
  const newRepository = async (): Promise<RepositoryId> => {
    const project = await newProject();
    return (await write((tx) => images().ensure(tx, project, '', now))).id;
  };

  /** SQLite has one writer. Returns too when the other got through, which is what the test then sees. */
  const otherWaits = async (gotThrough: () => boolean): Promise<void> => {
    if (bench.engine.name !== 'postgres') return;
    while (!gotThrough() && !(await bench.engine.blocked(bench.url))) await new Promise(setImmediate);
  };

  test('a repository is one of its project and name', async () => {
    const [project, other] = [await newProject(), await newProject()];
    const made = await write((tx) => images().ensure(tx, project, 'tools', now));
    expect(made).toEqual({ id: made.id, projectId: project, name: 'tools', createdAt: now });
    expect(await write((tx) => images().ensure(tx, project, 'tools', now))).toEqual(made);
    expect(await images().repository(null, project, 'tools')).toEqual(made);
    expect(await images().repositoryById(null, made.id)).toEqual(made);
    expect(await images().repository(null, other, 'tools')).toBeUndefined();
    expect(await images().repository(null, project, '')).toBeUndefined();
    await Promise.all([1, 2, 3].map(() => write((tx) => images().ensure(tx, other, 'at once', now))));
    expect((await images().list(null, other, firstPage)).total).toBe(1);
  });

  test('A13 a blob is held by the repositories that link it', async () => {
    const [one, other] = [await newRepository(), await newRepository()];
    const digest = unique();
    await write((tx) => images().link(tx, one, digest, 40_000_000_000, now));
    await write((tx) => images().link(tx, one, digest, 1, now));
    expect(await images().blob(null, one, digest)).toEqual({ sizeBytes: 40_000_000_000 });
    expect(await images().blob(null, other, digest)).toBeUndefined();
    expect(await write((tx) => images().held(tx, other, 'blobs', [digest]))).toEqual(new Set());
    expect(await write((tx) => images().held(tx, one, 'blobs', [digest, unique()]))).toEqual(new Set([digest]));
    expect(await write((tx) => images().held(tx, one, 'manifests', [digest]))).toEqual(new Set());
    expect(await images().linked(null, [digest, unique()])).toEqual(new Set([digest]));
    expect(await write((tx) => images().unlink(tx, other, digest))).toBe(false);
    expect(await write((tx) => images().unlink(tx, one, digest))).toBe(true);
    expect(await images().linked(null, [digest])).toEqual(new Set());
  });

  test('a manifest keeps its text, and what it names; a blob that it needs stays', async () => {
    const repository = await newRepository();
    const [blob, digest] = [unique(), unique()];
    const record = manifest(digest, { annotations: { 'a.b': 'ü' }, artifactType: 'a/b' });
    await write(async (tx) => {
      await images().link(tx, repository, blob, 3, now);
      await images().putManifest(tx, repository, record, [blob, blob]);
    });
    // Again, and with another text: the first stays.
    await write((tx) => images().putManifest(tx, repository, { ...record, content: 'other' }, [blob]));
    expect(await images().manifest(null, repository, digest)).toEqual(record);
    expect(await images().manifest(null, await newRepository(), digest)).toBeUndefined();
    await expect(write((tx) => images().unlink(tx, repository, blob))).rejects.toSatisfy((error) => isJobpassError(error, 'conflict'));
    expect(await write((tx) => images().removeManifest(tx, repository, digest))).toBe(true);
    expect(await write((tx) => images().removeManifest(tx, repository, digest))).toBe(false);
    expect(await write((tx) => images().unlink(tx, repository, blob))).toBe(true);
  });

  test('5,000 references fit into one manifest', async () => {
    const repository = await newRepository();
    const blobs = Array.from({ length: 5000 }, (_, at) => digestOf(`${repository} ${at}`));
    await write(async (tx) => {
      for (const blob of blobs.slice(0, 2)) await images().link(tx, repository, blob, 3, now);
      expect((await images().held(tx, repository, 'blobs', blobs)).size).toBe(2);
      await images().putManifest(tx, repository, manifest(unique()), blobs);
    });
  });

  test('tags move, come in the order of their bytes, and go with their manifest', async () => {
    const repository = await newRepository();
    const [one, other] = [unique(), unique()];
    await write(async (tx) => {
      await images().putManifest(tx, repository, manifest(one), []);
      await images().putManifest(tx, repository, manifest(other), []);
      for (const name of ['b', 'B', '_', 'a.1', 'a-1', 'é']) await images().putTag(tx, repository, { name, digest: one, createdAt: now });
    });
    const names = ['B', '_', 'a-1', 'a.1', 'b', 'é'];
    expect(await images().tagNames(null, repository, 100, undefined)).toEqual(names);
    expect(await images().tagNames(null, repository, 2, 'B')).toEqual(['_', 'a-1']);
    expect((await images().tags(null, repository, { page: 2, perPage: 4 })).rows.map(({ name }) => name)).toEqual(['b', 'é']);
    await write((tx) => images().putTag(tx, repository, { name: 'b', digest: other, createdAt: now }));
    expect((await images().manifestByTag(null, repository, 'b'))?.digest).toBe(other);
    expect(await images().tag(null, repository, 'b')).toEqual({ name: 'b', digest: other, createdAt: now });
    expect(await write((tx) => images().removeTag(tx, repository, 'B'))).toBe(true);
    expect(await write((tx) => images().removeTag(tx, repository, 'B'))).toBe(false);
    await write((tx) => images().removeManifest(tx, repository, one));
    expect(await images().tagNames(null, repository, 100, undefined)).toEqual(['b']);
  });

  test('referrers are of one subject and one repository', async () => {
    const [repository, elsewhere] = [await newRepository(), await newRepository()];
    const subject = unique();
    const made = [unique(), unique(), unique()];
    await write(async (tx) => {
      for (const [at, digest] of made.entries())
        await images().putManifest(tx, repository, manifest(digest, { subject, artifactType: `t/${at % 2}` }), []);
      await images().putManifest(tx, elsewhere, manifest(unique(), { subject }), []);
      await images().putManifest(tx, repository, manifest(unique(), { subject: unique() }), []);
    });
    const ask = async (filter: { artifactType?: string; last?: Digest; limit: number }) =>
      (await images().referrers(null, repository, subject, { ...filter, bytes: 1000 })).rows.map(({ digest }) => digest);
    const [one, two, three] = made;
    if (one === undefined) throw new Error('nothing was made');
    expect(await ask({ limit: 9 })).toEqual([one, two, three]);
    expect(await ask({ limit: 1 })).toEqual([one]);
    expect(await ask({ limit: 9, last: one })).toEqual([two, three]);
    expect(await ask({ limit: 9, artifactType: 't/0' })).toEqual([one, three]);
  });

  test('R14 a repository goes with all of its rows, and its number does not come back', async () => {
    const project = await newProject();
    const { id: repository } = await write((tx) => images().ensure(tx, project, '', now));
    const digest = unique();
    await write(async (tx) => {
      await images().link(tx, repository, digest, 3, now);
      await images().putManifest(tx, repository, manifest(digest), [digest]);
      await images().putTag(tx, repository, { name: 'v1', digest, createdAt: now });
    });
    expect((await images().list(null, project, firstPage)).rows).toMatchObject([{ id: repository, tagsCount: 1 }]);
    await write((tx) => images().remove(tx, repository));
    expect(await images().linked(null, [digest])).toEqual(new Set());
    expect(await images().manifest(null, repository, digest)).toBeUndefined();
    expect(await images().tag(null, repository, 'v1')).toBeUndefined();
    const again = await write((tx) => images().ensure(tx, project, '', now));
    expect(again.id).not.toBe(repository);
    expect((await images().list(null, project, firstPage)).rows).toMatchObject([{ tagsCount: 0 }]);
  });

  test('R14 the images of a project go with it, and nobody else’s', async () => {
    const [project, other] = [await newProject(), await newProject()];
    const [one, two] = await write(
      async (tx) => [await images().ensure(tx, project, '', now), await images().ensure(tx, project, 'tools', now)] as const,
    );
    const stays = await write((tx) => images().ensure(tx, other, '', now));
    const [digest, shared] = [unique(), unique()];
    await write(async (tx) => {
      for (const { id } of [one, two]) await images().link(tx, id, digest, 3, now);
      for (const { id } of [one, stays]) await images().link(tx, id, shared, 3, now);
      await images().putManifest(tx, one.id, manifest(digest), [digest]);
      await images().putTag(tx, one.id, { name: 'v1', digest, createdAt: now });
    });
    await write((tx) => bench.store.forge.projects.remove(tx, project));
    expect((await images().list(null, project, firstPage)).total).toBe(0);
    expect(await images().linked(null, [digest, shared])).toEqual(new Set([shared]));
    expect(await images().manifest(null, one.id, digest)).toBeUndefined();
    expect(await images().tag(null, one.id, 'v1')).toBeUndefined();
  });

  test('the lock of a digest waits for links of it, and links wait for the lock', async () => {
    const repository = await newRepository();
    const digest = unique();
    const order: string[] = [];
    let linked = (): void => undefined;
    const linking = new Promise<void>((resolve) => (linked = resolve));
    const link = write(async (tx) => {
      await images().link(tx, repository, digest, 3, now);
      linked();
      await otherWaits(() => order.length > 0);
      order.push('linked');
    });
    await linking;
    const lock = write(async (tx) => {
      await images().lock(tx, digest);
      // What collection goes by: after the wait the link is seen.
      expect(await images().linked(tx, [digest])).toEqual(new Set([digest]));
      order.push('locked');
    });
    await Promise.all([link, lock]);
    expect(order).toEqual(['linked', 'locked']);
  });

  test('a blob does not go while a manifest that needs it comes', async () => {
    const repository = await newRepository();
    const digest = unique();
    await write((tx) => images().link(tx, repository, digest, 3, now));
    let removed = false;
    let asked = (): void => undefined;
    const holding = new Promise<void>((resolve) => (asked = resolve));
    const put = write(async (tx) => {
      expect((await images().held(tx, repository, 'blobs', [digest])).size).toBe(1);
      asked();
      await otherWaits(() => removed);
      await images().putManifest(tx, repository, manifest(unique()), [digest]);
    });
    await holding;
    const remove = write((tx) => images().unlink(tx, repository, digest)).then(() => (removed = true));
    await expect(remove).rejects.toSatisfy((error) => isJobpassError(error, 'conflict'));
    await put;
  });
}
