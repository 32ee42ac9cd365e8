import { type Selectable, sql } from 'kysely';
import { id, millis, type PipelineId, type ProjectId, type UserId } from '../../base/ids.ts';
import type {
  CommitStatusId,
  CommitStatusRecord,
  CommitStatusStore,
  ExternalState,
  StatusFilter,
  StatusLine,
} from '../../ports/commit-statuses.ts';
import type { JobStatus } from '../../ports/jobs.ts';
import type { MaybeTx } from '../../ports/tx.ts';
import { type Database, readJson } from '../database.ts';
import type { CommitStatusesTable } from '../schema.ts';

export function commitStatusRepository(db: Database): CommitStatusStore {
  return {
    async insert(tx, status) {
      const values = { ...status, writers: JSON.stringify(status.writers), replaced: 0 };
      return toStatus(await db.on(tx).insertInto('commitStatuses').values(values).returningAll().executeTakeFirstOrThrow());
    },
    async change(tx, status, { writers, ...rest }) {
      const values = { ...rest, ...(writers === undefined ? {} : { writers: JSON.stringify(writers) }) };
      const query = db.on(tx).updateTable('commitStatuses').set(values).where('id', '=', status);
      return toStatus(await query.returningAll().executeTakeFirstOrThrow());
    },
    async ofPipeline(tx, pipeline) {
      const query = db.on(tx).selectFrom('commitStatuses').selectAll().where('pipelineId', '=', pipeline).where('replaced', '=', 0);
      return (await query.orderBy('id').execute()).map(toStatus);
    },
    async replaceOthers(tx, { id: kept, pipelineId, name }) {
      await db
        .on(tx)
        .updateTable('commitStatuses')
        .set({ replaced: 1 })
        .where('pipelineId', '=', pipelineId)
        .where('name', '=', name)
        .where('id', '!=', kept)
        .execute();
    },
    async nameOfJob(tx, pipeline, name) {
      const query = db.on(tx).selectFrom('jobs').select('id').where('pipelineId', '=', pipeline).where('name', '=', name).limit(1);
      return (await query.executeTakeFirst()) !== undefined;
    },
    async count(tx, project, sha) {
      const row = await db
        .on(tx)
        .selectFrom('commitStatuses')
        .select((eb) => eb.fn.countAll<number | string>().as('count'))
        .where('projectId', '=', project)
        .where('sha', '=', sha)
        .executeTakeFirstOrThrow();
      return Number(row.count);
    },
    async forgetReplaced(tx, project, sha) {
      const on = db.on(tx);
      const replaced = on.selectFrom('commitStatuses').select('id').where('projectId', '=', project).where('sha', '=', sha);
      const oldest = await replaced.where('replaced', '=', 1).orderBy('id').limit(1).executeTakeFirst();
      if (oldest !== undefined) await on.deleteFrom('commitStatuses').where('id', '=', oldest.id).execute();
      return oldest !== undefined;
    },
    async cancelOpen(tx, pipeline, at) {
      const done = await db
        .on(tx)
        .updateTable('commitStatuses')
        .set({ state: 'canceled', finishedAt: at })
        .where('pipelineId', '=', pipeline)
        .where('state', 'in', ['pending', 'running'])
        .where('replaced', '=', 0)
        .executeTakeFirst();
      return Number(done.numUpdatedRows);
    },
    async list(tx, project, sha, filter, page) {
      const lines = linesOf(db, tx, project, sha, filter);
      const counted = await db
        .on(tx)
        .selectFrom(lines.as('lines'))
        .select((eb) => eb.fn.countAll<number | string>().as('count'))
        .executeTakeFirstOrThrow();
      const way = filter.descending ? 'desc' : 'asc';
      const all = db.on(tx).selectFrom(lines.as('lines')).selectAll();
      const rows = await (filter.orderBy === 'pipeline' ? all.orderBy('pipelineId', way) : all)
        .orderBy('createdAt', way)
        .orderBy('kind', way)
        .orderBy('id', way)
        .limit(page.perPage)
        .offset((page.page - 1) * page.perPage)
        .execute();
      return { rows: rows.map(toLine), total: Number(counted.count) };
    },
  };
}

/** Jobs of the commit's pipelines and what other services said of it, with the same columns. */
function linesOf(db: Database, tx: MaybeTx, project: ProjectId, sha: string, filter: StatusFilter) {
  let jobs = db
    .on(tx)
    .selectFrom('jobs')
    .innerJoin('pipelines', 'pipelines.id', 'jobs.pipelineId')
    .where('pipelines.projectId', '=', project)
    .where('pipelines.sha', '=', sha)
    .where('pipelines.source', '!=', 'parent_pipeline')
    .select([
      'jobs.kind as kind',
      'jobs.id as id',
      'jobs.pipelineId as pipelineId',
      'jobs.sha as sha',
      'jobs.ref as ref',
      'jobs.name as name',
      'jobs.status as status',
      'jobs.allowFailure as allowFailure',
      'jobs.userId as userId',
      'jobs.coverage as coverage',
      'jobs.createdAt as createdAt',
      'jobs.startedAt as startedAt',
      'jobs.finishedAt as finishedAt',
      sql<string | null>`cast(null as text)`.as('targetUrl'),
      sql<string | null>`cast(null as text)`.as('description'),
    ]);
  let others = db
    .on(tx)
    .selectFrom('commitStatuses')
    .where('projectId', '=', project)
    .where('sha', '=', sha)
    .select([
      sql<string>`'external'`.as('kind'),
      'id',
      'pipelineId',
      'sha',
      'ref',
      'name',
      'state as status',
      sql<number>`0`.as('allowFailure'),
      'authorId as userId',
      'coverage',
      'createdAt',
      'startedAt',
      'finishedAt',
      'targetUrl',
      'description',
    ]);
  if (!filter.all) {
    jobs = jobs.where('jobs.retriedById', 'is', null);
    others = others.where('replaced', '=', 0);
  }
  const { ref, name, pipelineId, stage } = filter;
  if (ref !== undefined) [jobs, others] = [jobs.where('jobs.ref', '=', ref), others.where('ref', '=', ref)];
  if (name !== undefined) [jobs, others] = [jobs.where('jobs.name', '=', name), others.where('name', '=', name)];
  if (pipelineId !== undefined)
    [jobs, others] = [jobs.where('jobs.pipelineId', '=', pipelineId), others.where('pipelineId', '=', pipelineId)];
  if (stage !== undefined) [jobs, others] = [jobs.where('jobs.stage', '=', stage), others.where(sql<boolean>`${stage} = 'external'`)];
  return jobs.unionAll(others);
}

interface Line {
  kind: string;
  id: number;
  pipelineId: number;
  sha: string;
  ref: string;
  name: string;
  status: string;
  allowFailure: number;
  userId: number;
  coverage: number | null;
  createdAt: number;
  startedAt: number | null;
  finishedAt: number | null;
  targetUrl: string | null;
  description: string | null;
}

const time = (value: number | null) => (value === null ? null : millis(value));

function toLine(row: Line): StatusLine {
  return {
    kind: row.kind === 'build' || row.kind === 'bridge' ? row.kind : 'external',
    id: row.id,
    pipelineId: id<PipelineId>(row.pipelineId),
    sha: row.sha,
    ref: row.ref,
    name: row.name,
    status: row.status as JobStatus,
    allowFailure: row.allowFailure === 1,
    userId: id<UserId>(row.userId),
    coverage: row.coverage,
    targetUrl: row.targetUrl,
    description: row.description,
    createdAt: millis(row.createdAt),
    startedAt: time(row.startedAt),
    finishedAt: time(row.finishedAt),
  };
}

function toStatus(row: Selectable<CommitStatusesTable>): CommitStatusRecord {
  return {
    id: id<CommitStatusId>(row.id),
    projectId: id<ProjectId>(row.projectId),
    pipelineId: id<PipelineId>(row.pipelineId),
    sha: row.sha,
    ref: row.ref,
    name: row.name,
    state: row.state as ExternalState,
    targetUrl: row.targetUrl,
    description: row.description,
    coverage: row.coverage,
    authorId: id<UserId>(row.authorId),
    writers: readJson<UserId[]>(row.writers),
    createdAt: millis(row.createdAt),
    startedAt: time(row.startedAt),
    finishedAt: time(row.finishedAt),
  };
}
