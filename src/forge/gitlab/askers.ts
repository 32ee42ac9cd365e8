import type { Clock } from '../../base/clock.ts';
import { type EpochMillis, millis, type SecretDigest, type TokenId, type UserId } from '../../base/ids.ts';
import type { Secret } from '../../base/secret.ts';
import type { PersonalToken } from '../../ports/credentials.ts';
import type { UpstreamUsers } from '../../ports/gateway.ts';
import type { UpstreamClient } from './client.ts';
import { fieldsOf, idOf } from './json.ts';

/** A proof counts for one request, with the second question at its end. */
const provenMs = 10_000;
const entries = 1000;

/** People who ask the gateway itself, known by what the forge says of their own token: the gateway keeps none. */
export interface GitlabAskers {
  /**
   * Asks the forge whose token it is, and what it may.
   * @returns admin = the token reaches what only an administrator's does, Admin Mode included @throws upstream_failed
   */
  prove(token: Secret): Promise<'admin' | 'user' | 'nobody'>;
  /** What was proven a moment ago. */
  proven(digest: SecretDigest): PersonalToken | undefined;
}

export function makeGitlabAskers(client: UpstreamClient, users: UpstreamUsers, clock: Clock): GitlabAskers {
  const known = new Map<SecretDigest, { readonly token: PersonalToken; readonly until: number }>();
  return {
    async prove(token) {
      known.delete(token.digest());
      const { status, body } = await client.askWith(token, '/personal_access_tokens/self');
      const found = status === 200 ? tokenOf(body, clock.now()) : undefined;
      if (found === undefined) return 'nobody';
      known.set(token.digest(), { token: found, until: clock.now() + provenMs });
      if (known.size > entries) for (const oldest of known.keys()) if (known.delete(oldest)) break;
      if ((await users.powerOf(found.userId)) !== 'admin') return 'user';
      return (await client.askWith(token, '/application/settings')).status === 200 ? 'admin' : 'user';
    },
    proven(digest) {
      const entry = known.get(digest);
      return entry === undefined || clock.now() >= entry.until ? undefined : entry.token;
    },
  };
}

/** @see GitLab, `GET /personal_access_tokens/self` */
function tokenOf(value: unknown, now: EpochMillis): PersonalToken | undefined {
  const fields = fieldsOf(value);
  const userId = idOf<UserId>(fields['user_id']);
  const tokenId = idOf<TokenId>(fields['id']);
  const { scopes } = fields;
  if (userId === undefined || tokenId === undefined || fields['active'] !== true || fields['revoked'] === true || !Array.isArray(scopes))
    return undefined;
  return {
    id: tokenId,
    userId,
    name: '',
    scopes: scopes.filter((scope) => typeof scope === 'string'),
    createdAt: millis(now),
    lastUsedAt: null,
    expiresAt: null,
    revokedAt: null,
  };
}
