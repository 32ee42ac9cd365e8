import type { Readable } from 'node:stream';
import type { Clock } from '../../../base/clock.ts';
import { JobpassError } from '../../../base/errors.ts';
import { id, type ProjectId, type UserId } from '../../../base/ids.ts';
import { limits } from '../../../base/limits.ts';
import { randomBase62 } from '../../../base/secret.ts';
import { type Grant, verifyGrant } from '../../../pass/grant.ts';
import type { Blobs } from '../../../ports/blobs.ts';
import type { Leaks } from '../../../ports/leaks.ts';
import type { PackageId, PackageStore } from '../../../ports/packages.ts';
import type { Transactor, Tx } from '../../../ports/tx.ts';
import type { PackageForge } from '../../packages.ts';
import { cut } from '../cut.ts';
import { searched } from '../searched.ts';

export interface PackageDeps {
  readonly packages: PackageStore;
  readonly blobs: Blobs;
  readonly transactor: Transactor;
  readonly clock: Clock;
  readonly leaks: Leaks;
}

export function makePackageForge({ packages, blobs, transactor, clock, leaks }: PackageDeps): PackageForge {
  const on = (project: ProjectId) => ({ kind: 'project', id: project }) as const;
  const actorOf = (grant: Grant): UserId => {
    const [actor] = grant.principals;
    if (actor === undefined) throw new JobpassError('credential_missing');
    return actor;
  };

  /** The bytes first, then the row that names them, with the second question in its transaction (R2). */
  async function keep<Row>(
    grant: Grant,
    project: ProjectId,
    name: string,
    body: Readable,
    maxBytes: number,
    row: (tx: Tx, stored: { readonly blobKey: string; readonly sizeBytes: number; readonly sha256: string }) => Promise<Row>,
  ): Promise<Row> {
    const blobKey = `files/${project}/${randomBase62(32)}`;
    const { sizeBytes, sha256 } = await searched(leaks, grant, cut(grant, body), {
      what: `a file of project ${project}`,
      door: 'api',
      name,
      store: (bytes) => blobs.write(blobKey, bytes, maxBytes),
      remove: () => blobs.remove(blobKey),
    });
    try {
      return await transactor.write(async (tx) => {
        await grant.confirm(tx);
        return row(tx, { blobKey, sizeBytes, sha256 });
      });
    } catch (error) {
      await blobs.remove(blobKey);
      throw error;
    }
  }

  return {
    async publish(grant, project, { fileName, ...place }, body) {
      verifyGrant(grant, 'package:write', on(project));
      checkName('package_name', place.name, /^[A-Za-z0-9._-]{1,255}$/);
      checkName('package_version', place.version, /^[A-Za-z0-9.+_-]{1,255}$/);
      checkName('file_name', fileName, /^[A-Za-z0-9._+~@-]{1,255}(?:\/[A-Za-z0-9._+~@-]{1,255}){0,19}$/);
      const creatorId = actorOf(grant);
      return keep(grant, project, [place.name, place.version, fileName].join('\n'), body, limits.packageFileBytes, async (tx, stored) => {
        if ((await packages.count(tx, project)) >= limits.packageFilesPerProject)
          throw new JobpassError('too_large', `A project has at most ${limits.packageFilesPerProject} package files.`);
        const made = await packages.ensure(tx, { ...place, projectId: project, creatorId, createdAt: clock.now() });
        return packages.addFile(tx, { ...stored, packageId: made.id, fileName, createdAt: clock.now() });
      });
    },
    async download(grant, project, { name, version, fileName }) {
      verifyGrant(grant, 'package:read', on(project));
      const file = await packages.file(null, project, name, version, fileName);
      return file === undefined ? undefined : { fileName, ...(await blobs.open(file.blobKey)) };
    },
    async list(grant, project, filter, page) {
      verifyGrant(grant, 'package:read', on(project));
      return packages.list(null, project, filter, page);
    },
    async one(grant, project, wanted) {
      verifyGrant(grant, 'package:read', on(project));
      return packages.byId(null, project, id<PackageId>(wanted));
    },
    async files(grant, project, wanted) {
      verifyGrant(grant, 'package:read', on(project));
      const found = await packages.byId(null, project, id<PackageId>(wanted));
      return found === undefined ? undefined : packages.files(null, found.id);
    },
    async remove(grant, project, wanted) {
      verifyGrant(grant, 'package:delete', on(project));
      const keys = await transactor.write(async (tx) => {
        await grant.confirm(tx);
        const found = await packages.byId(tx, project, id<PackageId>(wanted));
        return found === undefined ? undefined : packages.remove(tx, found.id);
      });
      for (const key of keys ?? []) await blobs.remove(key);
      return keys !== undefined;
    },
    async upload(grant, project, fileName, body) {
      verifyGrant(grant, 'upload:create', on(project));
      const creatorId = actorOf(grant);
      return keep(grant, project, fileName, body, limits.uploadBytes, (tx, { blobKey, sizeBytes }) => {
        const secret = randomBase62(32);
        return packages.addUpload(tx, { projectId: project, secret, fileName, sizeBytes, blobKey, creatorId, createdAt: clock.now() });
      });
    },
    async uploaded(grant, project, secret) {
      verifyGrant(grant, 'project:read', on(project));
      const found = await packages.upload(null, project, secret);
      return found === undefined ? undefined : { fileName: found.fileName, ...(await blobs.open(found.blobKey)) };
    },
  };
}

function checkName(field: string, text: string, shape: RegExp): void {
  if (!shape.test(text) || text.split('/').some((part) => part === '.' || part === '..'))
    throw new JobpassError('invalid_input', { fields: { [field]: ['is invalid'] } });
}
