import type { Selectable } from 'kysely';
import { id, type JobId, millis, type PipelineId, type ProjectId, type RunnerId, type SecretDigest, type UserId } from '../../base/ids.ts';
import type {
  ActingTokenRecord,
  ActingTokens,
  Channel,
  GatewayJob,
  GatewayJobs,
  GatewayRunners,
  PassWrite,
  PassWrites,
} from '../../ports/gateway.ts';
import type { MaybeTx } from '../../ports/tx.ts';
import type { Database } from '../database.ts';
import type { ActingTokensTable, GatewayJobsTable } from '../schema.ts';

export function gatewayJobRepository(db: Database): GatewayJobs {
  const byId = db.prepared(['job'], (on, { job }: { job: JobId }) => on.selectFrom('gatewayJobs').selectAll().where('id', '=', job));
  const byToken = db.prepared(['digest'], (on, { digest }: { digest: SecretDigest }) =>
    on.selectFrom('gatewayJobs').selectAll().where('tokenDigest', '=', digest),
  );
  return {
    async insert(tx, job) {
      await db
        .on(tx)
        .insertInto('gatewayJobs')
        .values({ ...job, tag: job.tag ? 1 : 0 })
        .execute();
    },
    async byId(tx, job) {
      const [row] = await byId(tx, { job });
      return row === undefined ? undefined : toJob(row);
    },
    async byToken(tx, digest) {
      const [row] = await byToken(tx, { digest });
      return row === undefined ? undefined : toJob(row);
    },
    async contact(tx, job, at) {
      await db.on(tx).updateTable('gatewayJobs').set({ contactAt: at }).where('id', '=', job).where('contactAt', '<', at).execute();
    },
    async moveTo(tx, job, state, at) {
      await db
        .on(tx)
        .updateTable('gatewayJobs')
        .set({ state, ...(state === 'canceling' ? { cancelingSince: at } : {}) })
        .where('id', '=', job)
        .where('state', '!=', 'ended')
        .execute();
    },
    async unended(tx) {
      const rows = await db.on(tx).selectFrom('gatewayJobs').selectAll().where('state', '!=', 'ended').orderBy('id').execute();
      return rows.map(toJob);
    },
  };
}

export function actingTokenRepository(db: Database): ActingTokens {
  const open = (tx: Parameters<ActingTokens['unrevoked']>[0]) =>
    db.on(tx).selectFrom('actingTokens').selectAll().where('revokedAt', 'is', null).orderBy('id');
  return {
    async insert(tx, token) {
      const made = { ...token, upstreamId: null, revokedAt: null };
      return (await db.on(tx).insertInto('actingTokens').values(made).returning('id').executeTakeFirstOrThrow()).id;
    },
    async made(tx, row, upstreamId) {
      await db.on(tx).updateTable('actingTokens').set({ upstreamId }).where('id', '=', row).execute();
    },
    async revoked(tx, row, at) {
      await db.on(tx).updateTable('actingTokens').set({ revokedAt: at }).where('id', '=', row).execute();
    },
    async ofJob(tx, job) {
      return (await open(tx).where('jobId', '=', job).execute()).map(toToken);
    },
    async unrevoked(tx) {
      return (await open(tx).execute()).map(toToken);
    },
  };
}

export function passWriteRepository(db: Database): PassWrites {
  const writesOf = (tx: MaybeTx, project: ProjectId) =>
    db.on(tx).selectFrom('passWrites').select(['what', 'jobId', 'at']).where('projectId', '=', project);
  return {
    async record(tx, project, what, by, at) {
      await db
        .on(tx)
        .insertInto('passWrites')
        .values({ projectId: project, what, jobId: by, at })
        // Who wrote it first stays: a later one changed nothing.
        .onConflict((conflict) => conflict.columns(['projectId', 'what']).doNothing())
        .execute();
    },
    async writersOf(tx, project, whats) {
      if (whats.length === 0) return [];
      const rows = await writesOf(tx, project)
        .where('what', 'in', [...whats])
        .execute();
      return rows.map(toWrite);
    },
    async startingWith(tx, project, prefix) {
      const rows = await writesOf(tx, project).where('what', 'like', `${prefix}%`).execute();
      return rows.filter(({ what }) => what.startsWith(prefix)).map(toWrite);
    },
    async forget(tx, project, what) {
      await db.on(tx).deleteFrom('passWrites').where('projectId', '=', project).where('what', '=', what).execute();
    },
  };
}

export function gatewayRunnerRepository(db: Database): GatewayRunners {
  const keyOf = async (tx: MaybeTx, runner: RunnerId): Promise<string | undefined> =>
    (await db.on(tx).selectFrom('gatewayRunners').select('publicKey').where('runnerId', '=', runner).executeTakeFirst())?.publicKey;
  return {
    keyOf,
    async pin(tx, runner, key, at) {
      await db
        .on(tx)
        .insertInto('gatewayRunners')
        .values({ runnerId: runner, publicKey: key, pinnedAt: at })
        .onConflict((conflict) => conflict.column('runnerId').doNothing())
        .execute();
      return (await keyOf(tx, runner)) ?? key;
    },
  };
}

function toWrite({ what, jobId, at }: { readonly what: string; readonly jobId: number; readonly at: number }): PassWrite {
  return { what, by: id<JobId>(jobId), at: millis(at) };
}

function toJob(row: Selectable<GatewayJobsTable>): GatewayJob {
  return {
    id: id<JobId>(row.id),
    projectId: id<ProjectId>(row.projectId),
    pipelineId: id<PipelineId>(row.pipelineId),
    userId: id<UserId>(row.userId),
    sha: row.sha,
    ref: row.ref,
    tag: row.tag === 1,
    tokenDigest: row.tokenDigest as SecretDigest,
    sealedToken: row.sealedToken,
    // An unknown state in the store is the one that allows nothing.
    state: row.state === 'running' ? 'running' : row.state === 'canceling' ? 'canceling' : 'ended',
    startedAt: millis(row.startedAt),
    contactAt: millis(row.contactAt),
    cancelingSince: row.cancelingSince === null ? null : millis(row.cancelingSince),
    runnerId: id<RunnerId>(row.runnerId),
  };
}

const channels: readonly Channel[] = ['api', 'read_api', 'git_read', 'git_write', 'registry_read', 'registry_write'];

function toToken(row: Selectable<ActingTokensTable>): ActingTokenRecord {
  const channel = channels.find((one) => one === row.channel) ?? 'read_api';
  return { id: row.id, jobId: id<JobId>(row.jobId), userId: id<UserId>(row.userId), channel, upstreamId: row.upstreamId };
}
