import { JobpassError } from '../../base/errors.ts';
import type { UserId } from '../../base/ids.ts';
import type { Grant } from '../../pass/grant.ts';
import type { UserFacts } from '../../ports/directory.ts';
import type { ApiDeps } from './route.ts';

/** The user in whose name a request acts: the first principal. @throws credential_missing for anonymous and runners */
export function actorId(grant: Grant): UserId {
  const [actor] = grant.principals;
  if (actor === undefined) throw new JobpassError('credential_missing');
  return actor;
}

export async function actorOf(deps: ApiDeps, grant: Grant): Promise<UserFacts> {
  const id = actorId(grant);
  const user = (await deps.directory.users(null, [id])).get(id);
  if (user === undefined) throw new JobpassError('credential_invalid');
  return user;
}

/** Author or tagger of what the actor writes; the e-mail stays out of what other people read of the API. */
export async function signatureOf(deps: ApiDeps, grant: Grant): Promise<{ name: string; email: string }> {
  const user = await actorOf(deps, grant);
  return { name: user.name, email: `${user.id}-${user.username}@users.noreply.${new URL(deps.externalUrl).hostname}` };
}
