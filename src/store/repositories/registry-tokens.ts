import { millis, type SecretDigest } from '../../base/ids.ts';
import type { RegistryToken, RegistryTokens } from '../../ports/registry-tokens.ts';
import { type Database, readJson } from '../database.ts';

export function registryTokenRepository(db: Database): RegistryTokens {
  const rows = db.prepared(['digest'], (on, { digest }: { digest: SecretDigest }) =>
    on.selectFrom('registryTokens').selectAll().where('digest', '=', digest),
  );
  return {
    async insert(tx, digest, { parent, scope, expiresAt }) {
      await db
        .on(tx)
        .insertInto('registryTokens')
        .values({ digest, parentKind: parent.kind, parentDigest: parent.digest, scope: JSON.stringify(scope), expiresAt })
        .execute();
    },
    async byDigest(tx, digest) {
      const [row] = await rows(tx, { digest });
      const kind = (['pass', 'user', 'job'] as const).find((one) => one === row?.parentKind);
      if (row === undefined || kind === undefined) return undefined;
      const parent = { kind, digest: row.parentDigest as SecretDigest };
      return { parent, scope: readJson<RegistryToken['scope']>(row.scope), expiresAt: millis(row.expiresAt) };
    },
    async sweep(tx, before) {
      const gone = await db.on(tx).deleteFrom('registryTokens').where('expiresAt', '<', before).executeTakeFirst();
      return Number(gone.numDeletedRows);
    },
  };
}
