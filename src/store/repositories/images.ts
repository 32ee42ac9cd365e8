import { type Selectable, type SelectQueryBuilder, sql } from 'kysely';
import type { Digest } from '../../base/digest.ts';
import { JobpassError } from '../../base/errors.ts';
import { type EpochMillis, id, millis, type ProjectId, type RepositoryId } from '../../base/ids.ts';
import type { ImageManifestRecord, ImageRepositoryRecord, ImageStore, ImageTagRecord } from '../../forge/embedded/ports.ts';
import type { MaybeTx, Tx } from '../../ports/tx.ts';
import { type Connection, type Database, readJson } from '../database.ts';
import type { ImageManifestsTable, Schema } from '../schema.ts';
import { paged } from './paged.ts';

/** Any fixed number: it names the locks of content among the advisory locks of the database. */
const contentLocks = 0x6f6369;

/** Rows of the container registry. */
export function imageRepository(db: Database): ImageStore {
  const repositories = (tx: MaybeTx) => db.on(tx).selectFrom('imageRepositories').selectAll();
  /** Rows that nobody removes before the transaction ends. */
  const shared = <Table extends keyof Schema, Row>(
    query: SelectQueryBuilder<Schema, Table, Row>,
  ): SelectQueryBuilder<Schema, Table, Row> => (db.engine.rowLocks ? query.forShare() : query);
  const lockDigest = async (tx: Tx, digest: Digest, how: 'pg_advisory_xact_lock' | 'pg_advisory_xact_lock_shared'): Promise<void> => {
    // Where there is one writer at a time, the transaction is the lock.
    if (db.engine.rowLocks) await sql`select ${sql.raw(how)}(${contentLocks}, hashtext(${digest}))`.execute(db.on(tx));
  };
  const named = db.prepared(['project', 'name'], (on, { project, name }: { project: ProjectId; name: string }) =>
    on.selectFrom('imageRepositories').selectAll().where('projectId', '=', project).where('name', '=', name),
  );
  const sharedNamed = db.prepared(['project', 'name'], (on, { project, name }: { project: ProjectId; name: string }) =>
    shared(on.selectFrom('imageRepositories').selectAll().where('projectId', '=', project).where('name', '=', name)),
  );
  const linked = db.prepared(
    ['repositoryId', 'digest', 'sizeBytes', 'createdAt'],
    (on, row: { repositoryId: RepositoryId; digest: Digest; sizeBytes: number; createdAt: EpochMillis }) =>
      on
        .insertInto('imageBlobs')
        .values(row)
        .onConflict((conflict) => conflict.columns(['repositoryId', 'digest']).doNothing()),
  );
  const blobs = db.prepared(['repository', 'digest'], (on, { repository, digest }: { repository: RepositoryId; digest: Digest }) =>
    on.selectFrom('imageBlobs').select('sizeBytes').where('repositoryId', '=', repository).where('digest', '=', digest),
  );
  const manifests = db.prepared(['repository', 'digest'], (on, { repository, digest }: { repository: RepositoryId; digest: Digest }) =>
    on.selectFrom('imageManifests').selectAll().where('repositoryId', '=', repository).where('digest', '=', digest),
  );
  const tagged = db.prepared(['repository', 'tag'], (on, { repository, tag }: { repository: RepositoryId; tag: string }) =>
    on
      .selectFrom('imageTags')
      .innerJoin('imageManifests', (join) =>
        join.onRef('imageManifests.repositoryId', '=', 'imageTags.repositoryId').onRef('imageManifests.digest', '=', 'imageTags.digest'),
      )
      .selectAll('imageManifests')
      .where('imageTags.repositoryId', '=', repository)
      .where('imageTags.name', '=', tag),
  );
  return {
    async repository(tx, project, name) {
      const [row] = await named(tx, { project, name });
      return row === undefined ? undefined : toRepository(row);
    },
    async repositoryById(tx, repository) {
      const row = await repositories(tx).where('id', '=', repository).executeTakeFirst();
      return row === undefined ? undefined : toRepository(row);
    },
    async ensure(tx, project, name, at) {
      const [found] = await sharedNamed(tx, { project, name });
      if (found !== undefined) return toRepository(found);
      await db
        .on(tx)
        .insertInto('imageRepositories')
        .values({ projectId: project, name, createdAt: at })
        .onConflict((conflict) => conflict.columns(['projectId', 'name']).doNothing())
        .execute();
      const [made] = await sharedNamed(tx, { project, name });
      if (made === undefined) throw new JobpassError('conflict', 'The image repository was just being removed. Push it again.');
      return toRepository(made);
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
      // First of all: from here on `ensure` waits.
      await db.on(tx).deleteFrom('imageRepositories').where('id', '=', repository).execute();
      await removeContents(db.on(tx), repository);
    },

    async blob(tx, repository, digest) {
      return (await blobs(tx, { repository, digest }))[0];
    },
    async link(tx, repository, digest, sizeBytes, at) {
      await lockDigest(tx, digest, 'pg_advisory_xact_lock_shared');
      await linked(tx, { repositoryId: repository, digest, sizeBytes, createdAt: at });
    },
    lock: (tx, digest) => lockDigest(tx, digest, 'pg_advisory_xact_lock'),
    async unlink(tx, repository, digest) {
      const on = db.on(tx);
      // Before the question: a manifest that is on its way holds the row in `held`.
      const row = on.selectFrom('imageBlobs').select('digest').where('repositoryId', '=', repository).where('digest', '=', digest);
      if ((await (db.engine.rowLocks ? row.forUpdate() : row).executeTakeFirst()) === undefined) return false;
      const needed = on
        .selectFrom('imageReferences')
        .select('manifest')
        .where('repositoryId', '=', repository)
        .where('target', '=', digest);
      if ((await needed.executeTakeFirst()) !== undefined)
        throw new JobpassError('conflict', 'A manifest of this repository needs the blob. Delete the manifest first.');
      await on.deleteFrom('imageBlobs').where('repositoryId', '=', repository).where('digest', '=', digest).execute();
      return true;
    },
    async held(tx, repository, kind, digests) {
      if (digests.length === 0) return new Set();
      const table = kind === 'blobs' ? 'imageBlobs' : 'imageManifests';
      const rows = db
        .on(tx)
        .selectFrom(table)
        .select('digest')
        .where('repositoryId', '=', repository)
        .where('digest', 'in', [...digests]);
      return new Set((await shared(rows).execute()).map((row) => row.digest as Digest));
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
      const [row] = await manifests(tx, { repository, digest });
      return row === undefined ? undefined : toManifest(row);
    },
    async manifestFacts(tx, repository, digest) {
      const row = await db
        .on(tx)
        .selectFrom('imageManifests')
        .select(['mediaType', 'totalSizeBytes'])
        .where('repositoryId', '=', repository)
        .where('digest', '=', digest)
        .executeTakeFirst();
      return row;
    },
    async manifestByTag(tx, repository, tag) {
      const [row] = await tagged(tx, { repository, tag });
      return row === undefined ? undefined : toManifest(row);
    },
    async putManifest(tx, repository, manifest, targets) {
      const { annotations, ...rest } = manifest;
      await db
        .on(tx)
        .insertInto('imageManifests')
        .values({ ...rest, repositoryId: repository, annotations: annotations === null ? null : JSON.stringify(annotations) })
        // An update of nothing: the row is held, so that it does not go while the tag comes.
        .onConflict((conflict) => conflict.columns(['repositoryId', 'digest']).doUpdateSet({ digest: manifest.digest }))
        .execute();
      if (targets.length === 0) return;
      await db
        .on(tx)
        .insertInto('imageReferences')
        .values([...new Set(targets)].map((target) => ({ repositoryId: repository, manifest: manifest.digest, target })))
        .onConflict((conflict) => conflict.columns(['repositoryId', 'manifest', 'target']).doNothing())
        .execute();
    },
    async removeManifest(tx, repository, digest) {
      const on = db.on(tx);
      // The manifest first: a tag that is on its way holds it, and is seen below.
      const gone = await on
        .deleteFrom('imageManifests')
        .where('repositoryId', '=', repository)
        .where('digest', '=', digest)
        .returning('id')
        .execute();
      await on.deleteFrom('imageTags').where('repositoryId', '=', repository).where('digest', '=', digest).execute();
      await on.deleteFrom('imageReferences').where('repositoryId', '=', repository).where('manifest', '=', digest).execute();
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
      // Their sizes first: a manifest, and what its annotations say, may have megabytes.
      const sizes = await rows
        .clearSelect()
        .select(['id', 'sizeBytes'])
        .orderBy('id')
        .limit(filter.limit + 1)
        .execute();
      const wanted = fitting(sizes.slice(0, filter.limit), filter.bytes);
      const found =
        wanted.length === 0
          ? []
          : await db.on(tx).selectFrom('imageManifests').select(facts).where('id', 'in', wanted).orderBy('id').execute();
      return { rows: found.map(toFacts), more: wanted.length < sizes.length };
    },
  };
}

/** Of all of a project's repositories, when the project goes. */
export async function removeImages(on: Connection, project: ProjectId): Promise<void> {
  const gone = await on.deleteFrom('imageRepositories').where('projectId', '=', project).returning('id').execute();
  for (const row of gone) await removeContents(on, row.id);
}

async function removeContents(on: Connection, repository: number): Promise<void> {
  for (const table of ['imageTags', 'imageReferences', 'imageManifests', 'imageBlobs'] as const)
    await on.deleteFrom(table).where('repositoryId', '=', repository).execute();
}

function toRepository(row: { id: number; projectId: number; name: string; createdAt: number }): ImageRepositoryRecord {
  return { id: id<RepositoryId>(row.id), projectId: id<ProjectId>(row.projectId), name: row.name, createdAt: millis(row.createdAt) };
}

/** All of a manifest but its own bytes. */
const facts = ['digest', 'mediaType', 'sizeBytes', 'totalSizeBytes', 'subject', 'artifactType', 'annotations', 'createdAt'] as const;

/** Ids of the first ones that have no more bytes together; of one at least. */
function fitting(sizes: readonly { readonly id: number; readonly sizeBytes: number }[], mostBytes: number): number[] {
  let left = mostBytes;
  const end = sizes.findIndex(({ sizeBytes }, index) => (left -= sizeBytes) < 0 && index > 0);
  return sizes.slice(0, end < 0 ? sizes.length : end).map(({ id: row }) => row);
}

function toManifest(row: Selectable<ImageManifestsTable>): ImageManifestRecord {
  return { ...toFacts(row), content: row.content };
}

function toFacts(row: Pick<Selectable<ImageManifestsTable>, (typeof facts)[number]>): Omit<ImageManifestRecord, 'content'> {
  return {
    digest: row.digest as Digest,
    mediaType: row.mediaType,
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
