import type { Selectable } from 'kysely';
import { id, type ManagerId, millis, type RunnerId, type SecretDigest, type UserId } from '../../base/ids.ts';
import type { ManagerRecord, PinnedGate, RunnerRecord, RunnerStore } from '../../ports/runners.ts';
import type { MaybeTx } from '../../ports/tx.ts';
import { type Database, readJson } from '../database.ts';
import type { RunnerManagersTable, RunnersTable } from '../schema.ts';
import { paged } from './paged.ts';

/** Nonces older than any signature that could still be accepted. */
const nonceLifeMs = 10 * 60_000;

export function runnerRepository(db: Database): RunnerStore {
  const byId = (tx: MaybeTx, runnerId: RunnerId) => db.on(tx).selectFrom('runners').selectAll().where('id', '=', runnerId);
  const one = async (query: ReturnType<typeof byId>): Promise<RunnerRecord | undefined> => {
    const row = await query.executeTakeFirst();
    return row === undefined ? undefined : toRunner(row);
  };
  return {
    async insert(tx, runner) {
      const { tags, runUntagged, protectedOnly, paused, locked = false, selfRegistered = false, ...rest } = runner;
      const row = await db
        .on(tx)
        .insertInto('runners')
        .values({
          ...rest,
          tags: JSON.stringify(tags),
          runUntagged: bit(runUntagged),
          protectedOnly: bit(protectedOnly),
          paused: bit(paused),
          locked: bit(locked),
          selfRegistered: bit(selfRegistered),
          trust: 'fetch',
          unsafeAccepted: 0,
          publicKey: null,
          contactAt: null,
          version: null,
          responsibleId: null,
          vouched: 0,
        })
        .returningAll()
        .executeTakeFirstOrThrow();
      return toRunner(row);
    },
    async byId(tx, runnerId) {
      return one(byId(tx, runnerId));
    },
    async held(tx, runnerId) {
      return one(db.engine.rowLocks ? byId(tx, runnerId).forShare() : byId(tx, runnerId));
    },
    async lock(tx, runnerId) {
      return one(db.engine.rowLocks ? byId(tx, runnerId).forUpdate() : byId(tx, runnerId));
    },
    list: (tx, page) => paged(db.on(tx).selectFrom('runners'), page, (rows) => rows.selectAll().orderBy('id').execute(), toRunner),
    async assisting(tx, jobId) {
      const row = await db
        .on(tx)
        .selectFrom('jobs')
        .innerJoin('runners', 'runners.id', 'jobs.runnerId')
        .selectAll('runners')
        .where('jobs.id', '=', jobId)
        .where('runners.assist', '!=', 'none')
        .executeTakeFirst();
      return row === undefined ? undefined : toRunner(row);
    },
    async change(tx, runnerId, change) {
      const { tags, runUntagged, protectedOnly, paused, unsafeAccepted, vouched, locked, pinned, ...rest } = change;
      const values = {
        ...rest,
        ...(tags === undefined ? {} : { tags: JSON.stringify(tags) }),
        ...(runUntagged === undefined ? {} : { runUntagged: bit(runUntagged) }),
        ...(protectedOnly === undefined ? {} : { protectedOnly: bit(protectedOnly) }),
        ...(paused === undefined ? {} : { paused: bit(paused) }),
        ...(locked === undefined ? {} : { locked: bit(locked) }),
        ...(vouched === undefined ? {} : { vouched: bit(vouched) }),
        ...(unsafeAccepted === undefined ? {} : { unsafeAccepted: bit(unsafeAccepted) }),
        ...(pinned === undefined ? {} : pinColumns(pinned)),
      };
      if (Object.keys(values).length > 0) await db.on(tx).updateTable('runners').set(values).where('id', '=', runnerId).execute();
    },
    async remove(tx, runnerId) {
      await db.on(tx).deleteFrom('runnerNonces').where('runnerId', '=', runnerId).execute();
      await db.on(tx).deleteFrom('runnerManagers').where('runnerId', '=', runnerId).execute();
      await db.on(tx).deleteFrom('runners').where('id', '=', runnerId).execute();
    },
    async managerSeen(tx, runnerId, systemId, info, at) {
      const { features, ...rest } = info;
      const known = { ...rest, features: JSON.stringify(features), contactAt: at };
      const row = await db
        .on(tx)
        .insertInto('runnerManagers')
        .values({ runnerId, systemId, createdAt: at, ...known })
        .onConflict((conflict) => conflict.columns(['runnerId', 'systemId']).doUpdateSet(known))
        .returningAll()
        .executeTakeFirstOrThrow();
      return toManager(row);
    },
    async manager(tx, managerId) {
      const row = await db.on(tx).selectFrom('runnerManagers').selectAll().where('id', '=', managerId).executeTakeFirst();
      return row === undefined ? undefined : toManager(row);
    },
    async managers(tx, runnerId) {
      const rows = await db.on(tx).selectFrom('runnerManagers').selectAll().where('runnerId', '=', runnerId).orderBy('id').execute();
      return rows.map(toManager);
    },
    async removeManager(tx, runnerId, systemId) {
      const done = await db
        .on(tx)
        .deleteFrom('runnerManagers')
        .where('runnerId', '=', runnerId)
        .where('systemId', '=', systemId)
        .executeTakeFirst();
      return done.numDeletedRows > 0n;
    },
    async putRegistrationToken(tx, { scope, scopeId, digest, userId, createdAt }) {
      const values = { digest, userId, createdAt };
      await db
        .on(tx)
        .insertInto('registrationTokens')
        .values({ scope, scopeId: scopeId ?? 0, ...values })
        .onConflict((conflict) => conflict.columns(['scope', 'scopeId']).doUpdateSet(values))
        .execute();
    },
    async useNonce(tx, runnerId, nonce, at) {
      const on = db.on(tx);
      await on
        .deleteFrom('runnerNonces')
        .where('runnerId', '=', runnerId)
        .where('at', '<', at - nonceLifeMs)
        .execute();
      const done = await on
        .insertInto('runnerNonces')
        .values({ runnerId, nonce, at })
        .onConflict((conflict) => conflict.columns(['runnerId', 'nonce']).doNothing())
        .returning('at')
        .executeTakeFirst();
      return done !== undefined;
    },
  };
}

function bit(value: boolean): number {
  return value ? 1 : 0;
}

function pinColumns(pinned: PinnedGate | null) {
  return {
    pinnedVerdict: pinned?.verdict ?? null,
    pinnedReasons: pinned === null ? null : JSON.stringify(pinned.reasons),
    pinnedAt: pinned?.at ?? null,
  };
}

/** Anything but the word `expose` withholds. */
function toPinned({ pinnedVerdict, pinnedReasons, pinnedAt }: Selectable<RunnersTable>): PinnedGate | null {
  if (pinnedVerdict === null) return null;
  return {
    verdict: pinnedVerdict === 'expose' ? 'expose' : 'withhold',
    reasons: pinnedReasons === null ? [] : readJson<string[]>(pinnedReasons),
    at: millis(pinnedAt ?? 0),
  };
}

function toManager({ features, ...row }: Selectable<RunnerManagersTable>): ManagerRecord {
  return {
    ...row,
    id: id<ManagerId>(row.id),
    runnerId: id<RunnerId>(row.runnerId),
    features: readJson<string[]>(features),
    createdAt: millis(row.createdAt),
    contactAt: millis(row.contactAt),
  };
}

function toRunner(row: Selectable<RunnersTable>): RunnerRecord {
  return {
    id: id<RunnerId>(row.id),
    scope: row.scope === 'instance' ? 'instance' : row.scope === 'group' ? 'group' : 'project',
    scopeId: row.scopeId,
    description: row.description,
    tags: readJson<string[]>(row.tags),
    runUntagged: row.runUntagged === 1,
    protectedOnly: row.protectedOnly === 1,
    paused: row.paused === 1,
    tokenDigest: row.tokenDigest as SecretDigest,
    creatorId: id<UserId>(row.creatorId),
    createdAt: millis(row.createdAt),
    // An unknown word is read as no trust at all.
    trust: row.trust === 'full' ? 'full' : row.trust === 'fetch' ? 'fetch' : 'none',
    unsafeAccepted: row.unsafeAccepted === 1,
    publicKey: row.publicKey,
    pinned: toPinned(row),
    contactAt: row.contactAt === null ? null : millis(row.contactAt),
    version: row.version,
    responsibleId: row.responsibleId === null ? null : id<UserId>(row.responsibleId),
    vouched: row.vouched === 1,
    locked: row.locked === 1,
    selfRegistered: row.selfRegistered === 1,
    maximumTimeoutSeconds: row.maximumTimeoutSeconds,
    // An unknown word gives nothing.
    assist: row.assist === 'expose' ? 'expose' : row.assist === 'fetch' ? 'fetch' : 'none',
    tokenExpiresAt: row.tokenExpiresAt === null ? null : millis(row.tokenExpiresAt),
    maintenanceNote: row.maintenanceNote,
  };
}
