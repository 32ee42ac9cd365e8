import type { FastifyReply, FastifyRequest } from 'fastify';
import { JobpassError } from '../../base/errors.ts';
import { Secret } from '../../base/secret.ts';
import { answerError, type ApiDeps } from '../api/route.ts';
import { errorOfRefusal } from '../api/errors.ts';
import { credentialOf, holdsPass } from '../credential.ts';
import type { Door } from '../door.ts';
import { factsOf } from '../http.ts';
import { queryOf } from '../paths.ts';
import type { PassRecord, PassStore } from '../../ports/passes.ts';
import type { Transactor } from '../../ports/tx.ts';
import { exchangeGrant, exchangeRoute } from './exchange.ts';

const root = '/-/jobpass/oauth';

export interface OauthDeps extends Pick<ApiDeps, 'gatekeeper' | 'revoker' | 'log' | 'externalUrl' | 'directory' | 'clock'> {
  readonly passes: PassStore;
  readonly transactor: Transactor;
}

/** What a pass can ask about itself: narrow it (RFC 8693), give it back (RFC 7009), look at it (RFC 7662), and where these are (RFC 8414). */
export function makeOauthDoor(deps: OauthDeps): Door {
  const tokenOf = (request: FastifyRequest, field: 'token' | 'subject_token' = 'token'): Secret => {
    const form = request.body instanceof URLSearchParams ? request.body : new URLSearchParams();
    const [text, ...more] = form.getAll(field);
    if (text === undefined || text === '' || more.length > 0)
      throw new JobpassError('invalid_input', `Send the pass as the form field \`${field}\`, once.`);
    const query = new URLSearchParams(queryOf(request.raw.url));
    const read = credentialOf(request.headers, request.raw.rawHeaders, query);
    if ('refusal' in read) throw errorOfRefusal(read.refusal);
    if (read.subject.kind !== 'anonymous' || holdsPass([...form].filter(([name]) => name !== field))) {
      throw new JobpassError('credential_misplaced', 'The pass authenticates itself: send it in the form only.');
    }
    return new Secret(text);
  };
  const guarded =
    (work: (request: FastifyRequest, reply: FastifyReply) => Promise<unknown>) =>
    async (request: FastifyRequest, reply: FastifyReply): Promise<unknown> => {
      try {
        return await work(request, reply);
      } catch (error) {
        return answerError(deps, error, request, reply);
      }
    };
  const admit = (request: FastifyRequest, secret: Secret, endpoint: string) => {
    const { requestId, secure } = factsOf(request.raw);
    return deps.gatekeeper.admit(
      { kind: 'secret', secret, carrier: 'oauth_form' },
      [{ permission: 'pass:self', resource: { kind: 'instance' } }],
      { door: 'oauth', endpoint, requestId, secure },
    );
  };
  return {
    kind: 'routes',
    name: 'oauth',
    register(app) {
      app.post(
        `${root}/revoke`,
        guarded(async (request, reply) => {
          const secret = tokenOf(request);
          const admission = await admit(request, secret, `POST ${root}/revoke`);
          if (!admission.ok && admission.refusal.code === 'insecure_transport') throw errorOfRefusal(admission.refusal);
          // Also a pass that is only suspended, or whose user is blocked: it must not come back to life.
          await deps.revoker.revokeSecret(secret, 'given back');
          if (admission.ok) await deps.gatekeeper.settle(admission.grant, 'done');
          // The same answer for a token that is unknown or dead already (RFC 7009 §2.2).
          return reply.code(200).type('application/json').send('{}');
        }),
      );
      app.post(
        `${root}/introspect`,
        guarded(async (request, reply) => {
          const admission = await admit(request, tokenOf(request), `POST ${root}/introspect`);
          if (!admission.ok) return reply.code(200).type('application/json').send('{"active":false}');
          const { identity } = admission.grant;
          await deps.gatekeeper.settle(admission.grant, 'done');
          if (identity.kind !== 'pass') return reply.code(200).type('application/json').send('{"active":false}');
          const pass = await deps.passes.byId(null, identity.passId);
          if (pass === undefined) return reply.code(200).type('application/json').send('{"active":false}');
          const body = {
            active: true,
            token_type: 'Bearer',
            scope: scopeOf(pass),
            exp: Math.floor(pass.expiresAt / 1000),
            iat: Math.floor(pass.issuedAt / 1000),
            jobpass_limits: (pass.limits ?? []).map(({ by, permissions, places }) => ({
              by,
              permissions,
              ...(places === null ? {} : { project_ids: places.projectIds, group_ids: places.groupIds }),
            })),
            jobpass_kind: identity.passKind,
            jobpass_job_id: identity.jobId,
            jobpass_project_id: identity.projectId,
            jobpass_principals: identity.principals,
            sub: String(identity.principals[0] ?? ''),
          };
          return reply.code(200).type('application/json').send(JSON.stringify(body));
        }),
      );
      app.post(`${root}/token`, async (request, reply) =>
        exchangeRoute(deps, `${root}/token`, request, reply, () => tokenOf(request, 'subject_token')),
      );
      app.get(`${root}/.well-known/oauth-authorization-server`, async (_request, reply) =>
        reply.type('application/json').send(
          JSON.stringify({
            issuer: `${deps.externalUrl}${root}`,
            revocation_endpoint: `${deps.externalUrl}${root}/revoke`,
            introspection_endpoint: `${deps.externalUrl}${root}/introspect`,
            response_types_supported: [],
            grant_types_supported: [exchangeGrant],
            token_endpoint: `${deps.externalUrl}${root}/token`,
            token_endpoint_auth_methods_supported: ['none'],
          }),
        ),
      );
    },
  };
}

/** What its own limits leave; what ceilings and principals leave is decided on each request. */
function scopeOf({ kind, limits = [] }: PassRecord): string {
  if (kind === 'fetch') return 'code:download container:read';
  return limits.at(-1)?.permissions.join(' ') ?? '*';
}
