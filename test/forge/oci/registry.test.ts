import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { JobpassError } from '../../../src/base/errors.ts';
import { id, type ProjectId } from '../../../src/base/ids.ts';
import { parseDigest } from '../../../src/base/digest.ts';
import { limits } from '../../../src/base/limits.ts';
import { newPassToken } from '../../../src/base/pass-token.ts';
import { makeImageSearch } from '../../../src/forge/embedded/oci/leak-search.ts';
import type { ImagePlace } from '../../../src/forge/registry.ts';
import { bytesOf, digestOf, grantFor, grantOn, imageManifest, imageType, indexType, other, place, project, putBlob } from './images.ts';
import { startImages, type TestImages } from './images.ts';

let images: TestImages;
beforeAll(async () => {
  images = await startImages();
});
afterAll(() => images.close());

const dead = { confirm: () => Promise.reject(new JobpassError('pass_dead')) };
const code = (wanted: JobpassError['code']) => expect.objectContaining({ code: wanted });
/** A place that no other test uses. */
let places = 0;
const fresh = (): ImagePlace => ({ projectId: project, name: `p${(places += 1)}` });
/** A blob that no other test has. */
const unique = (): string => `content ${(places += 1)}`;

test('a blob goes in whole, and comes out whole and in ranges', async () => {
  const bytes = Buffer.alloc(3 * 1024 * 1024 + 17, 'abcdefg');
  const digest = await putBlob(images.forge, bytes);
  expect(await images.forge.blob(grantFor(), place, digest)).toEqual({ sizeBytes: bytes.length });
  const whole = await images.forge.readBlob(grantFor(), place, digest);
  expect(whole.sizeBytes).toBe(bytes.length);
  expect((await bytesOf(whole.body)).equals(bytes)).toBe(true);
  const part = await images.forge.readBlob(grantFor(), place, digest, { first: 5, last: 1_500_000 });
  expect((await bytesOf(part.body)).equals(bytes.subarray(5, 1_500_001))).toBe(true);
});

test('an upload in pieces goes on where it stands, and nowhere else', async () => {
  const here = fresh();
  const { id: upload } = await images.forge.startUpload(grantFor(), here);
  const add = (offset: number | undefined, text: string) =>
    images.forge.appendUpload(grantFor(), here, upload, offset, Readable.from([Buffer.from(text)]));
  expect(await add(0, 'one ')).toEqual({ id: upload, sizeBytes: 4 });
  await expect(add(2, 'xx')).rejects.toEqual(code('range_mismatch'));
  expect(await add(undefined, 'two ')).toEqual({ id: upload, sizeBytes: 8 });
  expect(await images.forge.upload(grantFor(), here, upload)).toEqual({ id: upload, sizeBytes: 8 });
  const digest = digestOf('one two three');
  const rest = { body: Readable.from([Buffer.from('three')]), offset: 8 };
  await images.forge.finishUpload(grantFor(), here, upload, digest, rest);
  expect(await images.forge.blob(grantFor(), here, digest)).toEqual({ sizeBytes: 13 });
  expect(await images.forge.upload(grantFor(), here, upload)).toBeUndefined();
});

test('an upload is found by its own repository only', async () => {
  const here = fresh();
  const { id: upload } = await images.forge.startUpload(grantFor(), here);
  const body = () => Readable.from([Buffer.from('x')]);
  for (const where of [fresh(), { ...here, projectId: other }]) {
    const grant = grantOn(where.projectId);
    expect(await images.forge.upload(grant, where, upload)).toBeUndefined();
    await expect(images.forge.appendUpload(grant, where, upload, undefined, body())).rejects.toEqual(code('not_found'));
    await expect(images.forge.finishUpload(grant, where, upload, digestOf(''))).rejects.toEqual(code('not_found'));
    expect(await images.forge.cancelUpload(grant, where, upload)).toBe(false);
  }
  expect(await images.forge.cancelUpload(grantFor(), here, upload)).toBe(true);
  expect(await images.forge.cancelUpload(grantFor(), here, upload)).toBe(false);
});

test('a blob whose digest is another is not kept', async () => {
  const here = fresh();
  const wrong = images.forge.putBlob(grantFor(), here, digestOf('right'), Readable.from([Buffer.from('wrong')]));
  await expect(wrong).rejects.toEqual(code('invalid_input'));
  for (const text of ['right', 'wrong']) expect(await images.forge.blob(grantFor(), here, digestOf(text))).toBeUndefined();
});

test('sha512 is served as well', async () => {
  const bytes = Buffer.from('long digest');
  const digest = parseDigest(`sha512:${(await import('node:crypto')).hash('sha512', bytes, 'hex')}`);
  if (digest === undefined) throw new Error('no digest');
  await images.forge.putBlob(grantFor(), place, digest, Readable.from([bytes]));
  expect((await bytesOf((await images.forge.readBlob(grantFor(), place, digest)).body)).equals(bytes)).toBe(true);
});

test('A13 a blob is read through a repository that holds it, never by its digest', async () => {
  const digest = await putBlob(images.forge, unique(), { projectId: other, name: '' });
  for (const where of [place, fresh()]) {
    expect(await images.forge.blob(grantFor(), where, digest)).toBeUndefined();
    await expect(images.forge.readBlob(grantFor(), where, digest)).rejects.toEqual(code('not_found'));
    await expect(images.forge.putManifest(grantFor(), where, 'v1', imageType, imageManifest(digest, []))).rejects.toEqual(
      code('not_found'),
    );
  }
});

test('A13 a mount needs the source in the grant, and the blob in the source', async () => {
  const from: ImagePlace = { projectId: other, name: '' };
  const digest = await putBlob(images.forge, unique(), from);
  const here = fresh();
  const unread = images.forge.mountBlob(grantFor({ accesses: [['container:push', project]] }), here, from, digest);
  await expect(unread).rejects.toEqual(code('internal'));
  const both = grantFor({
    accesses: [
      ['container:push', project],
      ['container:read', project],
      ['container:read', other],
    ],
  });
  expect(await images.forge.mountBlob(both, here, place, digest)).toBe(false);
  expect(await images.forge.blob(grantFor(), here, digest)).toBeUndefined();
  expect(await images.forge.mountBlob(both, here, from, digest)).toBe(true);
  expect(await images.forge.blob(grantFor(), here, digest)).toBeDefined();
});

test('R2 A61 a pass that died after the last byte leaves nothing behind', async () => {
  const here = fresh();
  const text = unique();
  const digest = digestOf(text);
  const body = () => Readable.from([Buffer.from(text)]);
  await expect(images.forge.putBlob(grantFor(dead), here, digest, body())).rejects.toEqual(code('pass_dead'));
  const { id: upload } = await images.forge.startUpload(grantFor(), here);
  const finish = images.forge.finishUpload(grantFor(dead), here, upload, digest, { body: body(), offset: 0 });
  await expect(finish).rejects.toEqual(code('pass_dead'));
  expect(await images.forge.blob(grantFor(), here, digest)).toBeUndefined();
  const held = await putBlob(images.forge, unique());
  await expect(images.forge.mountBlob(grantFor(dead), here, place, held)).rejects.toEqual(code('pass_dead'));
  await expect(images.forge.putManifest(grantFor(dead), place, 'dead', imageType, imageManifest(held, []))).rejects.toEqual(
    code('pass_dead'),
  );
  expect(await images.forge.manifest(grantFor(), place, 'dead')).toBeUndefined();
  // Not even the repository's name.
  expect(await images.forge.tags(grantFor(), here, 10)).toBeUndefined();
});

test('R2 deleting asks again as well', async () => {
  const here = fresh();
  const digest = await putBlob(images.forge, unique(), here);
  const { digest: manifest } = await images.forge.putManifest(grantFor(), here, 'v1', imageType, imageManifest(digest, []));
  const spare = await putBlob(images.forge, unique(), here);
  const [repository] = (await images.forge.repositories(grantFor(), project, { page: 1, perPage: 100 })).rows.filter(
    ({ name }) => name === here.name,
  );
  if (repository === undefined) throw new Error('no repository');
  await expect(images.forge.deleteBlob(grantFor(dead), here, spare)).rejects.toEqual(code('pass_dead'));
  await expect(images.forge.deleteManifest(grantFor(dead), here, 'v1')).rejects.toEqual(code('pass_dead'));
  await expect(images.forge.deleteManifest(grantFor(dead), here, manifest)).rejects.toEqual(code('pass_dead'));
  await expect(images.forge.deleteRepository(grantFor(dead), project, repository.id)).rejects.toEqual(code('pass_dead'));
  expect(await images.forge.blob(grantFor(), here, spare)).toBeDefined();
  expect((await images.forge.manifest(grantFor(), here, 'v1'))?.digest).toBe(manifest);
});

test('R2 a pass that dies cuts its upload and its download', async () => {
  const life = new AbortController();
  const grant = grantFor({ signal: life.signal });
  const here = fresh();
  const { id: upload } = await images.forge.startUpload(grant, here);
  const body = new PassThrough();
  const uploading = images.forge.appendUpload(grant, here, upload, 0, body);
  body.write('first');
  const big = Buffer.alloc(8 * 1024 * 1024, 'x');
  const digest = await putBlob(images.forge, big);
  const [one, another] = [await images.forge.readBlob(grant, place, digest), await images.forge.readBlob(grant, place, digest)];
  const stuck = new PassThrough();
  const sending = another.body.sendTo(stuck);
  await once(stuck, 'readable');
  const cut = [uploading, bytesOf(one.body), sending].map((stream) => expect(stream).rejects.toEqual(code('pass_dead')));
  life.abort();
  await Promise.all(cut);
  expect(stuck.destroyed).toBe(true);
  await expect(images.forge.appendUpload(grant, here, upload, undefined, Readable.from([Buffer.from('more')]))).rejects.toEqual(
    code('pass_dead'),
  );
});

test('a manifest comes back byte for byte, by tag and by digest, and the tag moves', async () => {
  const here = fresh();
  const blob = await putBlob(images.forge, unique(), here);
  const odd = Buffer.from(` ${imageManifest(blob, [blob], { unknown: { ключ: [1, 1.0, '\u0001'] } }).toString()}\n`);
  const first = await images.forge.putManifest(grantFor(), here, 'latest', imageType, odd);
  expect(first.digest).toBe(digestOf(odd));
  for (const reference of ['latest', first.digest]) {
    const found = await images.forge.manifest(grantFor(), here, reference);
    expect(found?.bytes.equals(odd)).toBe(true);
    expect(found).toMatchObject({ digest: first.digest, mediaType: imageType, sizeBytes: odd.length });
  }
  const second = await images.forge.putManifest(grantFor(), here, 'latest', imageType, imageManifest(blob, []));
  expect((await images.forge.manifest(grantFor(), here, 'latest'))?.digest).toBe(second.digest);
  expect(await images.forge.manifest(grantFor(), here, first.digest)).toBeDefined();
  await expect(images.forge.putManifest(grantFor(), here, first.digest, imageType, imageManifest(blob, []))).rejects.toEqual(
    code('invalid_input'),
  );
});

test('what a manifest names must be here, as what it names it', async () => {
  const here = fresh();
  const blob = await putBlob(images.forge, unique(), here);
  const { digest } = await images.forge.putManifest(grantFor(), here, 'v1', imageType, imageManifest(blob, []));
  const index = (child: string) =>
    Buffer.from(JSON.stringify({ schemaVersion: 2, manifests: [{ mediaType: imageType, digest: child, size: 3 }] }));
  await images.forge.putManifest(grantFor(), here, 'index', indexType, index(digest));
  await expect(images.forge.putManifest(grantFor(), here, 'bad', indexType, index(blob))).rejects.toEqual(code('not_found'));
  await expect(images.forge.putManifest(grantFor(), here, 'bad', imageType, imageManifest(blob, [digest]))).rejects.toEqual(
    code('not_found'),
  );
  expect(await images.forge.tags(grantFor(), here, 10)).toEqual(['index', 'v1']);
});

test('a blob that a manifest needs is not deleted; then it is', async () => {
  const here = fresh();
  const blob = await putBlob(images.forge, unique(), here);
  const { digest } = await images.forge.putManifest(grantFor(), here, 'v1', imageType, imageManifest(blob, []));
  await expect(images.forge.deleteBlob(grantFor(), here, blob)).rejects.toEqual(code('conflict'));
  expect(await images.forge.deleteManifest(grantFor(), here, 'v1')).toBe(true);
  expect(await images.forge.manifest(grantFor(), here, digest)).toBeDefined();
  expect(await images.forge.deleteManifest(grantFor(), here, digest)).toBe(true);
  expect(await images.forge.deleteManifest(grantFor(), here, digest)).toBe(false);
  expect(await images.forge.deleteBlob(grantFor(), here, blob)).toBe(true);
  expect(await images.forge.deleteBlob(grantFor(), here, blob)).toBe(false);
});

test('referrers come in order of arrival, by type and in pages', async () => {
  const here = fresh();
  const blob = await putBlob(images.forge, unique(), here);
  const subject = digestOf('not there yet');
  const refer = (artifactType: string, note: string) =>
    images.forge.putManifest(grantFor(), here, digestOf(manifestOf(artifactType, note)), imageType, manifestOf(artifactType, note));
  const manifestOf = (artifactType: string, note: string) =>
    imageManifest(blob, [], { subject: { mediaType: imageType, digest: subject, size: 1 }, artifactType, annotations: { note } });
  const made = [await refer('a/sbom', '1'), await refer('a/signature', '2'), await refer('a/sbom', '3')];
  expect(made.map((one) => one.subject)).toEqual([subject, subject, subject]);
  const ask = async (filter: { artifactType?: string; last?: (typeof made)[0]['digest']; limit: number }) =>
    (await images.forge.referrers(grantFor(), here, subject, filter)).rows;
  const all = await ask({ limit: 10 });
  expect(all.map((one) => one.annotations?.['note'])).toEqual(['1', '2', '3']);
  expect(all[0]).toMatchObject({ mediaType: imageType, artifactType: 'a/sbom', digest: made[0]?.digest });
  expect((await ask({ artifactType: 'a/sbom', limit: 10 })).map((one) => one.annotations?.['note'])).toEqual(['1', '3']);
  const [first, second] = await ask({ limit: 1 });
  expect(second).toBeUndefined();
  if (first === undefined) throw new Error('no referrer');
  expect((await ask({ last: first.digest, limit: 10 })).map((one) => one.annotations?.['note'])).toEqual(['2', '3']);
});

test('R13 a page of referrers has no more bytes than one manifest may have, however many there are', async () => {
  const here = fresh();
  const blob = await putBlob(images.forge, unique(), here);
  const subject = digestOf('not there either');
  const made: string[] = [];
  for (const letter of ['a', 'b', 'c']) {
    const annotations = { note: letter.repeat(limits.manifestBytes / 2 - 4096) };
    const bytes = imageManifest(blob, [], { subject: { mediaType: imageType, digest: subject, size: 1 }, annotations });
    made.push((await images.forge.putManifest(grantFor(), here, digestOf(bytes), imageType, bytes)).digest);
  }
  const [one, two, three] = made;
  const first = await images.forge.referrers(grantFor(), here, subject, { limit: 1000 });
  expect([first.rows.map(({ digest }) => digest), first.more]).toEqual([[one, two], true]);
  const next = await images.forge.referrers(grantFor(), here, subject, {
    limit: 1000,
    ...(first.rows[1] === undefined ? {} : { last: first.rows[1].digest }),
  });
  expect([next.rows.map(({ digest }) => digest), next.more]).toEqual([[three], false]);
});

test('R12 R13 a blob full of what looks like passes is not remembered, but looked at each time', async () => {
  const here = fresh();
  const { content } = images.deps;
  let reads = 0;
  const search = makeImageSearch({
    images: images.deps.images,
    content: { ...content, holds: (digest) => content.holds(digest), read: (...asked) => ((reads += 1), content.read(...asked)) },
  });
  const look = async (candidates: number): Promise<number> => {
    reads = 0;
    const text = Array.from({ length: candidates }, () => newPassToken('full').reveal()).join('\n');
    const digest = await putBlob(images.forge, `${unique()}${text}`, here);
    const repository = (await images.deps.images.repository(null, here.projectId, here.name))?.id;
    for (let count = 0; count < 2; count += 1) expect((await search(repository, Buffer.from('{}'), [digest])).size).toBe(candidates);
    return reads;
  };
  expect(await look(3)).toBe(1);
  expect(await look(30)).toBe(2);
});

test('repositories and their tags are listed; a repository goes with all that it has', async () => {
  const mine = id<ProjectId>(70);
  const grant = grantOn(mine);
  const here: ImagePlace = { projectId: mine, name: 'tools' };
  const blob = await putBlob(images.forge, unique(), here);
  const { digest } = await images.forge.putManifest(grant, here, 'v1', imageType, imageManifest(blob, [blob]));
  await images.forge.putManifest(grant, here, 'V2', imageType, imageManifest(blob, [blob]));
  const page = { page: 1, perPage: 20 };
  const { rows, total } = await images.forge.repositories(grant, mine, page);
  expect({ total, rows }).toMatchObject({ total: 1, rows: [{ projectId: mine, name: 'tools', tagsCount: 2 }] });
  const repository = rows[0]?.id;
  if (repository === undefined) throw new Error('no repository');
  expect(await images.forge.repository(grantOn(other), other, repository)).toBeUndefined();
  expect(await images.forge.deleteRepository(grantOn(other), other, repository)).toBe(false);
  expect((await images.forge.tagList(grant, mine, repository, page))?.rows.map(({ name }) => name)).toEqual(['V2', 'v1']);
  expect(await images.forge.tag(grant, mine, repository, 'v1')).toMatchObject({ digest, mediaType: imageType, totalSizeBytes: 6 });
  expect(await images.forge.deleteRepository(grant, mine, repository)).toBe(true);
  expect(await images.forge.repository(grant, mine, repository)).toBeUndefined();
  expect(await images.forge.blob(grant, here, blob)).toBeUndefined();
  expect(await images.forge.manifest(grant, here, digest)).toBeUndefined();
  // R14: the next one of that name is another.
  await putBlob(images.forge, unique(), here);
  expect((await images.forge.repositories(grant, mine, page)).rows[0]?.id).not.toBe(repository);
});

test('what the disk lost is missing, and is there again after a push', async () => {
  const here = fresh();
  const text = unique();
  const digest = await putBlob(images.forge, text, here);
  images.deps.content.retire(digest);
  expect(await images.forge.blob(grantFor(), here, digest)).toBeUndefined();
  await expect(images.forge.readBlob(grantFor(), here, digest)).rejects.toEqual(code('not_found'));
  await putBlob(images.forge, text, here);
  expect((await bytesOf((await images.forge.readBlob(grantFor(), here, digest)).body)).toString()).toBe(text);
});

test('one digest pushed from many sides at once is one content', async () => {
  const bytes = Buffer.alloc(200_000, 'z');
  const there = Array.from({ length: 8 }, fresh);
  const digests = await Promise.all(there.map((where) => putBlob(images.forge, bytes, where)));
  for (const where of there) {
    const { body } = await images.forge.readBlob(grantFor(), where, digests[0] ?? digestOf(''));
    expect((await bytesOf(body)).equals(bytes)).toBe(true);
  }
  expect(await readdir(join(images.folder, 'images', 'sha256', digestOf(bytes).slice(7, 9)))).toContain(digestOf(bytes).slice(7));
});

test('uploads of a project are bounded over all of its repositories', async () => {
  const mine = id<ProjectId>(71);
  const begin = (name: string) => images.forge.startUpload(grantOn(mine), { projectId: mine, name });
  const started = await Promise.all(Array.from({ length: limits.uploadsPerProject }, (_, at) => begin(`n${at}`)));
  await expect(begin('more')).rejects.toEqual(code('rate_limited'));
  await images.forge.cancelUpload(grantOn(mine), { projectId: mine, name: 'n0' }, started[0]?.id ?? '');
  await begin('more');
});
