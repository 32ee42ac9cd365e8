import { JobpassError } from '../../base/errors.ts';
import { parseId, type TokenId } from '../../base/ids.ts';
import type { ImpersonationToken } from '../../forge/impersonation.ts';
import { ParamError } from './errors.ts';
import { pageHeaders, pageOf } from './pagination.ts';
import { personalToken } from './present.ts';
import type { ApiDeps, RouteTable } from './route.ts';

/** Tokens by which an administrator's program acts as a user. @see GitLab REST API, "User tokens", impersonation */
export function impersonationRoutes({ forge, clock }: ApiDeps): RouteTable {
  const at = '/api/v4/users/:id/impersonation_tokens';
  const present = (token: ImpersonationToken) => ({ ...personalToken(token, clock.now()), impersonation: true });
  return {
    [`GET ${at}`]: async ({ grant, user, params, url }) => {
      const page = pageOf(params);
      const state = params.optionalText('state') ?? 'all';
      const found = await forge.users.impersonations(grant, user.id, page);
      const rows = found.rows.map(present).filter((row) => state === 'all' || row.active === (state === 'active'));
      return { body: rows, headers: pageHeaders(page, found.total, url) };
    },
    [`POST ${at}`]: async ({ grant, user, params }) => {
      const scopes = params.words('scopes');
      if (scopes === undefined) throw new ParamError('scopes is missing');
      const request = { name: params.text('name'), scopes, expiresAt: params.time('expires_at') ?? null };
      const { token, secret } = await forge.users.createImpersonation(grant, user.id, request);
      return { body: { ...present(token), token: secret.reveal() } };
    },
    [`DELETE ${at}/:token_id`]: async ({ grant, user, path }) => {
      const id = parseId<TokenId>(path('token_id'));
      const done = id !== undefined && (await forge.users.revokeImpersonation(grant, user.id, id));
      if (!done) throw new JobpassError('not_found', { what: 'Impersonation Token' });
      return { status: 204 };
    },
  };
}
