import type { ServerResponse } from 'node:http';
import { isoTime } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { anonymousRegistryToken } from '../../base/registry-token.ts';
import type { Grant } from '../../pass/grant.ts';
import { issueRegistryToken, type RegistryTokenDeps } from '../../pass/registry-token.ts';
import type { AskContext, Gatekeeper, Permission, Subject } from '../../pass/subject.ts';
import type { Directory } from '../../ports/directory.ts';
import type { ImageAction, RegistryToken } from '../../ports/registry-tokens.ts';
import { answer } from './call.ts';
import { parseScopes, service } from './challenge.ts';
import { answerOci, ociAnswer } from './errors.ts';
import { placeOf } from './names.ts';

const permissionOf: Readonly<Record<ImageAction, Permission>> = {
  pull: 'container:read',
  push: 'container:push',
  delete: 'container:admin',
};

export interface TokenDeps extends RegistryTokenDeps {
  readonly gatekeeper: Gatekeeper;
  readonly directory: Directory;
}

/**
 * `GET /jwt/auth`: trades a credential for a registry token with those of the asked actions that it may do now; the others are left out without a word,
 * as what is hidden must not show (A41). Without a scope that is `docker login`.
 * @see distribution, "Token Authentication Specification"; GitLab's container registry tokens
 */
export async function serveToken(
  deps: TokenDeps,
  response: ServerResponse,
  query: URLSearchParams,
  subject: Subject,
  context: Omit<AskContext, 'door' | 'endpoint'>,
): Promise<void> {
  if (query.get('service') !== service)
    return answerOci(response, { status: 404, code: 'UNSUPPORTED', message: `The service is ${service}.`, headers: {} });
  const scopes = parseScopes(query.getAll('scope'));
  if (scopes === undefined) return answerOci(response, { status: 400, code: 'UNSUPPORTED', message: 'Too many scopes.', headers: {} });
  const ask: AskContext = { ...context, door: 'registry', endpoint: 'GET /jwt/auth' };
  const grants: Grant[] = [];
  try {
    let login: Grant | undefined;
    if (subject.kind !== 'anonymous' || scopes.length === 0) {
      const admission = await deps.gatekeeper.admit(subject, [{ permission: 'registry:login', resource: { kind: 'instance' } }], ask);
      if (!admission.ok) {
        const said = ociAnswer(admission.refusal);
        return answerOci(response, said.status === 401 ? { ...said, headers: { 'www-authenticate': 'Basic realm="GitLab"' } } : said);
      }
      login = admission.grant;
      grants.push(login);
    }
    const scope: { projectId: RegistryToken['scope'][number]['projectId']; actions: readonly ImageAction[] }[] = [];
    for (const wanted of scopes) {
      const place = await placeOf(deps.directory, wanted.name);
      const actions: ImageAction[] = [];
      for (const action of wanted.actions) {
        const access = { permission: permissionOf[action], resource: { kind: 'project', id: place.projectId } } as const;
        const admission = await deps.gatekeeper.admit(subject, [access], ask);
        if (!admission.ok) continue;
        grants.push(admission.grant);
        actions.push(action);
      }
      if (actions.length > 0) scope.push({ projectId: place.projectId, actions });
    }
    // Whoever sent no credential leaves no row behind, or anybody could fill the store.
    const token = login === undefined ? anonymousRegistryToken : (await issueRegistryToken(deps, login, subject, scope)).reveal();
    const body = { token, access_token: token, expires_in: limits.registryTokenMs / 1000, issued_at: isoTime(deps.clock.now()) };
    answer(response, 200, { 'content-type': 'application/json' }, JSON.stringify(body));
  } finally {
    await Promise.all(grants.map((grant) => deps.gatekeeper.settle(grant, 'done')));
  }
}
