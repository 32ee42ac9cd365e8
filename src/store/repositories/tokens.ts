import type { Selectable } from 'kysely';
import {
  id,
  type JobId,
  millis,
  type PipelineId,
  type ProjectId,
  type RunnerId,
  type SecretDigest,
  type TokenId,
  type UserId,
} from '../../base/ids.ts';
import type { TokenStore } from '../../forge/embedded/ports.ts';
import type { Credentials, PersonalToken, RegistrationFacts } from '../../ports/credentials.ts';
import { type Database, readJson } from '../database.ts';
import type { TokensTable } from '../schema.ts';
import { paged } from './paged.ts';

export function tokenRepository(db: Database): TokenStore {
  return {
    async insert(tx, token) {
      const { scopes, impersonation, ...rest } = token;
      const row = await db
        .on(tx)
        .insertInto('tokens')
        .values({ ...rest, impersonation: impersonation ? 1 : 0, scopes: JSON.stringify(scopes), lastUsedAt: null, revokedAt: null })
        .returningAll()
        .executeTakeFirstOrThrow();
      return toToken(row);
    },
    async byId(tx, tokenId) {
      const row = await db.on(tx).selectFrom('tokens').selectAll().where('id', '=', tokenId).executeTakeFirst();
      return row === undefined ? undefined : toToken(row);
    },
    listForUser: (tx, user, impersonation, page) =>
      paged(
        db
          .on(tx)
          .selectFrom('tokens')
          .where('userId', '=', user)
          .where('impersonation', '=', impersonation ? 1 : 0),
        page,
        (rows) => rows.selectAll().orderBy('id', 'desc').execute(),
        toToken,
      ),
    async revoke(tx, tokenId, at) {
      await db.on(tx).updateTable('tokens').set({ revokedAt: at }).where('id', '=', tokenId).where('revokedAt', 'is', null).execute();
    },
  };
}

/** Look-ups by digest. What is compared is the hash of the secret, so that equal time is no concern. */
export function credentialRepository(db: Database): Credentials {
  const personal = db.prepared(['digest'], (on, { digest }: { digest: SecretDigest }) =>
    on.selectFrom('tokens').selectAll().where('digest', '=', digest),
  );
  const ofJob = db.prepared(['digest'], (on, { digest }: { digest: SecretDigest }) =>
    on.selectFrom('jobs').select(['id', 'projectId', 'pipelineId', 'userId']).where('tokenDigest', '=', digest),
  );
  const ofRunner = db.prepared(['digest'], (on, { digest }: { digest: SecretDigest }) =>
    on.selectFrom('runners').select(['id', 'tokenExpiresAt']).where('tokenDigest', '=', digest),
  );
  return {
    async personalToken(tx, digest) {
      const [row] = await personal(tx, { digest });
      return row === undefined ? undefined : toToken(row);
    },
    async jobToken(tx, digest) {
      const [row] = await ofJob(tx, { digest });
      if (row === undefined) return undefined;
      return {
        jobId: id<JobId>(row.id),
        projectId: id<ProjectId>(row.projectId),
        pipelineId: id<PipelineId>(row.pipelineId),
        userId: id<UserId>(row.userId),
      };
    },
    async runnerToken(tx, digest, now) {
      const [row] = await ofRunner(tx, { digest });
      if (row === undefined || (now !== undefined && row.tokenExpiresAt !== null && now >= row.tokenExpiresAt)) return undefined;
      return id<RunnerId>(row.id);
    },
    async registrationToken(tx, digest) {
      const row = await db.on(tx).selectFrom('registrationTokens').selectAll().where('digest', '=', digest).executeTakeFirst();
      if (row === undefined) return undefined;
      const scope: RegistrationFacts['scope'] = row.scope === 'instance' ? 'instance' : row.scope === 'group' ? 'group' : 'project';
      return { id: id<TokenId>(row.id), scope, scopeId: scope === 'instance' ? null : row.scopeId, userId: id<UserId>(row.userId) };
    },
    async touchPersonalToken(tx, tokenId, at) {
      await db
        .on(tx)
        .updateTable('tokens')
        .set({ lastUsedAt: at })
        .where('id', '=', tokenId)
        .where((eb) => eb.or([eb('lastUsedAt', 'is', null), eb('lastUsedAt', '<', at - 60_000)]))
        .execute();
    },
  };
}

function toToken(row: Selectable<TokensTable>): PersonalToken {
  return {
    id: id<TokenId>(row.id),
    userId: id<UserId>(row.userId),
    name: row.name,
    scopes: readJson<string[]>(row.scopes),
    createdAt: millis(row.createdAt),
    lastUsedAt: row.lastUsedAt === null ? null : millis(row.lastUsedAt),
    expiresAt: row.expiresAt === null ? null : millis(row.expiresAt),
    revokedAt: row.revokedAt === null ? null : millis(row.revokedAt),
  };
}
