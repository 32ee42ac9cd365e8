import { type Selectable, sql } from 'kysely';
import { id, millis, type ProjectId, type UserId } from '../../base/ids.ts';
import type { PackageFileId, PackageFileRecord, PackageId, PackageRecord, PackageStore, UploadRecord } from '../../ports/packages.ts';
import { type Database, likePattern } from '../database.ts';
import type { PackageFilesTable, PackagesTable, UploadsTable } from '../schema.ts';
import { paged } from './paged.ts';

export function packageRepository(db: Database): PackageStore {
  return {
    async ensure(tx, wanted) {
      const row = await db
        .on(tx)
        .insertInto('packages')
        .values(wanted)
        .onConflict((conflict) => conflict.columns(['projectId', 'name', 'version']).doUpdateSet({ status: wanted.status }))
        .returningAll()
        .executeTakeFirstOrThrow();
      return toPackage(row);
    },
    async byId(tx, project, wanted) {
      const row = await db
        .on(tx)
        .selectFrom('packages')
        .selectAll()
        .where('id', '=', wanted)
        .where('projectId', '=', project)
        .executeTakeFirst();
      return row === undefined ? undefined : toPackage(row);
    },
    list(tx, project, { name }, page) {
      let query = db.on(tx).selectFrom('packages').where('projectId', '=', project).where('status', '=', 'default');
      if (name !== undefined) query = query.where(sql<boolean>`lower("name") like ${likePattern(name)} escape '\\'`);
      return paged(query, page, (rows) => rows.selectAll().orderBy('id', 'desc').execute(), toPackage);
    },
    async count(tx, project) {
      const query = db
        .on(tx)
        .selectFrom('packageFiles')
        .select((eb) => eb.fn.countAll<number>().as('count'));
      return (await query.where('projectId', '=', project).executeTakeFirstOrThrow()).count;
    },
    async addFile(tx, file) {
      const on = db.on(tx);
      const { projectId } = await on.selectFrom('packages').select('projectId').where('id', '=', file.packageId).executeTakeFirstOrThrow();
      return toFile(
        await on
          .insertInto('packageFiles')
          .values({ ...file, projectId })
          .returningAll()
          .executeTakeFirstOrThrow(),
      );
    },
    async file(tx, project, name, version, fileName) {
      const row = await db
        .on(tx)
        .selectFrom('packageFiles')
        .innerJoin('packages', 'packages.id', 'packageFiles.packageId')
        .selectAll('packageFiles')
        .where('packages.projectId', '=', project)
        .where('packages.name', '=', name)
        .where('packages.version', '=', version)
        .where('packageFiles.fileName', '=', fileName)
        .orderBy('packageFiles.id', 'desc')
        .limit(1)
        .executeTakeFirst();
      return row === undefined ? undefined : toFile(row);
    },
    async files(tx, wanted) {
      return (await db.on(tx).selectFrom('packageFiles').selectAll().where('packageId', '=', wanted).orderBy('id').execute()).map(toFile);
    },
    async remove(tx, wanted) {
      const on = db.on(tx);
      const gone = await on.deleteFrom('packageFiles').where('packageId', '=', wanted).returning('blobKey').execute();
      await on.deleteFrom('packages').where('id', '=', wanted).execute();
      return gone.map(({ blobKey }) => blobKey);
    },
    async addUpload(tx, upload) {
      return toUpload(await db.on(tx).insertInto('uploads').values(upload).returningAll().executeTakeFirstOrThrow());
    },
    async upload(tx, project, secret) {
      const row = await db
        .on(tx)
        .selectFrom('uploads')
        .selectAll()
        .where('projectId', '=', project)
        .where('secret', '=', secret)
        .executeTakeFirst();
      return row === undefined ? undefined : toUpload(row);
    },
    async keysOf(tx, project) {
      const on = db.on(tx);
      const files = await on.selectFrom('packageFiles').select('blobKey').where('projectId', '=', project).execute();
      const uploads = await on.selectFrom('uploads').select('blobKey').where('projectId', '=', project).execute();
      return [...files, ...uploads].map(({ blobKey }) => blobKey);
    },
  };
}

function toPackage(row: Selectable<PackagesTable>): PackageRecord {
  return {
    id: id<PackageId>(row.id),
    projectId: id<ProjectId>(row.projectId),
    name: row.name,
    version: row.version,
    status: row.status === 'hidden' ? 'hidden' : 'default',
    creatorId: id<UserId>(row.creatorId),
    createdAt: millis(row.createdAt),
  };
}

function toFile(row: Selectable<PackageFilesTable>): PackageFileRecord {
  return {
    id: id<PackageFileId>(row.id),
    packageId: id<PackageId>(row.packageId),
    fileName: row.fileName,
    sizeBytes: row.sizeBytes,
    sha256: row.sha256,
    blobKey: row.blobKey,
    createdAt: millis(row.createdAt),
  };
}

function toUpload(row: Selectable<UploadsTable>): UploadRecord {
  return {
    id: row.id,
    projectId: id<ProjectId>(row.projectId),
    secret: row.secret,
    fileName: row.fileName,
    sizeBytes: row.sizeBytes,
    blobKey: row.blobKey,
    creatorId: id<UserId>(row.creatorId),
    createdAt: millis(row.createdAt),
  };
}
