import { type Selectable, sql } from 'kysely';
import { type GroupId, id, millis, type ProjectId, type UserId } from '../../base/ids.ts';
import type { ProjectRecord, ProjectStore } from '../../forge/embedded/ports.ts';
import type { ProjectFacts } from '../../ports/directory.ts';
import { type Database, likePattern } from '../database.ts';
import type { ProjectsTable } from '../schema.ts';
import { rememberPath } from './former-paths.ts';
import { claimRoute, toVisibility } from './groups.ts';
import { paged } from './paged.ts';
import { removeImages } from './images.ts';
import { visibleTo } from './visible.ts';

/** Tables with rows of one project, emptied when it goes. */
const dependents = [
  'formerPaths',
  'protectedRefs',
  'pushedCommits',
  'refPushes',
  'releaseLinks',
  'releases',
  'jobs',
  'commitStatuses',
  'pipelines',
  'resourceGroups',
  'environments',
  'scheduleVariables',
  'schedules',
  'triggers',
  'packageFiles',
  'packages',
  'uploads',
  'mergeRequestCommits',
  'mergeRequestNotes',
  'mergeRequests',
  'lfsObjects',
  'lfsLocks',
] as const;

export function projectRepository(db: Database): ProjectStore {
  return {
    async insert(tx, project) {
      const on = db.on(tx);
      const namespace = await on
        .selectFrom('namespaces')
        .select(['path', 'rootGroupId'])
        .where('id', '=', project.namespaceId)
        .executeTakeFirstOrThrow();
      const path = `${namespace.path}/${project.slug}`;
      const { createdAt } = project;
      const row = await on
        .insertInto('projects')
        .values({
          ...project,
          path,
          rootGroupId: namespace.rootGroupId,
          archived: 0,
          chainDepth: 0,
          lastActivityAt: createdAt,
          emptyRepo: 1,
        })
        .returningAll()
        .executeTakeFirstOrThrow();
      await claimRoute(on, path, 'project', row.id);
      return toProject(row);
    },
    async byId(tx, projectId) {
      const row = await db.on(tx).selectFrom('projects').selectAll().where('id', '=', projectId).executeTakeFirst();
      return row === undefined ? undefined : toProject(row);
    },
    list(tx, viewers, filter, page) {
      let query = db.on(tx).selectFrom('projects').where(visibleTo('projects', viewers));
      if (filter.visibility !== undefined) query = query.where('visibility', '=', filter.visibility);
      if (filter.archived !== undefined) query = query.where('archived', '=', filter.archived ? 1 : 0);
      if (filter.forkedFromId !== undefined) query = query.where('forkedFromId', '=', filter.forkedFromId);
      if (filter.groupId !== undefined) query = query.where('namespaceId', '=', filter.groupId);
      if (filter.ownedBy !== undefined) {
        query = query.where(sql<boolean>`"namespaceId" in (select "id" from "namespaces" where "ownerUserId" = ${filter.ownedBy})`);
      }
      if (filter.search !== undefined) {
        const pattern = likePattern(filter.search);
        query = query.where(sql<boolean>`(lower("name") like ${pattern} escape '\\' or lower("path") like ${pattern} escape '\\')`);
      }
      return paged(query, page, (rows) => rows.selectAll().orderBy('id', 'desc').execute(), toProject);
    },
    async change(tx, projectId, change) {
      const on = db.on(tx);
      const { slug, archived, emptyRepo, ...plain } = change;
      const values = {
        ...plain,
        ...(archived === undefined ? {} : { archived: archived ? 1 : 0 }),
        ...(emptyRepo === undefined ? {} : { emptyRepo: emptyRepo ? 1 : 0 }),
      };
      if (Object.keys(values).length > 0) await on.updateTable('projects').set(values).where('id', '=', projectId).execute();
      if (slug === undefined) return;
      const row = await on
        .selectFrom('projects')
        .innerJoin('namespaces', 'namespaces.id', 'projects.namespaceId')
        .select(['projects.path as path', 'namespaces.path as parent'])
        .where('projects.id', '=', projectId)
        .executeTakeFirstOrThrow();
      const path = `${row.parent}/${slug}`;
      await on.deleteFrom('routes').where('pathKey', '=', row.path.toLowerCase()).execute();
      await claimRoute(on, path, 'project', projectId);
      if (path.toLowerCase() !== row.path.toLowerCase()) await rememberPath(on, row.path, projectId);
      await on.updateTable('projects').set({ slug, path }).where('id', '=', projectId).execute();
    },
    async remove(tx, projectId) {
      const on = db.on(tx);
      await on.updateTable('projects').set({ forkedFromId: null }).where('forkedFromId', '=', projectId).execute();
      await on
        .deleteFrom('jobReports')
        .where('jobId', 'in', (jobs) => jobs.selectFrom('jobs').select('id').where('projectId', '=', projectId))
        .execute();
      for (const table of dependents) await on.deleteFrom(table).where('projectId', '=', projectId).execute();
      // A copy that lives on goes on knowing who pushed what it got from here (R3).
      await on
        .deleteFrom('pushes')
        .where('projectId', '=', projectId)
        .where((eb) => eb.not(eb.exists(eb.selectFrom('pushedCommits').select('oid').whereRef('pushedCommits.pushId', '=', 'pushes.id'))))
        .where((eb) => eb.not(eb.exists(eb.selectFrom('refPushes').select('ref').whereRef('refPushes.pushId', '=', 'pushes.id'))))
        .execute();
      await removeImages(on, projectId);
      await on.deleteFrom('ciVariables').where('ownerKind', '=', 'project').where('ownerId', '=', projectId).execute();
      await on.deleteFrom('members').where('sourceKind', '=', 'project').where('sourceId', '=', projectId).execute();
      await on.deleteFrom('routes').where('kind', '=', 'project').where('targetId', '=', projectId).execute();
      await on.deleteFrom('projects').where('id', '=', projectId).execute();
    },
  };
}

/** Of a project's row just what decisions need. */
export const projectColumns = [
  'id',
  'path',
  'visibility',
  'archived',
  'namespaceId',
  'rootGroupId',
  'defaultBranch',
  'chainDepth',
] as const;

export function toProjectFacts(row: Pick<Selectable<ProjectsTable>, (typeof projectColumns)[number]>): ProjectFacts {
  return {
    id: id<ProjectId>(row.id),
    path: row.path,
    visibility: toVisibility(row.visibility),
    archived: row.archived === 1,
    namespaceId: id<GroupId>(row.namespaceId),
    rootGroupId: id<GroupId>(row.rootGroupId),
    defaultBranch: row.defaultBranch,
    chainDepth: row.chainDepth,
  };
}

function toProject(row: Selectable<ProjectsTable>): ProjectRecord {
  return {
    ...toProjectFacts(row),
    name: row.name,
    slug: row.slug,
    description: row.description,
    mergeMethod: row.mergeMethod === 'ff' ? 'ff' : 'merge',
    creatorId: id<UserId>(row.creatorId),
    createdAt: millis(row.createdAt),
    lastActivityAt: millis(row.lastActivityAt),
    emptyRepo: row.emptyRepo === 1,
    forkedFromId: row.forkedFromId === null ? null : id<ProjectId>(row.forkedFromId),
  };
}
