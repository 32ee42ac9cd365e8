import type { Access, Permission } from '../../pass/subject.ts';
import type { Directory } from '../../ports/directory.ts';
import type { Channel } from '../../ports/gateway.ts';
import type { ImageAction } from '../../ports/registry-tokens.ts';
import { JobpassError } from '../../base/errors.ts';
import { parseScopes } from '../registry/challenge.ts';
import { placeOf } from '../registry/names.ts';

const permissionOf: Readonly<Record<ImageAction, Permission>> = {
  pull: 'container:read',
  push: 'container:push',
  delete: 'container:admin',
};

/**
 * What is left of a token request after each action was decided: the forge is asked for no more, as its token is good for minutes,
 * whatever happens to the job. No offline token is asked for: that one would be good for ever.
 * @returns the target to forward, and the narrowest channel that is good for it
 */
export async function scopesToAsk(
  directory: Directory,
  query: URLSearchParams,
  allowed: (access: Access) => Promise<boolean>,
): Promise<{ readonly target: string; readonly channel: Channel }> {
  const scopes = parseScopes(query.getAll('scope'));
  if (scopes === undefined) throw new JobpassError('invalid_input', 'Too many scopes.');
  const asked = new URLSearchParams({ service: query.get('service') ?? '' });
  const all = new Set<ImageAction>();
  for (const { name, actions } of scopes) {
    const { projectId } = await placeOf(directory, name);
    const kept: ImageAction[] = [];
    for (const action of actions)
      if (await allowed({ permission: permissionOf[action], resource: { kind: 'project', id: projectId } })) kept.push(action);
    if (kept.length === 0) continue;
    asked.append('scope', `repository:${name}:${kept.join(',')}`);
    for (const action of kept) all.add(action);
  }
  return { target: `/jwt/auth?${asked.toString()}`, channel: channelFor(all) };
}

/** GitLab takes a token with registry scopes for pulls and pushes; it deletes for one of scope `api` only. */
function channelFor(actions: ReadonlySet<ImageAction>): Channel {
  if (actions.has('delete')) return 'api';
  return actions.has('push') ? 'registry_write' : 'registry_read';
}
