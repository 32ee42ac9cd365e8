import type { Selectable } from 'kysely';
import type { Digest } from '../../base/digest.ts';
import { id, millis, type ProjectId, type RepositoryId } from '../../base/ids.ts';
import type { ImageManifestRecord, ImageRepositoryRecord, ImageStore, ImageTagRecord } from '../../forge/embedded/ports.ts';
import type { MaybeTx } from '../../ports/tx.ts';
import { type Database, readJson } from '../database.ts';
import type { ImageManifestsTable } from '../schema.ts';
import { paged } from './paged.ts';

/** Rows of the container registry. */
export function imageRepository(db: Database): ImageStore {
  const repositories = (tx: MaybeTx) => db.on(tx).selectFrom('imageRepositories').selectAll();
  return {
    async repository(tx, project, name) {
      const row = await repositories(tx).where('projectId', '=', project).where('name', '=', name).executeTakeFirst();
      return row === undefined ? undefined : toRepository(row);
    },
    async repositoryById(tx, repository) {
      const row = await repositories(tx).where('id', '=', repository).executeTakeFirst();
      return row === undefined ? undefined : toRepository(row);
    },
    async ensure(tx, project, name, at) {
      await db
        .on(tx)
        .insertInto('imageRepositories')
        .values({ projectId: project, name, createdAt: at })
        .onConflict((conflict) => conflict.columns(['projectId', 'name']).doNothing())
        .execute();
      return toRepository(await repositories(tx).where('projectId', '=', project).where('name', '=', name).executeTakeFirstOrThrow());
    },
    async list(tx, project, page) {
      const found = await paged(
        db.on(tx).selectFrom('imageRepositories').where('projectId', '=', project),
        page,
        (rows) =>
          rows
            .selectAll()
            .select((eb) =>
              eb
                .selectFrom('imageTags')
                .select((inner) => inner.fn.countAll<number>().as('count'))
                .whereRef('imageTags.repositoryId', '=', 'imageRepositories.id')
                .as('tagsCount'),
            )
            .orderBy('id')
            .execute(),
        (row) => ({ ...toRepository(row), tagsCount: row.tagsCount ?? 0 }),
      );
      return found;
    },
    async remove(tx, repository) {
      const on = db.on(tx);
      for (const table of ['imageTags', 'imageReferences', 'imageManifests', 'imageBlobs', 'imageUploads'] as const)
        await on.deleteFrom(table).where('repositoryId', '=', repository).execute();
      await on.deleteFrom('imageRepositories').where('id', '=', repository).execute();
    },

    async blob(tx, repository, digest) {
      return db
        .on(tx)
        .selectFrom('imageBlobs')
        .select('sizeBytes')
        .where('repositoryId', '=', repository)
        .where('digest', '=', digest)
        .executeTakeFirst();
    },
    async link(tx, repository, digest, sizeBytes, at) {
      await db
        .on(tx)
        .insertInto('imageBlobs')
        .values({ repositoryId: repository, digest, sizeBytes, createdAt: at })
        .onConflict((conflict) => conflict.columns(['repositoryId', 'digest']).doNothing())
        .execute();
    },
    async unlink(tx, repository, digest) {
      const gone = await db
        .on(tx)
        .deleteFrom('imageBlobs')
        .where('repositoryId', '=', repository)
        .where('digest', '=', digest)
        .returning('digest')
        .execute();
      return gone.length > 0;
    },
    async held(tx, repository, digests) {
      const found = new Map<Digest, number>();
      if (digests.length === 0) return found;
      for (const table of ['imageBlobs', 'imageManifests'] as const) {
        const rows = await db
          .on(tx)
          .selectFrom(table)
          .select(['digest', 'sizeBytes'])
          .where('repositoryId', '=', repository)
          .where('digest', 'in', [...digests])
          .execute();
        for (const row of rows) found.set(row.digest as Digest, row.sizeBytes);
      }
      return found;
    },
    async referenced(tx, repository, digest) {
      const row = await db
        .on(tx)
        .selectFrom('imageReferences')
        .select('manifest')
        .where('repositoryId', '=', repository)
        .where('target', '=', digest)
        .executeTakeFirst();
      return row !== undefined;
    },
    async linked(tx, digests) {
      if (digests.length === 0) return new Set();
      const rows = await db
        .on(tx)
        .selectFrom('imageBlobs')
        .select('digest')
        .distinct()
        .where('digest', 'in', [...digests])
        .execute();
      return new Set(rows.map((row) => row.digest as Digest));
    },

    async manifest(tx, repository, digest) {
      const row = await db
        .on(tx)
        .selectFrom('imageManifests')
        .selectAll()
        .where('repositoryId', '=', repository)
        .where('digest', '=', digest)
        .executeTakeFirst();
      return row === undefined ? undefined : toManifest(row);
    },
    async manifestByTag(tx, repository, tag) {
      const row = await db
        .on(tx)
        .selectFrom('imageTags')
        .innerJoin('imageManifests', (join) =>
          join.onRef('imageManifests.repositoryId', '=', 'imageTags.repositoryId').onRef('imageManifests.digest', '=', 'imageTags.digest'),
        )
        .selectAll('imageManifests')
        .where('imageTags.repositoryId', '=', repository)
        .where('imageTags.name', '=', tag)
        .executeTakeFirst();
      return row === undefined ? undefined : toManifest(row);
    },
    async putManifest(tx, repository, manifest, targets) {
      const { annotations, ...rest } = manifest;
      const made = await db
        .on(tx)
        .insertInto('imageManifests')
        .values({ ...rest, repositoryId: repository, annotations: annotations === null ? null : JSON.stringify(annotations) })
        .onConflict((conflict) => conflict.columns(['repositoryId', 'digest']).doNothing())
        .returning('id')
        .executeTakeFirst();
      if (made === undefined || targets.length === 0) return;
      await db
        .on(tx)
        .insertInto('imageReferences')
        .values([...new Set(targets)].map((target) => ({ repositoryId: repository, manifest: manifest.digest, target })))
        .onConflict((conflict) => conflict.columns(['repositoryId', 'manifest', 'target']).doNothing())
        .execute();
    },
    async removeManifest(tx, repository, digest) {
      const on = db.on(tx);
      await on.deleteFrom('imageTags').where('repositoryId', '=', repository).where('digest', '=', digest).execute();
      await on.deleteFrom('imageReferences').where('repositoryId', '=', repository).where('manifest', '=', digest).execute();
      const gone = await on
        .deleteFrom('imageManifests')
        .where('repositoryId', '=', repository)
        .where('digest', '=', digest)
        .returning('id')
        .execute();
      return gone.length > 0;
    },
    async putTag(tx, repository, tag) {
      await db
        .on(tx)
        .insertInto('imageTags')
        .values({ repositoryId: repository, ...tag })
        .onConflict((conflict) => conflict.columns(['repositoryId', 'name']).doUpdateSet({ digest: tag.digest, createdAt: tag.createdAt }))
        .execute();
    },
    async removeTag(tx, repository, name) {
      const gone = await db
        .on(tx)
        .deleteFrom('imageTags')
        .where('repositoryId', '=', repository)
        .where('name', '=', name)
        .returning('name')
        .execute();
      return gone.length > 0;
    },
    async tagNames(tx, repository, limit, after) {
      let rows = db.on(tx).selectFrom('imageTags').select('name').where('repositoryId', '=', repository);
      if (after !== undefined) rows = rows.where('name', '>', after);
      return (await rows.orderBy('name').limit(limit).execute()).map((row) => row.name);
    },
    tags: (tx, repository, page) =>
      paged(
        db.on(tx).selectFrom('imageTags').where('repositoryId', '=', repository),
        page,
        (rows) => rows.selectAll().orderBy('name').execute(),
        toTag,
      ),
    async tag(tx, repository, name) {
      const row = await db
        .on(tx)
        .selectFrom('imageTags')
        .selectAll()
        .where('repositoryId', '=', repository)
        .where('name', '=', name)
        .executeTakeFirst();
      return row === undefined ? undefined : toTag(row);
    },
    async referrers(tx, repository, subject, filter) {
      let rows = db.on(tx).selectFrom('imageManifests').selectAll().where('repositoryId', '=', repository).where('subject', '=', subject);
      if (filter.artifactType !== undefined) rows = rows.where('artifactType', '=', filter.artifactType);
      if (filter.last !== undefined) {
        const last = await db
          .on(tx)
          .selectFrom('imageManifests')
          .select('id')
          .where('repositoryId', '=', repository)
          .where('digest', '=', filter.last)
          .executeTakeFirst();
        if (last !== undefined) rows = rows.where('id', '>', last.id);
      }
      return (await rows.orderBy('id').limit(filter.limit).execute()).map(toManifest);
    },

    async startUpload(tx, upload, repository, at) {
      await db.on(tx).insertInto('imageUploads').values({ id: upload, repositoryId: repository, startedAt: at }).execute();
    },
    async uploadIn(tx, upload) {
      const row = await db.on(tx).selectFrom('imageUploads').select('repositoryId').where('id', '=', upload).executeTakeFirst();
      return row === undefined ? undefined : id<RepositoryId>(row.repositoryId);
    },
    async openUploads(tx, repository) {
      const row = await db
        .on(tx)
        .selectFrom('imageUploads')
        .select((eb) => eb.fn.countAll<number>().as('count'))
        .where('repositoryId', '=', repository)
        .executeTakeFirstOrThrow();
      return row.count;
    },
    async endUpload(tx, upload) {
      await db.on(tx).deleteFrom('imageUploads').where('id', '=', upload).execute();
    },
    async dropUploads(tx, before) {
      const gone = await db.on(tx).deleteFrom('imageUploads').where('startedAt', '<', before).returning('id').execute();
      return gone.length;
    },
  };
}

function toRepository(row: { id: number; projectId: number; name: string; createdAt: number }): ImageRepositoryRecord {
  return { id: id<RepositoryId>(row.id), projectId: id<ProjectId>(row.projectId), name: row.name, createdAt: millis(row.createdAt) };
}

function toManifest(row: Selectable<ImageManifestsTable>): ImageManifestRecord {
  return {
    digest: row.digest as Digest,
    mediaType: row.mediaType,
    content: row.content,
    sizeBytes: row.sizeBytes,
    totalSizeBytes: row.totalSizeBytes,
    subject: row.subject as Digest | null,
    artifactType: row.artifactType,
    annotations: row.annotations === null ? null : readJson<Record<string, string>>(row.annotations),
    createdAt: millis(row.createdAt),
  };
}

function toTag(row: { name: string; digest: string; createdAt: number }): ImageTagRecord {
  return { name: row.name, digest: row.digest as Digest, createdAt: millis(row.createdAt) };
}
