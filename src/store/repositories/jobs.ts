import { type Kysely, type Selectable, sql } from 'kysely';
import {
  type EnvironmentId,
  type GroupId,
  id,
  type JobId,
  type ManagerId,
  millis,
  type PassId,
  type PipelineId,
  type ProjectId,
  type RunnerId,
  type SecretDigest,
  type UserId,
} from '../../base/ids.ts';
import type {
  AutoCancel,
  JobChange,
  JobRecord,
  JobReport,
  JobStatus,
  JobStore,
  NewJob,
  PipelineRecord,
  PipelineSource,
  PipelineStatus,
  PipelineVariable,
} from '../../ports/jobs.ts';
import type { MergeRequestId } from '../../ports/merge-requests.ts';
import type { MaybeTx } from '../../ports/tx.ts';
import { tagsFit } from '../../base/tags.ts';
import { type Database, readJson } from '../database.ts';
import type { JobReportsTable, JobsTable, PipelinesTable, Schema } from '../schema.ts';
import { paged } from './paged.ts';
import { within } from './time-ranges.ts';

/** Pending jobs that are looked through at a time. */
const scanSize = 500;

const defaultAutoCancel: AutoCancel = { onNewCommit: 'conservative', onJobFailure: 'none' };

export function jobRepository(db: Database): JobStore {
  return {
    async insertPipeline(tx, pipeline) {
      const on = db.on(tx);
      const { autoCancel = defaultAutoCancel, upstream = null, ...rest } = pipeline;
      // The project's row serialises the count, which goes on where the newest pipeline was deleted.
      const { iid } = await on
        .updateTable('projects')
        .set((eb) => ({ lastPipelineIid: eb('lastPipelineIid', '+', 1) }))
        .where('id', '=', pipeline.projectId)
        .returning('lastPipelineIid as iid')
        .executeTakeFirstOrThrow();
      const row = await on
        .insertInto('pipelines')
        .values({
          ...rest,
          iid,
          tag: pipeline.tag ? 1 : 0,
          creators: JSON.stringify(pipeline.creators),
          variables: JSON.stringify(pipeline.variables),
          sourceVariables: JSON.stringify(pipeline.sourceVariables ?? {}),
          inputs: JSON.stringify(pipeline.inputs ?? {}),
          updatedAt: pipeline.createdAt,
          startedAt: null,
          finishedAt: null,
          autoCancelOnNewCommit: autoCancel.onNewCommit,
          autoCancelOnJobFailure: autoCancel.onJobFailure,
          ...(upstream === null
            ? {}
            : {
                upstreamJobId: upstream.jobId,
                rootId: upstream.rootId,
                hops: upstream.hops,
                childDepth: upstream.childDepth,
                unprovable: upstream.unprovable ? 1 : 0,
              }),
        })
        .returningAll()
        .executeTakeFirstOrThrow();
      return toPipeline(row);
    },
    async insertJobs(tx, jobs) {
      const rows: JobRecord[] = [];
      for (const job of jobs) rows.push(await insertJob(db.on(tx), job));
      return rows;
    },
    async pipeline(tx, pipelineId) {
      const row = await db.on(tx).selectFrom('pipelines').selectAll().where('id', '=', pipelineId).executeTakeFirst();
      return row === undefined ? undefined : toPipeline(row);
    },
    async lockPipeline(tx, pipelineId) {
      const query = db.on(tx).selectFrom('pipelines').selectAll().where('id', '=', pipelineId);
      const row = await (db.engine.rowLocks ? query.forUpdate() : query).executeTakeFirst();
      return row === undefined ? undefined : toPipeline(row);
    },
    async job(tx, jobId) {
      const row = await db.on(tx).selectFrom('jobs').selectAll().where('id', '=', jobId).executeTakeFirst();
      return row === undefined ? undefined : toJob(row);
    },
    async jobsOfPipeline(tx, pipelineId) {
      return (
        await db.on(tx).selectFrom('jobs').selectAll().where('pipelineId', '=', pipelineId).orderBy('stageIndex').orderBy('id').execute()
      ).map(toJob);
    },
    async ofMergeRequest(tx, request, limit) {
      const query = db.on(tx).selectFrom('pipelines').selectAll().where('mergeRequestId', '=', request);
      return (await query.orderBy('id', 'desc').limit(limit).execute()).map(toPipeline);
    },
    listPipelines(tx, project, filter, page) {
      let query = db.on(tx).selectFrom('pipelines').where('projectId', '=', project);
      if (filter.ref !== undefined) query = query.where('ref', '=', filter.ref);
      if (filter.sha !== undefined) query = query.where('sha', '=', filter.sha);
      if (filter.status !== undefined) query = query.where('status', '=', filter.status);
      query = filter.source === undefined ? query.where('source', '!=', 'parent_pipeline') : query.where('source', '=', filter.source);
      if (filter.name !== undefined) query = query.where('name', '=', filter.name);
      if (filter.userId !== undefined) query = query.where('userId', '=', filter.userId);
      const { orderBy = 'id', descending = true } = filter;
      const way = descending ? 'desc' : 'asc';
      return paged(
        query.where(within(filter)),
        page,
        (rows) => rows.selectAll().orderBy(orderBy, way).orderBy('id', way).execute(),
        toPipeline,
      );
    },
    listJobs(tx, project, statuses, page) {
      let query = db.on(tx).selectFrom('jobs').where('projectId', '=', project).where('kind', '=', 'build');
      if (statuses.length > 0) query = query.where('status', 'in', [...statuses]);
      return paged(query, page, (rows) => rows.selectAll().orderBy('id', 'desc').execute(), toJob);
    },
    async claimCandidates(tx, filter, limit) {
      if (filter.projectIds?.length === 0) return [];
      const found: JobRecord[] = [];
      for (let after = 0; found.length < limit;) {
        // Ids and tags first: plans are large, and a lock on what this runner may not have would hide it from the others.
        let scan = db
          .on(tx)
          .selectFrom('jobs')
          .select(['id', 'tags'])
          .where('status', '=', 'pending')
          .where('kind', '=', 'build')
          .where('id', '>', after);
        if (filter.projectIds !== undefined) scan = scan.where('projectId', 'in', [...filter.projectIds]);
        if (filter.groupId !== undefined) scan = scan.where('projectId', 'in', below(filter.groupId));
        const rows = await scan.orderBy('id').limit(scanSize).execute();
        const fitting = rows.filter((row) => tagsFit(readJson<string[]>(row.tags), filter)).map((row) => row.id);
        if (fitting.length > 0) found.push(...(await lockPending(db, tx, fitting, limit - found.length)));
        const last = rows.at(-1);
        if (last === undefined || rows.length < scanSize) break;
        after = last.id;
      }
      return found;
    },
    async waiting(tx, limit, { after, projectIds, groupId } = {}) {
      const columns = ['id', 'projectId', 'ref', 'tag', 'tags'] as const;
      let query = db.on(tx).selectFrom('jobs').select(columns).where('status', '=', 'pending').where('kind', '=', 'build');
      if (after !== undefined) query = query.where('id', '>', after);
      if (projectIds !== undefined) query = query.where('projectId', 'in', [...projectIds]);
      if (groupId !== undefined) query = query.where('projectId', 'in', below(groupId));
      const rows = await query.orderBy('id').limit(limit).execute();
      return rows.map(({ ref, tag, tags, ...row }) => ({
        id: id<JobId>(row.id),
        projectId: id<ProjectId>(row.projectId),
        ref,
        tag: tag === 1,
        tags: readJson<string[]>(tags),
      }));
    },
    async reportTypesOf(tx, project) {
      const rows = await db
        .on(tx)
        .selectFrom('jobs')
        .leftJoin('jobReports', 'jobReports.jobId', 'jobs.id')
        .select(['jobs.id as id', 'jobReports.type as type'])
        .where('jobs.projectId', '=', project)
        .execute();
      const found = new Map<JobId, string[]>();
      for (const row of rows) {
        const types = found.get(id<JobId>(row.id)) ?? [];
        if (row.type !== null) types.push(row.type);
        found.set(id<JobId>(row.id), types);
      }
      return found;
    },
    async coverageOf(tx, pipeline) {
      const on = db.on(tx);
      const jobs = on.selectFrom('jobs').select('coverage').where('pipelineId', '=', pipeline).where('retriedById', 'is', null);
      const others = on.selectFrom('commitStatuses').select('coverage').where('pipelineId', '=', pipeline).where('replaced', '=', 0);
      const row = await on
        .selectFrom(jobs.unionAll(others).as('lines'))
        .select((eb) => eb.fn.avg<number | null>('coverage').as('mean'))
        .executeTakeFirst();
      return row?.mean ?? null;
    },
    async changeJob(tx, jobId, from, change) {
      const done = await db
        .on(tx)
        .updateTable('jobs')
        .set(columnsOf(change))
        .where('id', '=', jobId)
        .where('status', 'in', [...from])
        .executeTakeFirst();
      return done.numUpdatedRows > 0n;
    },
    async forgive(tx, jobId) {
      await db.on(tx).updateTable('jobs').set({ allowFailure: 1 }).where('id', '=', jobId).execute();
    },
    async changePipeline(tx, pipelineId, change) {
      await db.on(tx).updateTable('pipelines').set(change).where('id', '=', pipelineId).execute();
    },
    async insertReport(tx, report) {
      const done = await db
        .on(tx)
        .insertInto('jobReports')
        .values(report)
        .onConflict((conflict) => conflict.columns(['jobId', 'type']).doNothing())
        .returning('jobId')
        .executeTakeFirst();
      return done !== undefined;
    },
    async reportsOf(tx, jobId) {
      return (await db.on(tx).selectFrom('jobReports').selectAll().where('jobId', '=', jobId).orderBy('type').execute()).map(toReport);
    },
    async removeReport(tx, jobId, type) {
      await db.on(tx).deleteFrom('jobReports').where('jobId', '=', jobId).where('type', '=', type).execute();
    },
    async expired(tx, now, limit) {
      const on = db.on(tx);
      const archives = await on
        .selectFrom('jobs')
        .select('id')
        .where('artifactsExpireAt', '<=', now)
        .where('artifactsFile', 'is not', null)
        .where('status', 'not in', ['running', 'canceling'])
        .limit(limit)
        .execute();
      const reports = await on.selectFrom('jobReports').selectAll().where('expireAt', '<=', now).limit(limit).execute();
      return { archives: archives.map((row) => id<JobId>(row.id)), reports: reports.map(toReport) };
    },
    async forgetArchive(tx, jobId) {
      await db.on(tx).updateTable('jobs').set({ artifactsFile: null, artifactsSizeBytes: null }).where('id', '=', jobId).execute();
    },
    async runningOn(tx, runner) {
      const rows = await db
        .on(tx)
        .selectFrom('jobs')
        .select('id')
        .where('status', 'in', ['running', 'canceling'])
        .where('runnerId', '=', runner)
        .execute();
      return rows.map((row) => id<JobId>(row.id));
    },
    async staleJobs(tx, before, cancelBefore, timeoutBefore) {
      const rows = await db
        .on(tx)
        .selectFrom('jobs')
        .selectAll()
        .where(
          sql<boolean>`"kind" = 'build' and (("status" in ('running', 'canceling') and ("contactAt" < ${before} or "startedAt" + cast("timeoutSeconds" as bigint) * 1000 < ${timeoutBefore})) or ("status" = 'canceling' and "cancelingSince" < ${cancelBefore}))`,
        )
        .execute();
      return rows.map(toJob);
    },
  };
}

/** Those that are still pending, oldest first; locked in a transaction where the engine locks rows, without waiting for other claimants. */
async function lockPending(db: Database, tx: MaybeTx, ids: readonly number[], limit: number): Promise<readonly JobRecord[]> {
  const query = db
    .on(tx)
    .selectFrom('jobs')
    .selectAll()
    .where('id', 'in', [...ids])
    .where('status', '=', 'pending')
    .where('kind', '=', 'build')
    .orderBy('id')
    .limit(limit);
  return (await (tx !== null && db.engine.rowLocks ? query.forUpdate().skipLocked() : query).execute()).map(toJob);
}

/** The projects of a group and of all groups below it. */
function below(group: GroupId) {
  return sql<number>`(select "below"."id" from "projects" as "below" join "namespaces" as "above" on "above"."id" = ${group}
    where lower(substr("below"."path", 1, length("above"."path") + 1)) = lower("above"."path") || '/')`;
}

async function insertJob(on: Kysely<Schema>, job: NewJob): Promise<JobRecord> {
  const row = await on
    .insertInto('jobs')
    .values({
      ...job,
      tag: job.tag ? 1 : 0,
      allowFailure: job.allowFailure ? 1 : 0,
      mirrors: job.mirrors === true ? 1 : 0,
      tags: JSON.stringify(job.tags),
      needs: job.needs === null ? null : JSON.stringify(job.needs),
      queuedAt: job.status === 'pending' ? job.createdAt : null,
      variables: JSON.stringify(job.variables ?? []),
    })
    .returningAll()
    .executeTakeFirstOrThrow();
  return toJob(row);
}

function columnsOf({ dotenv, variables, remoteNeeds, ...rest }: JobChange) {
  return {
    ...rest,
    ...(dotenv === undefined ? {} : { dotenv: dotenv === null ? null : JSON.stringify(dotenv) }),
    ...(variables === undefined ? {} : { variables: JSON.stringify(variables) }),
    ...(remoteNeeds === undefined ? {} : { remoteNeeds: remoteNeeds === null ? null : JSON.stringify(remoteNeeds) }),
  };
}

/** An unknown format is read as bytes of any kind. */
function toReport(row: Selectable<JobReportsTable>): JobReport {
  return {
    jobId: id<JobId>(row.jobId),
    type: row.type,
    format: row.format === 'gzip' ? 'gzip' : row.format === 'zip' ? 'zip' : 'raw',
    filename: row.filename,
    sizeBytes: row.sizeBytes,
    expireAt: time(row.expireAt),
  };
}

const time = (value: number | null) => (value === null ? null : millis(value));

export function toPipeline(row: Selectable<PipelinesTable>): PipelineRecord {
  return {
    id: id<PipelineId>(row.id),
    iid: row.iid,
    projectId: id<ProjectId>(row.projectId),
    ref: row.ref,
    tag: row.tag === 1,
    sha: row.sha,
    beforeSha: row.beforeSha,
    source: row.source as PipelineSource,
    status: row.status as PipelineStatus,
    userId: id<UserId>(row.userId),
    creators: readJson<UserId[]>(row.creators),
    parentJobId: row.parentJobId === null ? null : id<JobId>(row.parentJobId),
    passId: row.passId === null ? null : id<PassId>(row.passId),
    chainDepth: row.chainDepth,
    variables: readJson<PipelineVariable[]>(row.variables),
    sourceVariables: readJson<Record<string, string>>(row.sourceVariables),
    inputs: readJson<Record<string, unknown>>(row.inputs),
    mergeRequestId: row.mergeRequestId === null ? null : id<MergeRequestId>(row.mergeRequestId),
    yamlErrors: row.yamlErrors,
    createdAt: millis(row.createdAt),
    updatedAt: millis(row.updatedAt),
    startedAt: time(row.startedAt),
    finishedAt: time(row.finishedAt),
    name: row.name,
    autoCancel: {
      onNewCommit: row.autoCancelOnNewCommit as AutoCancel['onNewCommit'],
      onJobFailure: row.autoCancelOnJobFailure as AutoCancel['onJobFailure'],
    },
    upstream:
      row.upstreamJobId === null
        ? null
        : {
            jobId: id<JobId>(row.upstreamJobId),
            rootId: id<PipelineId>(row.rootId ?? row.id),
            hops: row.hops,
            childDepth: row.childDepth,
            unprovable: row.unprovable === 1,
          },
  };
}

export function toJob(row: Selectable<JobsTable>): JobRecord {
  return {
    id: id<JobId>(row.id),
    pipelineId: id<PipelineId>(row.pipelineId),
    projectId: id<ProjectId>(row.projectId),
    name: row.name,
    stage: row.stage,
    stageIndex: row.stageIndex,
    status: row.status as JobStatus,
    ref: row.ref,
    tag: row.tag === 1,
    sha: row.sha,
    userId: id<UserId>(row.userId),
    allowFailure: row.allowFailure === 1,
    when: row.when as JobRecord['when'],
    tags: readJson<string[]>(row.tags),
    timeoutSeconds: row.timeoutSeconds,
    plan: row.plan,
    needs: row.needs === null ? null : readJson<NonNullable<JobRecord['needs']>>(row.needs),
    retriedById: row.retriedById === null ? null : id<JobId>(row.retriedById),
    createdAt: millis(row.createdAt),
    runnerId: row.runnerId === null ? null : id<RunnerId>(row.runnerId),
    tokenDigest: row.tokenDigest as SecretDigest | null,
    failureReason: row.failureReason as JobRecord['failureReason'],
    exitCode: row.exitCode,
    queuedAt: time(row.queuedAt),
    startedAt: time(row.startedAt),
    finishedAt: time(row.finishedAt),
    cancelingSince: time(row.cancelingSince),
    contactAt: time(row.contactAt),
    artifactsFile: row.artifactsFile,
    artifactsSizeBytes: row.artifactsSizeBytes,
    artifactsExpireAt: time(row.artifactsExpireAt),
    managerId: row.managerId === null ? null : id<ManagerId>(row.managerId),
    coverage: row.coverage,
    dotenv: row.dotenv === null ? null : readJson<PipelineVariable[]>(row.dotenv),
    kind: row.kind === 'bridge' ? 'bridge' : 'build',
    mirrors: row.mirrors === 1,
    resourceGroup: row.resourceGroup,
    variables: readJson<PipelineVariable[]>(row.variables),
    variablesBy: row.variablesBy === null ? null : id<UserId>(row.variablesBy),
    scheduledAt: time(row.scheduledAt),
    erasedAt: time(row.erasedAt),
    downstreamId: row.downstreamId === null ? null : id<PipelineId>(row.downstreamId),
    failureText: row.failureText,
    remoteNeeds: row.remoteNeeds === null ? null : readJson<JobId[]>(row.remoteNeeds),
    environmentId: row.environmentId === null ? null : id<EnvironmentId>(row.environmentId),
    environmentAction: row.environmentAction as JobRecord['environmentAction'],
  };
}
