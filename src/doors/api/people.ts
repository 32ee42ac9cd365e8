import type { UserId } from '../../base/ids.ts';
import type { ApiDeps } from './route.ts';

/** Somebody as GitLab shows people beside other things; who is gone stays visible as such. */
export async function briefOf(deps: Pick<ApiDeps, 'directory' | 'externalUrl'>, id: UserId) {
  const facts = (await deps.directory.users(null, [id])).get(id);
  const username = facts?.username ?? 'ghost';
  return {
    id,
    username,
    name: facts?.name ?? 'Ghost User',
    state: facts?.state ?? 'blocked',
    avatar_url: null,
    web_url: `${deps.externalUrl}/${username}`,
  };
}
