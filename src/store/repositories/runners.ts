import type { Selectable } from 'kysely';
import { id, millis, type RunnerId, type SecretDigest, type UserId } from '../../base/ids.ts';
import type { PinnedGate, RunnerRecord, RunnerStore } from '../../ports/jobs.ts';
import { type Database, readJson } from '../database.ts';
import type { RunnersTable } from '../schema.ts';
import { paged } from './paged.ts';

/** Nonces older than any signature that could still be accepted. */
const nonceLifeMs = 10 * 60_000;

export function runnerRepository(db: Database): RunnerStore {
  return {
    async insert(tx, runner) {
      const { tags, runUntagged, protectedOnly, paused, ...rest } = runner;
      const row = await db
        .on(tx)
        .insertInto('runners')
        .values({
          ...rest,
          tags: JSON.stringify(tags),
          runUntagged: bit(runUntagged),
          protectedOnly: bit(protectedOnly),
          paused: bit(paused),
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
      const row = await db.on(tx).selectFrom('runners').selectAll().where('id', '=', runnerId).executeTakeFirst();
      return row === undefined ? undefined : toRunner(row);
    },
    list: (tx, page) => paged(db.on(tx).selectFrom('runners'), page, (rows) => rows.selectAll().orderBy('id').execute(), toRunner),
    async change(tx, runnerId, change) {
      const { tags, runUntagged, protectedOnly, paused, unsafeAccepted, vouched, pinned, ...rest } = change;
      const values = {
        ...rest,
        ...(tags === undefined ? {} : { tags: JSON.stringify(tags) }),
        ...(runUntagged === undefined ? {} : { runUntagged: bit(runUntagged) }),
        ...(protectedOnly === undefined ? {} : { protectedOnly: bit(protectedOnly) }),
        ...(paused === undefined ? {} : { paused: bit(paused) }),
        ...(vouched === undefined ? {} : { vouched: bit(vouched) }),
        ...(unsafeAccepted === undefined ? {} : { unsafeAccepted: bit(unsafeAccepted) }),
        ...(pinned === undefined ? {} : pinColumns(pinned)),
      };
      if (Object.keys(values).length > 0) await db.on(tx).updateTable('runners').set(values).where('id', '=', runnerId).execute();
    },
    async remove(tx, runnerId) {
      await db.on(tx).deleteFrom('runnerNonces').where('runnerId', '=', runnerId).execute();
      await db.on(tx).deleteFrom('runners').where('id', '=', runnerId).execute();
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
  };
}
