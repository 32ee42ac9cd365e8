import { JobpassError } from '../../../base/errors.ts';
import type { TokenId, UserId } from '../../../base/ids.ts';
import { randomBase62, Secret } from '../../../base/secret.ts';
import { type Grant, type Permission, verifyGrant } from '../../../pass/grant.ts';
import type { PersonalToken } from '../../../ports/credentials.ts';
import type { PersonalTokenEntry, UserForge } from '../../forge.ts';
import type { ServiceDeps } from '../projects/project-forge.ts';
import { checkSlug } from '../slugs.ts';
import { tokenScopes } from './scopes.ts';

export function makeUserForge(deps: ServiceDeps): UserForge {
  const { stores, transactor, clock } = deps;
  const instance = { kind: 'instance' } as const;

  /** The grant is about this user: by name, or because it is the caller's own. @throws internal */
  const covers = (grant: Grant, user: UserId, own: Permission, byName: Permission): void => {
    const self = grant.identity.kind === 'user' && grant.identity.userId === user;
    if (self && grant.accesses.some((access) => access.permission === own)) verifyGrant(grant, own, instance);
    else verifyGrant(grant, byName, { kind: 'user', id: user });
  };
  const isAdmin = async (grant: Grant): Promise<boolean> => {
    const [actor] = grant.principals;
    return (
      actor !== undefined && grant.identity.kind === 'user' && (await deps.directory.users(null, [actor])).get(actor)?.isAdmin === true
    );
  };
  const entry = ({ revokedAt, ...token }: PersonalToken): PersonalTokenEntry => ({ ...token, revoked: revokedAt !== null });
  const ownToken = async (grant: Grant, id: TokenId): Promise<PersonalToken | undefined> => {
    const token = await stores.tokens.byId(null, id);
    if (token === undefined) return undefined;
    return grant.principals.includes(token.userId) || (await isAdmin(grant)) ? token : undefined;
  };

  return {
    async one(grant, id) {
      const held = (['self:read', 'user:list', 'release:read', 'release:write'] as const).some((permission) =>
        grant.accesses.some((access) => access.permission === permission),
      );
      if (!held)
        covers(grant, id, 'self:read', grant.accesses.some((access) => access.permission === 'user:update') ? 'user:update' : 'user:read');
      const user = await stores.users.byId(null, id);
      if (user === undefined) throw new JobpassError('not_found', { what: 'User' });
      return user;
    },
    async list(grant, filter, page) {
      verifyGrant(grant, 'user:list', instance);
      return stores.users.list(null, filter, page);
    },
    async create(grant, request) {
      verifyGrant(grant, 'user:create', instance);
      checkSlug(request.username, 'namespace', 'username');
      if (!/^[^\s@<>]{1,200}@[^\s@<>]{1,200}$/.test(request.email))
        throw new JobpassError('invalid_input', { fields: { email: ['is invalid'] } });
      if (request.name.trim() === '' || request.name.length > 255)
        throw new JobpassError('invalid_input', { fields: { name: ["can't be blank"] } });
      return transactor.write(async (tx) => {
        await grant.confirm(tx);
        return stores.users.insert(tx, { ...request, createdAt: clock.now() });
      });
    },
    async setState(grant, id, state) {
      verifyGrant(grant, 'user:update', { kind: 'user', id });
      return transactor.write(async (tx) => {
        await grant.confirm(tx);
        await stores.users.setState(tx, id, state);
        const user = await stores.users.byId(tx, id);
        if (user === undefined) throw new JobpassError('not_found', { what: 'User' });
        return user;
      });
    },
    async tokens(grant, user, page) {
      verifyGrant(grant, 'token:read', instance);
      if (!grant.principals.includes(user) && !(await isAdmin(grant))) throw new JobpassError('access_denied');
      const found = await stores.tokens.listForUser(null, user, false, page);
      return { rows: found.rows.map(entry), total: found.total };
    },
    async token(grant, id) {
      const held = (['self:read', 'token:read', 'token:revoke'] as const).find((permission) =>
        grant.accesses.some((access) => access.permission === permission),
      );
      verifyGrant(grant, held ?? 'token:read', instance);
      const token = await ownToken(grant, id);
      return token === undefined ? undefined : entry(token);
    },
    async createToken(grant, user, request) {
      covers(grant, user, 'token:create', 'user:update');
      if (request.name.trim() === '' || request.name.length > 255)
        throw new JobpassError('invalid_input', { fields: { name: ["can't be blank"] } });
      const unknown = request.scopes.filter((scope) => !tokenScopes.has(scope));
      if (request.scopes.length === 0 || unknown.length > 0)
        throw new JobpassError('invalid_input', {
          fields: { scopes: [`can only contain available scopes: ${[...tokenScopes].join(', ')}`] },
        });
      const secret = new Secret(`glpat-${randomBase62(20)}`);
      const token = await transactor.write(async (tx) => {
        await grant.confirm(tx);
        return stores.tokens.insert(tx, {
          userId: user,
          name: request.name,
          scopes: request.scopes,
          digest: secret.digest(),
          expiresAt: request.expiresAt,
          createdAt: clock.now(),
          impersonation: false,
        });
      });
      return { token: entry(token), secret };
    },
    async revokeToken(grant, id) {
      verifyGrant(grant, 'token:revoke', instance);
      if ((await ownToken(grant, id)) === undefined) throw new JobpassError('not_found', { what: 'Personal Access Token' });
      await transactor.write(async (tx) => {
        await grant.confirm(tx);
        await stores.tokens.revoke(tx, id, clock.now());
      });
    },
  };
}
