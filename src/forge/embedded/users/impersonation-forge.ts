import { JobpassError } from '../../../base/errors.ts';
import { randomBase62, Secret } from '../../../base/secret.ts';
import { type Grant, verifyGrant } from '../../../pass/grant.ts';
import type { UserId } from '../../../base/ids.ts';
import type { PersonalToken } from '../../../ports/credentials.ts';
import type { ImpersonationForge, ImpersonationToken } from '../../impersonation.ts';
import type { ServiceDeps } from '../projects/project-forge.ts';
import { tokenScopes } from './scopes.ts';

export function makeImpersonationForge({ stores, transactor, clock }: ServiceDeps): ImpersonationForge {
  const check = (grant: Grant, user: UserId): void => verifyGrant(grant, 'user:update', { kind: 'user', id: user });
  const entry = ({ revokedAt, ...token }: PersonalToken): ImpersonationToken => ({ ...token, revoked: revokedAt !== null });
  return {
    async impersonations(grant, user, page) {
      check(grant, user);
      const found = await stores.tokens.listForUser(null, user, true, page);
      return { rows: found.rows.map(entry), total: found.total };
    },
    async createImpersonation(grant, user, request) {
      check(grant, user);
      if (request.name.trim() === '' || request.name.length > 255)
        throw new JobpassError('invalid_input', { fields: { name: ["can't be blank"] } });
      if (request.scopes.length === 0 || !request.scopes.every((scope) => tokenScopes.has(scope)))
        throw new JobpassError('invalid_input', {
          fields: { scopes: [`can only contain available scopes: ${[...tokenScopes].join(', ')}`] },
        });
      const secret = new Secret(`glpat-${randomBase62(20)}`);
      const { name, scopes, expiresAt } = request;
      const token = await transactor.write(async (tx) => {
        await grant.confirm(tx);
        const made = { userId: user, name, scopes, digest: secret.digest(), expiresAt, createdAt: clock.now(), impersonation: true };
        return stores.tokens.insert(tx, made);
      });
      return { token: entry(token), secret };
    },
    async revokeImpersonation(grant, user, id) {
      check(grant, user);
      return transactor.write(async (tx) => {
        await grant.confirm(tx);
        const { rows } = await stores.tokens.listForUser(tx, user, true, { page: 1, perPage: 10_000 });
        if (!rows.some((row) => row.id === id)) return false;
        await stores.tokens.revoke(tx, id, clock.now());
        return true;
      });
    },
  };
}
