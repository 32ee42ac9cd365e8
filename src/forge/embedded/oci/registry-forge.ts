import { hash } from 'node:crypto';
import type { Clock } from '../../../base/clock.ts';
import { algorithmOf, type Digest, digestFrom, parseDigest } from '../../../base/digest.ts';
import { JobpassError } from '../../../base/errors.ts';
import type { ProjectId, RepositoryId } from '../../../base/ids.ts';
import { limits } from '../../../base/limits.ts';
import { type Grant, jobBehind, type Permission, verifyGrant } from '../../../pass/grant.ts';
import type { ContentStore } from '../../../ports/content.ts';
import type { Leaks } from '../../../ports/leaks.ts';
import type { Transactor, Tx } from '../../../ports/tx.ts';
import type { ImagePlace, RegistryForge, StoredManifest } from '../../registry.ts';
import type { ImageManifestRecord, ImageRepositoryRecord, ImageStore, ImageTagRecord } from '../ports.ts';
import { cut } from '../cut.ts';
import { makeImageSearch } from './leak-search.ts';
import { readManifest } from './manifest.ts';

export interface RegistryDeps {
  readonly images: ImageStore;
  readonly content: ContentStore;
  readonly leaks: Leaks;
  readonly transactor: Transactor;
  readonly clock: Clock;
}

/** Images in rows and content-addressed files. The row is what makes a blob readable, and it is written last, with the second question (R2). */
export function makeRegistryForge({ images, content, leaks, transactor, clock }: RegistryDeps): RegistryForge {
  const searchImage = makeImageSearch({ images, content });
  const check = (grant: Grant, permission: Permission, project: ProjectId): void =>
    verifyGrant(grant, permission, { kind: 'project', id: project });
  const reads = (grant: Grant, project: ProjectId): void => check(grant, 'container:read', project);
  /** Over the registry, or over GitLab's REST API, which asks for less. */
  const removes = (grant: Grant, project: ProjectId): void =>
    check(
      grant,
      grant.accesses.some(({ permission }) => permission === 'container:admin') ? 'container:admin' : 'container:delete',
      project,
    );
  const find = (place: ImagePlace): Promise<ImageRepositoryRecord | undefined> => images.repository(null, place.projectId, place.name);
  const write = <Result>(grant: Grant, work: (tx: Tx) => Promise<Result>): Promise<Result> =>
    transactor.write(async (tx) => {
      await grant.confirm(tx);
      return work(tx);
    });
  const inProject = async (project: ProjectId, id: RepositoryId): Promise<ImageRepositoryRecord | undefined> => {
    const found = await images.repositoryById(null, id);
    return found?.projectId === project ? found : undefined;
  };
  /** Rows point only at bytes that are there, whatever collection does meanwhile (see `ContentStore`). */
  const link = async (tx: Tx, place: ImagePlace, digest: Digest, sizeBytes: number): Promise<void> => {
    const { id } = await images.ensure(tx, place.projectId, place.name, clock.now());
    await images.link(tx, id, digest, sizeBytes, clock.now());
    if (!content.holds(digest)) throw new JobpassError('store_unavailable', 'The blob was just being removed. Push it again.');
  };
  const finish = async (grant: Grant, place: ImagePlace, upload: string, digest: Digest): Promise<void> => {
    const sizeBytes = await content.finish(ownerOf(grant, place), upload, digest);
    await write(grant, (tx) => link(tx, place, digest, sizeBytes));
  };

  return {
    async blob(grant, place, digest) {
      reads(grant, place.projectId);
      const repository = await find(place);
      // What the disk lost is not claimed to be here: clients then push it again.
      return repository === undefined || !content.holds(digest) ? undefined : images.blob(null, repository.id, digest);
    },
    async readBlob(grant, place, digest, range) {
      reads(grant, place.projectId);
      const repository = await find(place);
      if (repository === undefined || (await images.blob(null, repository.id, digest)) === undefined)
        throw new JobpassError('not_found', { what: 'Blob' });
      return content.read(digest, { range, signal: grant.signal });
    },
    async deleteBlob(grant, place, digest) {
      removes(grant, place.projectId);
      return write(grant, async (tx) => {
        const repository = await images.repository(tx, place.projectId, place.name);
        return repository !== undefined && images.unlink(tx, repository.id, digest);
      });
    },
    async mountBlob(grant, place, from, digest) {
      check(grant, 'container:push', place.projectId);
      reads(grant, from.projectId);
      return write(grant, async (tx) => {
        const source = await images.repository(tx, from.projectId, from.name);
        const blob = source === undefined ? undefined : await images.blob(tx, source.id, digest);
        if (blob === undefined) return false;
        await link(tx, place, digest, blob.sizeBytes);
        return true;
      });
    },

    async startUpload(grant, place) {
      check(grant, 'container:push', place.projectId);
      return { id: await content.begin(ownerOf(grant, place)), sizeBytes: 0 };
    },
    async upload(grant, place, id) {
      check(grant, 'container:push', place.projectId);
      const sizeBytes = await content.uploaded(ownerOf(grant, place), id);
      return sizeBytes === undefined ? undefined : { id, sizeBytes };
    },
    async appendUpload(grant, place, id, offset, body) {
      check(grant, 'container:push', place.projectId);
      return { id, sizeBytes: await content.append(ownerOf(grant, place), id, offset, cut(grant, body), limits.imageBlobBytes) };
    },
    async finishUpload(grant, place, id, digest, rest) {
      check(grant, 'container:push', place.projectId);
      if (rest !== undefined) await content.append(ownerOf(grant, place), id, rest.offset, cut(grant, rest.body), limits.imageBlobBytes);
      await finish(grant, place, id, digest);
    },
    async putBlob(grant, place, digest, body) {
      check(grant, 'container:push', place.projectId);
      const id = await content.begin(ownerOf(grant, place));
      try {
        await content.append(ownerOf(grant, place), id, 0, cut(grant, body), limits.imageBlobBytes);
      } catch (error) {
        await content.discard(ownerOf(grant, place), id);
        throw error;
      }
      await finish(grant, place, id, digest);
    },
    async cancelUpload(grant, place, id) {
      check(grant, 'container:push', place.projectId);
      return content.discard(ownerOf(grant, place), id);
    },

    async manifest(grant, place, reference) {
      reads(grant, place.projectId);
      const repository = await find(place);
      if (repository === undefined) return undefined;
      const digest = parseDigest(reference);
      const found =
        digest === undefined ? images.manifestByTag(null, repository.id, reference) : images.manifest(null, repository.id, digest);
      const record = await found;
      return record === undefined ? undefined : stored(record);
    },
    async putManifest(grant, place, reference, mediaType, bytes) {
      check(grant, 'container:push', place.projectId);
      const read = readManifest(mediaType, bytes);
      const wanted = parseDigest(reference);
      const algorithm = wanted === undefined ? 'sha256' : algorithmOf(wanted);
      const digest = digestFrom(algorithm, hash(algorithm, bytes, 'hex'));
      if (wanted !== undefined && wanted !== digest)
        throw new JobpassError('invalid_input', `The manifest's digest is ${digest}, not ${reference}.`);
      const { blobs, manifests, ...facts } = read;
      await mustNotLeak(grant, place, bytes, blobs);
      await write(grant, async (tx) => {
        const repository = await images.ensure(tx, place.projectId, place.name, clock.now());
        await mustHold(tx, repository.id, blobs, manifests);
        await images.putManifest(tx, repository.id, { ...facts, digest, sizeBytes: bytes.length, createdAt: clock.now() }, [
          ...blobs,
          ...manifests,
        ]);
        if (wanted === undefined) await images.putTag(tx, repository.id, { name: reference, digest, createdAt: clock.now() });
      });
      return { digest, ...(read.subject === null ? {} : { subject: read.subject }) };
    },
    async deleteManifest(grant, place, reference) {
      removes(grant, place.projectId);
      const digest = parseDigest(reference);
      return write(grant, async (tx) => {
        const repository = await images.repository(tx, place.projectId, place.name);
        if (repository === undefined) return false;
        if (digest === undefined) return images.removeTag(tx, repository.id, reference);
        return images.removeManifest(tx, repository.id, digest);
      });
    },
    async tags(grant, place, limit, last) {
      reads(grant, place.projectId);
      const repository = await find(place);
      return repository === undefined ? undefined : images.tagNames(null, repository.id, limit, last);
    },
    async referrers(grant, place, digest, filter) {
      reads(grant, place.projectId);
      const repository = await find(place);
      if (repository === undefined) return { rows: [], more: false };
      // Their annotations stand in the answer: as many as one manifest may have.
      const { rows, more } = await images.referrers(null, repository.id, digest, { ...filter, bytes: limits.manifestBytes });
      const shown = rows.map((row) => ({
        mediaType: row.mediaType,
        digest: row.digest,
        size: row.sizeBytes,
        ...(row.artifactType === null ? {} : { artifactType: row.artifactType }),
        ...(row.annotations === null ? {} : { annotations: row.annotations }),
      }));
      return { rows: shown, more };
    },

    async projectOf(id) {
      return (await images.repositoryById(null, id))?.projectId;
    },
    async repositories(grant, project, page) {
      reads(grant, project);
      return images.list(null, project, page);
    },
    async repository(grant, project, id) {
      reads(grant, project);
      return inProject(project, id);
    },
    async deleteRepository(grant, project, id) {
      removes(grant, project);
      if ((await inProject(project, id)) === undefined) return false;
      await write(grant, (tx) => images.remove(tx, id));
      return true;
    },
    async tagList(grant, project, id, page) {
      reads(grant, project);
      if ((await inProject(project, id)) === undefined) return undefined;
      const found = await images.tags(null, id, page);
      return { rows: await Promise.all(found.rows.map((tag) => shownTag(id, tag))), total: found.total };
    },
    async tag(grant, project, id, name) {
      reads(grant, project);
      const found = (await inProject(project, id)) === undefined ? undefined : await images.tag(null, id, name);
      return found === undefined ? undefined : shownTag(id, found);
    },
  };

  /** A pass that an image would publish is dead before anybody pulls it (R12). */
  async function mustNotLeak(grant: Grant, place: ImagePlace, bytes: Buffer, blobs: readonly Digest[]): Promise<void> {
    const found = await searchImage((await find(place))?.id, bytes, blobs);
    const where = { door: 'registry', what: `an image of project ${place.projectId}`, requestId: grant.requestId };
    if ((await leaks.revokeAll(found, where)) > 0)
      throw new JobpassError('invalid_input', 'A pass (jpt_…) stands in this image: it is revoked now, and the image is not taken (R12).');
  }

  async function mustHold(tx: Tx, repository: RepositoryId, blobs: readonly Digest[], manifests: readonly Digest[]): Promise<void> {
    const heldBlobs = await images.held(tx, repository, 'blobs', blobs);
    const blob = blobs.find((digest) => !heldBlobs.has(digest));
    if (blob !== undefined) throw new JobpassError('not_found', { what: 'Blob', message: `The blob ${blob} is not in this repository.` });
    const heldManifests = await images.held(tx, repository, 'manifests', manifests);
    const child = manifests.find((digest) => !heldManifests.has(digest));
    if (child !== undefined)
      throw new JobpassError('not_found', { what: 'Manifest', message: `The manifest ${child} is not in this repository.` });
  }

  async function shownTag(repository: RepositoryId, tag: ImageTagRecord) {
    const manifest = await images.manifestFacts(null, repository, tag.digest);
    return { ...tag, mediaType: manifest?.mediaType ?? '', totalSizeBytes: manifest?.totalSizeBytes ?? 0 };
  }
}

/** An upload belongs to a repository and to who began it: an id that got known, say from a proxy's log, is nothing to anybody else. */
function ownerOf({ identity }: Grant, { projectId, name }: ImagePlace): string {
  const job = jobBehind(identity);
  const caller = job === undefined ? `user ${identity.kind === 'user' ? identity.userId : identity.kind}` : `job ${job}`;
  // Hashed, so that it fits into the name of a file. No repository has a NUL in its name.
  return `${projectId}-${hash('sha256', `${name}\0${caller}`, 'hex').slice(0, 16)}`;
}

function stored({ digest, mediaType, sizeBytes, content }: ImageManifestRecord): StoredManifest {
  return { digest, mediaType, sizeBytes, bytes: Buffer.from(content, 'utf8') };
}
