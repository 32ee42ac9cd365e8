import type { Kysely, Selectable } from 'kysely';
import { JobpassError } from '../../base/errors.ts';
import { id, millis, type Oid, type ProjectId, type UserId } from '../../base/ids.ts';
import type { ReleaseLink, ReleaseRecord, ReleaseStore } from '../../forge/embedded/ports.ts';
import { type Database, isUniqueViolation } from '../database.ts';
import type { ReleasesTable, Schema } from '../schema.ts';
import { paged } from './paged.ts';

export function releaseRepository(db: Database): ReleaseStore {
  const links = async (on: Kysely<Schema>, project: number, tag: string): Promise<readonly ReleaseLink[]> =>
    (
      await on
        .selectFrom('releaseLinks')
        .selectAll()
        .where('projectId', '=', project)
        .where('tag', '=', tag)
        .orderBy('id', 'desc')
        .execute()
    ).map(toLink);
  return {
    async insert(tx, release, newLinks) {
      try {
        await db.on(tx).insertInto('releases').values(release).execute();
      } catch (error) {
        if (isUniqueViolation(error)) throw new JobpassError('conflict', 'Release already exists', error);
        throw error;
      }
      for (const link of newLinks) await insertLink(db.on(tx), release.projectId, release.tag, link);
    },
    async byTag(tx, project, tag) {
      const row = await db
        .on(tx)
        .selectFrom('releases')
        .selectAll()
        .where('projectId', '=', project)
        .where('tag', '=', tag)
        .executeTakeFirst();
      return row === undefined ? undefined : toRelease(row);
    },
    list: (tx, project, order, page) =>
      paged(
        db.on(tx).selectFrom('releases').where('projectId', '=', project),
        page,
        (rows) =>
          rows
            .selectAll()
            .orderBy(order.by === 'released_at' ? 'releasedAt' : 'createdAt', order.descending ? 'desc' : 'asc')
            .orderBy('tag')
            .execute(),
        toRelease,
      ),
    async change(tx, project, tag, change) {
      if (Object.keys(change).length === 0)
        return (
          (await db
            .on(tx)
            .selectFrom('releases')
            .select('tag')
            .where('projectId', '=', project)
            .where('tag', '=', tag)
            .executeTakeFirst()) !== undefined
        );
      const done = await db
        .on(tx)
        .updateTable('releases')
        .set(change)
        .where('projectId', '=', project)
        .where('tag', '=', tag)
        .executeTakeFirst();
      return done.numUpdatedRows > 0n;
    },
    async remove(tx, project, tag) {
      await db.on(tx).deleteFrom('releaseLinks').where('projectId', '=', project).where('tag', '=', tag).execute();
      const done = await db.on(tx).deleteFrom('releases').where('projectId', '=', project).where('tag', '=', tag).executeTakeFirst();
      return done.numDeletedRows > 0n;
    },
    links: (tx, project, tag) => links(db.on(tx), project, tag),
    addLink: (tx, project, tag, link) => insertLink(db.on(tx), project, tag, link),
    async changeLink(tx, project, tag, linkId, change) {
      const known = (await links(db.on(tx), project, tag)).find((link) => link.id === linkId);
      if (known === undefined || Object.keys(change).length === 0) return known;
      try {
        await db.on(tx).updateTable('releaseLinks').set(change).where('id', '=', linkId).execute();
      } catch (error) {
        throw linkConflict(error);
      }
      return { ...known, ...change };
    },
    async removeLink(tx, project, tag, linkId) {
      const known = (await links(db.on(tx), project, tag)).find((link) => link.id === linkId);
      if (known !== undefined) await db.on(tx).deleteFrom('releaseLinks').where('id', '=', linkId).execute();
      return known;
    },
  };
}

async function insertLink(on: Kysely<Schema>, projectId: number, tag: string, link: Omit<ReleaseLink, 'id'>): Promise<ReleaseLink> {
  try {
    const { id: linkId } = await on
      .insertInto('releaseLinks')
      .values({ projectId, tag, name: link.name, url: link.url, directAssetPath: link.directAssetPath, linkType: link.linkType })
      .returning('id')
      .executeTakeFirstOrThrow();
    return { ...link, id: linkId };
  } catch (error) {
    throw linkConflict(error);
  }
}

function linkConflict(error: unknown): unknown {
  return isUniqueViolation(error)
    ? new JobpassError('conflict', { fields: { base: ['A link with this name, url or path exists already in the release'] } }, error)
    : error;
}

function toLink(row: { id: number; name: string; url: string; directAssetPath: string | null; linkType: string }): ReleaseLink {
  const types = ['other', 'runbook', 'image', 'package'] as const;
  return {
    id: row.id,
    name: row.name,
    url: row.url,
    directAssetPath: row.directAssetPath,
    linkType: types.find((type) => type === row.linkType) ?? 'other',
  };
}

function toRelease(row: Selectable<ReleasesTable>): ReleaseRecord {
  return {
    projectId: id<ProjectId>(row.projectId),
    tag: row.tag,
    name: row.name,
    description: row.description,
    sha: row.sha as Oid,
    authorId: id<UserId>(row.authorId),
    createdAt: millis(row.createdAt),
    releasedAt: millis(row.releasedAt),
  };
}
