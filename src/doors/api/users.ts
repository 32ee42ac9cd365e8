import { JobpassError } from '../../base/errors.ts';
import { parseId, type TokenId } from '../../base/ids.ts';
import { actorId } from './actor.ts';
import { pageHeaders, pageOf } from './pagination.ts';
import { personalToken, userBrief, userFull, userSelf } from './present.ts';
import type { ApiDeps, RouteTable } from './route.ts';
import { ParamError } from './errors.ts';
import type { Params } from './params.ts';

/** @see GitLab REST API, "Users" and "Personal access tokens" */
export function userRoutes(deps: ApiDeps): RouteTable {
  const { forge, clock, externalUrl: base } = deps;
  const tokenRequest = (params: Params) => {
    const scopes = params.words('scopes');
    if (scopes === undefined) throw new ParamError('scopes is missing');
    return { name: params.text('name'), scopes, expiresAt: params.time('expires_at') ?? null };
  };
  const tokenId = (text: string): TokenId => {
    const id = parseId<TokenId>(text);
    if (id === undefined) throw new JobpassError('not_found', { what: 'Personal Access Token' });
    return id;
  };
  return {
    'GET /api/v4/user': async ({ grant }) => ({ body: userSelf(base, await forge.users.one(grant, actorId(grant))) }),
    'GET /api/v4/users': async ({ grant, params, url }) => {
      const page = pageOf(params);
      const username = params.optionalText('username');
      const search = params.optionalText('search');
      const found = await forge.users.list(
        grant,
        { ...(username === undefined ? {} : { username }), ...(search === undefined ? {} : { search }) },
        page,
      );
      return { body: found.rows.map((user) => userBrief(base, user)), headers: pageHeaders(page, found.total, url) };
    },
    'POST /api/v4/users': async ({ grant, params }) => {
      const user = await forge.users.create(grant, {
        username: params.text('username'),
        name: params.text('name'),
        email: params.text('email'),
        isAdmin: params.flag('admin') ?? false,
      });
      return { body: userSelf(base, user) };
    },
    'GET /api/v4/users/:id': async ({ grant, user }) => {
      const found = await forge.users.one(grant, user.id);
      // Administrators are told more, with their own token; a pass is never an administrator's (R1).
      const actor = grant.identity.kind === 'user' ? grant.identity.userId : undefined;
      const admin = actor !== undefined && (await deps.directory.users(null, [actor])).get(actor)?.isAdmin === true;
      return { body: admin ? { ...userFull(base, found), is_admin: found.isAdmin } : userFull(base, found) };
    },
    'POST /api/v4/users/:id/block': async ({ grant, user }) => {
      await forge.users.setState(grant, user.id, 'blocked');
      return { body: true };
    },
    'POST /api/v4/users/:id/unblock': async ({ grant, user }) => {
      await forge.users.setState(grant, user.id, 'active');
      return { body: true };
    },
    'POST /api/v4/users/:id/personal_access_tokens': async ({ grant, user, params }) => {
      const { token, secret } = await forge.users.createToken(grant, user.id, tokenRequest(params));
      return { body: { ...personalToken(token, clock.now()), token: secret.reveal() } };
    },
    'POST /api/v4/user/personal_access_tokens': async ({ grant, params }) => {
      const { token, secret } = await forge.users.createToken(grant, actorId(grant), tokenRequest(params));
      return { body: { ...personalToken(token, clock.now()), token: secret.reveal() } };
    },
    'GET /api/v4/personal_access_tokens': async ({ grant, params, url }) => {
      const page = pageOf(params);
      const found = await forge.users.tokens(grant, actorId(grant), page);
      return { body: found.rows.map((token) => personalToken(token, clock.now())), headers: pageHeaders(page, found.total, url) };
    },
    'GET /api/v4/personal_access_tokens/self': async ({ grant }) => {
      const token = grant.identity.kind === 'user' ? await forge.users.token(grant, grant.identity.tokenId) : undefined;
      if (token === undefined) throw new JobpassError('invalid_input', 'This is not a personal access token.');
      return { body: personalToken(token, clock.now()) };
    },
    'DELETE /api/v4/personal_access_tokens/self': async ({ grant }) => {
      if (grant.identity.kind === 'user') await forge.users.revokeToken(grant, grant.identity.tokenId);
      return { status: 204 };
    },
    'DELETE /api/v4/personal_access_tokens/:id': async ({ grant, path }) => {
      await forge.users.revokeToken(grant, tokenId(path('id')));
      return { status: 204 };
    },
  };
}
