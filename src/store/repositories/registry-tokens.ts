import { millis, type SecretDigest } from '../../base/ids.ts';
import type { RegistryToken, RegistryTokens } from '../../ports/registry-tokens.ts';
import { type Database, readJson } from '../database.ts';

export function registryTokenRepository(db: Database): RegistryTokens {
  return {
    async insert(tx, digest, { parent, scope, expiresAt }) {
      await db
        .on(tx)
        .insertInto('registryTokens')
        .values({ digest, parentKind: parent?.kind ?? null, parentDigest: parent?.digest ?? null, scope: JSON.stringify(scope), expiresAt })
        .execute();
    },
    async byDigest(tx, digest) {
      const row = await db.on(tx).selectFrom('registryTokens').selectAll().where('digest', '=', digest).executeTakeFirst();
      if (row === undefined) return undefined;
      return { parent: parentOf(row), scope: readJson<RegistryToken['scope']>(row.scope), expiresAt: millis(row.expiresAt) };
    },
    async sweep(tx, before) {
      const gone = await db.on(tx).deleteFrom('registryTokens').where('expiresAt', '<', before).executeTakeFirst();
      return Number(gone.numDeletedRows);
    },
  };
}

function parentOf(row: { parentKind: string | null; parentDigest: string | null }): RegistryToken['parent'] {
  const kind = (['pass', 'user', 'job'] as const).find((one) => one === row.parentKind);
  return kind === undefined || row.parentDigest === null ? null : { kind, digest: row.parentDigest as SecretDigest };
}
