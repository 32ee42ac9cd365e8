import type { FastifyReply, FastifyRequest } from 'fastify';
import { type ErrorCode, isJobpassError, JobpassError } from '../../base/errors.ts';
import type { Secret } from '../../base/secret.ts';
import { exchangePass } from '../../pass/exchange.ts';
import { permissionWords } from '../../pass/permission-words.ts';
import type { Grant } from '../../pass/grant.ts';
import type { Access } from '../../pass/subject.ts';
import { errorOfRefusal } from '../api/errors.ts';
import { factsOf } from '../http.ts';
import type { OauthDeps } from './oauth-door.ts';

/** @see RFC 8693 §2.1 */
export const exchangeGrant = 'urn:ietf:params:oauth:grant-type:token-exchange';
const accessToken = 'urn:ietf:params:oauth:token-type:access_token';

/** What a client hears that asked wrongly. @see RFC 6749 §5.2, RFC 8693 §2.2.2 */
const errorOf: Partial<Readonly<Record<ErrorCode, readonly [number, string]>>> = {
  pass_dead: [400, 'invalid_grant'],
  credential_invalid: [400, 'invalid_grant'],
  job_unanswered: [503, 'temporarily_unavailable'],
  access_denied: [400, 'unauthorized_client'],
  rate_limited: [429, 'temporarily_unavailable'],
  store_unavailable: [503, 'temporarily_unavailable'],
  audit_unavailable: [503, 'temporarily_unavailable'],
  internal: [500, 'server_error'],
};

/** Trades a pass for a child that may do less (R9): `scope` = permissions, `resource` or `audience` = projects and groups, once each or several times. */
export async function exchangeRoute(
  deps: OauthDeps,
  endpoint: string,
  request: FastifyRequest,
  reply: FastifyReply,
  subjectToken: () => Secret,
): Promise<unknown> {
  const granted: Grant[] = [];
  let outcome: 'done' | 'refused' = 'refused';
  try {
    const form = request.body instanceof URLSearchParams ? request.body : new URLSearchParams();
    if (form.get('grant_type') !== exchangeGrant) throw new OauthError('unsupported_grant_type', `grant_type must be ${exchangeGrant}.`);
    if ((form.get('subject_token_type') ?? accessToken) !== accessToken || form.has('actor_token'))
      throw new OauthError('invalid_request', `subject_token_type must be ${accessToken}, without an actor.`);
    const subject = { kind: 'secret', secret: subjectToken(), carrier: 'oauth_form' } as const;
    const { requestId, secure } = factsOf(request.raw);
    const context = { door: 'oauth', endpoint: `POST ${endpoint}`, requestId, secure };
    const ask = async (accesses: readonly Access[]) => {
      const admission = await deps.gatekeeper.admit(subject, accesses, context);
      if (admission.ok) granted.push(admission.grant);
      return admission;
    };
    const own = await ask([{ permission: 'pass:self', resource: { kind: 'instance' } }]);
    if (!own.ok) throw errorOfRefusal(own.refusal);
    const scope = permissionWords(form.getAll('scope').join(' '));
    if ('odd' in scope) throw new OauthError('invalid_scope', `There is no permission ${JSON.stringify(scope.odd)}.`);
    if (scope.words.length === 0)
      throw new OauthError('invalid_scope', 'Say in `scope` what the narrowed pass may do, such as `code:download`.');
    const lifetime = form.get('expires_in');
    if (lifetime !== null && !/^[1-9]\d{0,6}$/.test(lifetime))
      throw new OauthError('invalid_request', 'expires_in is a number of seconds.');
    const made = await exchangePass(
      deps,
      own.grant,
      {
        permissions: scope.words,
        places: [...form.getAll('resource'), ...form.getAll('audience')],
        lifetimeSeconds: lifetime === null ? undefined : Number(lifetime),
      },
      async (accesses) => accesses.length === 0 || (await ask(accesses)).ok,
    );
    outcome = 'done';
    return await reply
      .code(200)
      .headers({ 'cache-control': 'no-store', pragma: 'no-cache' })
      .type('application/json')
      .send(
        JSON.stringify({
          access_token: made.secret.reveal(),
          issued_token_type: accessToken,
          token_type: 'Bearer',
          expires_in: Math.max(0, Math.floor((made.expiresAt - deps.clock.now()) / 1000)),
          scope: made.permissions.join(' '),
        }),
      );
  } catch (error) {
    return answer(deps, error, request, reply);
  } finally {
    await Promise.all(granted.map((grant) => deps.gatekeeper.settle(grant, outcome)));
  }
}

/** A refusal with its own word of RFC 6749. */
class OauthError extends Error {
  readonly word: string;

  constructor(word: string, message: string) {
    super(message);
    this.word = word;
  }
}

function answer(deps: OauthDeps, error: unknown, request: FastifyRequest, reply: FastifyReply): unknown {
  const send = (status: number, word: string, text: string) =>
    reply
      .code(status)
      .headers({ 'cache-control': 'no-store' })
      .type('application/json')
      .send(JSON.stringify({ error: word, error_description: text }));
  if (error instanceof OauthError) return send(400, error.word, error.message);
  const known = isJobpassError(error) ? error : new JobpassError('internal', {}, error);
  if (known.code === 'internal') deps.log.error('oauth.failed', { requestId: factsOf(request.raw).requestId }, known);
  const [status, word] = errorOf[known.code] ?? [
    400,
    /named projects or groups/.test(known.message) ? 'invalid_target' : 'invalid_request',
  ];
  return send(status, word, known.code === 'internal' ? 'Internal error' : known.message);
}
