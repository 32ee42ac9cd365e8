import { type Selectable, sql } from 'kysely';
import { id, millis, type Oid, type ProjectId, type UserId } from '../../base/ids.ts';
import type {
  MergeRequestChange,
  MergeRequestId,
  MergeRequestRecord,
  MergeRequestState,
  MergeRequestStore,
  NoteId,
  NoteRecord,
} from '../../ports/merge-requests.ts';
import { type Database, likePattern, readJson } from '../database.ts';
import { within } from './time-ranges.ts';
import type { MergeRequestNotesTable, MergeRequestsTable } from '../schema.ts';
import { paged } from './paged.ts';

/** Rows of one statement. */
const chunkSize = 500;

export function mergeRequestRepository(db: Database): MergeRequestStore {
  return {
    async insert(tx, request) {
      const on = db.on(tx);
      // The project's row serialises the count.
      if (db.engine.rowLocks) await on.selectFrom('projects').select('id').where('id', '=', request.projectId).forUpdate().execute();
      const last = await on
        .selectFrom('mergeRequests')
        .select((eb) => eb.fn.max<number | null>('iid').as('iid'))
        .where('projectId', '=', request.projectId)
        .executeTakeFirst();
      const row = await on
        .insertInto('mergeRequests')
        .values({
          ...request,
          iid: (last?.iid ?? 0) + 1,
          state: 'opened',
          writers: JSON.stringify(request.writers),
          labels: JSON.stringify(request.labels),
          assigneeIds: JSON.stringify(request.assigneeIds),
          removeSourceBranch: request.removeSourceBranch ? 1 : 0,
          squash: request.squash ? 1 : 0,
          mergeCommitSha: null,
          mergedBy: '[]',
          mergedAt: null,
          closedById: null,
          closedAt: null,
          openKey: openKeyOf(request),
          updatedAt: request.createdAt,
        })
        .returningAll()
        .executeTakeFirstOrThrow();
      return toRequest(row);
    },
    async byId(tx, request) {
      const row = await db.on(tx).selectFrom('mergeRequests').selectAll().where('id', '=', request).executeTakeFirst();
      return row === undefined ? undefined : toRequest(row);
    },
    async byIid(tx, project, iid) {
      const row = await db
        .on(tx)
        .selectFrom('mergeRequests')
        .selectAll()
        .where('projectId', '=', project)
        .where('iid', '=', iid)
        .executeTakeFirst();
      return row === undefined ? undefined : toRequest(row);
    },
    async lock(tx, request) {
      const query = db.on(tx).selectFrom('mergeRequests').selectAll().where('id', '=', request);
      const row = await (db.engine.rowLocks ? query.forUpdate() : query).executeTakeFirst();
      return row === undefined ? undefined : toRequest(row);
    },
    list(tx, project, filter, page) {
      let query = db.on(tx).selectFrom('mergeRequests').where('projectId', '=', project);
      if (filter.state !== undefined) query = query.where('state', '=', filter.state);
      if (filter.sourceBranch !== undefined) query = query.where('sourceBranch', '=', filter.sourceBranch);
      if (filter.targetBranch !== undefined) query = query.where('targetBranch', '=', filter.targetBranch);
      if (filter.authorId !== undefined) query = query.where('authorId', '=', filter.authorId);
      if (filter.iids !== undefined) query = query.where('iid', 'in', filter.iids.length === 0 ? [0] : [...filter.iids]);
      if (filter.assigneeId !== undefined)
        query = query.where(sql<boolean>`replace(replace("assigneeIds", '[', ','), ']', ',') like ${`%,${filter.assigneeId},%`}`);
      // Kept as JSON: an element ends at a quote and a comma, and a quote inside of one has a backslash.
      const elements = sql`(',' || substr("labels", 2, length("labels") - 2) || ',')`;
      for (const label of filter.labels ?? [])
        query = query.where(sql<boolean>`replace(${elements}, ${`,${JSON.stringify(label)},`}, '') <> ${elements}`);
      if (filter.search !== undefined)
        query = query.where(sql<boolean>`lower("title" || ' ' || "description") like ${likePattern(filter.search)} escape '\\'`);
      const { orderBy = 'createdAt', descending = true } = filter;
      const way = descending ? 'desc' : 'asc';
      return paged(
        query.where(within(filter)),
        page,
        (rows) => rows.selectAll().orderBy(orderBy, way).orderBy('id', way).execute(),
        toRequest,
      );
    },
    async openFrom(tx, source, branch) {
      const rows = await db
        .on(tx)
        .selectFrom('mergeRequests')
        .selectAll()
        .where('sourceProjectId', '=', source)
        .where('sourceBranch', '=', branch)
        .where('state', '=', 'opened')
        .orderBy('id')
        .execute();
      return rows.map(toRequest);
    },
    async openInto(tx, target, branch) {
      const rows = await db
        .on(tx)
        .selectFrom('mergeRequests')
        .selectAll()
        .where('projectId', '=', target)
        .where('targetBranch', '=', branch)
        .where('state', '=', 'opened')
        .orderBy('id')
        .execute();
      return rows.map(toRequest);
    },
    async change(tx, request, change) {
      const on = db.on(tx);
      const values = columnsOf(change);
      if (Object.keys(values).length > 0) await on.updateTable('mergeRequests').set(values).where('id', '=', request).execute();
      if (change.state === undefined && change.targetBranch === undefined) return;
      const row = toRequest(await on.selectFrom('mergeRequests').selectAll().where('id', '=', request).executeTakeFirstOrThrow());
      const openKey = row.state === 'opened' ? openKeyOf(row) : null;
      await on.updateTable('mergeRequests').set({ openKey }).where('id', '=', request).execute();
    },
    async holdCommits(tx, request, commits) {
      const on = db.on(tx);
      const { projectId } = await on.selectFrom('mergeRequests').select('projectId').where('id', '=', request).executeTakeFirstOrThrow();
      await on.deleteFrom('mergeRequestCommits').where('mergeRequestId', '=', request).execute();
      for (let from = 0; from < commits.length; from += chunkSize)
        await on
          .insertInto('mergeRequestCommits')
          .values(commits.slice(from, from + chunkSize).map((oid) => ({ projectId, oid, mergeRequestId: request })))
          .execute();
    },
    async ofCommit(tx, project, commit) {
      const rows = await db
        .on(tx)
        .selectFrom('mergeRequests')
        .selectAll()
        .where('projectId', '=', project)
        .where((eb) =>
          eb.or([
            eb('mergeCommitSha', '=', commit),
            eb(
              'id',
              'in',
              eb.selectFrom('mergeRequestCommits').select('mergeRequestId').where('projectId', '=', project).where('oid', '=', commit),
            ),
          ]),
        )
        .orderBy('id', 'desc')
        .limit(100)
        .execute();
      return rows.map(toRequest);
    },
    async addNote(tx, request, note) {
      const on = db.on(tx);
      const { projectId } = await on.selectFrom('mergeRequests').select('projectId').where('id', '=', request).executeTakeFirstOrThrow();
      const row = await on
        .insertInto('mergeRequestNotes')
        .values({ ...note, projectId, mergeRequestId: request, system: note.system ? 1 : 0 })
        .returningAll()
        .executeTakeFirstOrThrow();
      return toNote(row);
    },
    async note(tx, request, note) {
      const row = await db
        .on(tx)
        .selectFrom('mergeRequestNotes')
        .selectAll()
        .where('mergeRequestId', '=', request)
        .where('id', '=', note)
        .executeTakeFirst();
      return row === undefined ? undefined : toNote(row);
    },
    async changeNote(tx, request, note, body) {
      await db.on(tx).updateTable('mergeRequestNotes').set({ body }).where('mergeRequestId', '=', request).where('id', '=', note).execute();
    },
    async removeNote(tx, request, note) {
      await db.on(tx).deleteFrom('mergeRequestNotes').where('mergeRequestId', '=', request).where('id', '=', note).execute();
    },
    notes: (tx, request, page) =>
      paged(
        db.on(tx).selectFrom('mergeRequestNotes').where('mergeRequestId', '=', request),
        page,
        (rows) => rows.selectAll().orderBy('id', 'desc').execute(),
        toNote,
      ),
    async noteCount(tx, request) {
      const row = await db
        .on(tx)
        .selectFrom('mergeRequestNotes')
        .select((eb) => eb.fn.countAll<number>().as('count'))
        .where('mergeRequestId', '=', request)
        .where('system', '=', 0)
        .executeTakeFirstOrThrow();
      return row.count;
    },
  };
}

/** Unique while it is open: the same branches have one at a time. */
function openKeyOf({
  projectId,
  sourceProjectId,
  sourceBranch,
  targetBranch,
}: Pick<MergeRequestRecord, 'projectId' | 'sourceProjectId' | 'sourceBranch' | 'targetBranch'>): string {
  return JSON.stringify([projectId, sourceProjectId, sourceBranch, targetBranch]);
}

function columnsOf({ writers, labels, assigneeIds, mergedBy, removeSourceBranch, squash, ...plain }: MergeRequestChange) {
  return {
    ...plain,
    ...(writers === undefined ? {} : { writers: JSON.stringify(writers) }),
    ...(labels === undefined ? {} : { labels: JSON.stringify(labels) }),
    ...(assigneeIds === undefined ? {} : { assigneeIds: JSON.stringify(assigneeIds) }),
    ...(mergedBy === undefined ? {} : { mergedBy: JSON.stringify(mergedBy) }),
    ...(removeSourceBranch === undefined ? {} : { removeSourceBranch: removeSourceBranch ? 1 : 0 }),
    ...(squash === undefined ? {} : { squash: squash ? 1 : 0 }),
  };
}

const time = (value: number | null) => (value === null ? null : millis(value));

function toRequest(row: Selectable<MergeRequestsTable>): MergeRequestRecord {
  const state: MergeRequestState = row.state === 'opened' ? 'opened' : row.state === 'merged' ? 'merged' : 'closed';
  return {
    id: id<MergeRequestId>(row.id),
    projectId: id<ProjectId>(row.projectId),
    iid: row.iid,
    sourceProjectId: id<ProjectId>(row.sourceProjectId),
    sourceBranch: row.sourceBranch,
    targetBranch: row.targetBranch,
    title: row.title,
    description: row.description,
    state,
    authorId: id<UserId>(row.authorId),
    writers: readJson<UserId[]>(row.writers),
    labels: readJson<string[]>(row.labels),
    assigneeIds: readJson<UserId[]>(row.assigneeIds),
    removeSourceBranch: row.removeSourceBranch === 1,
    squash: row.squash === 1,
    headSha: row.headSha as Oid,
    mergeCommitSha: row.mergeCommitSha as Oid | null,
    mergedOnto: row.mergedOnto as Oid | null,
    mergedBy: readJson<UserId[]>(row.mergedBy),
    mergedAt: time(row.mergedAt),
    closedById: row.closedById === null ? null : id<UserId>(row.closedById),
    closedAt: time(row.closedAt),
    createdAt: millis(row.createdAt),
    updatedAt: millis(row.updatedAt),
  };
}

function toNote(row: Selectable<MergeRequestNotesTable>): NoteRecord {
  return {
    id: id<NoteId>(row.id),
    authorId: id<UserId>(row.authorId),
    body: row.body,
    system: row.system === 1,
    createdAt: millis(row.createdAt),
  };
}
