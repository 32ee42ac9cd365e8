import type { FastifyReply, FastifyRequest } from 'fastify';
import type { IdTokenSigner } from '../../ports/id-tokens.ts';
import { answerError, type ApiDeps } from '../api/route.ts';
import type { Door } from '../door.ts';

export interface OidcDeps extends Pick<ApiDeps, 'log' | 'externalUrl'> {
  readonly idTokens: IdTokenSigner;
}

/** Claims of `jobs/id-tokens.ts`, for services that want them listed. */
const claims = [
  'iss sub aud exp nbf iat jti namespace_id namespace_path project_id project_path project_visibility user_id user_login user_email',
  'jobpass_principals pipeline_id pipeline_source job_id ref ref_type ref_path ref_protected environment runner_id runner_environment',
  'sha ci_config_ref_uri ci_config_sha',
].flatMap((line) => line.split(' '));

/** Where other services learn to verify ID tokens. Open to anyone. @see OpenID Connect Discovery 1.0, RFC 7517 */
export function makeOidcDoor(deps: OidcDeps): Door {
  const open =
    (answer: () => Promise<unknown>) =>
    async (request: FastifyRequest, reply: FastifyReply): Promise<unknown> => {
      try {
        const body = await answer();
        return await reply.header('cache-control', 'public, max-age=300').type('application/json').send(JSON.stringify(body));
      } catch (error) {
        return answerError(deps, error, request, reply);
      }
    };
  const metadata = {
    issuer: deps.externalUrl,
    jwks_uri: `${deps.externalUrl}/oauth/discovery/keys`,
    response_types_supported: ['none'],
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: ['RS256'],
    claims_supported: claims,
  };
  return {
    kind: 'routes',
    name: 'oidc',
    register(app) {
      app.get(
        '/.well-known/openid-configuration',
        open(() => Promise.resolve(metadata)),
      );
      app.get(
        '/oauth/discovery/keys',
        open(async () => ({ keys: await deps.idTokens.publicKeys() })),
      );
    },
  };
}
