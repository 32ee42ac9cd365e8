import { JobpassError } from '../../../base/errors.ts';
import type { GroupId } from '../../../base/ids.ts';
import { verifyGrant } from '../../../pass/grant.ts';
import type { GroupForge } from '../../forge.ts';
import { memberCalls } from '../members.ts';
import type { ServiceDeps } from '../projects/project-forge.ts';
import { checkSlug } from '../slugs.ts';
import { checkVisibility, viewersOf } from '../visibility.ts';

/** Deep enough for people, shallow enough for queries (GitLab: 20). */
const maxDepth = 20;

export function makeGroupForge(deps: ServiceDeps): GroupForge {
  const { stores, transactor, clock } = deps;
  const members = memberCalls(deps, 'group_member:read', 'group_member:write', (id: GroupId) => ({ kind: 'group', id }) as const);
  return {
    async one(grant, id) {
      verifyGrant(grant, 'group:read', { kind: 'group', id });
      const group = await stores.groups.byId(null, id);
      if (group === undefined) throw new JobpassError('not_found', { what: 'Group' });
      return group;
    },
    async list(grant, filter, page) {
      if (filter.parentId === undefined) verifyGrant(grant, 'group:list', { kind: 'instance' });
      else verifyGrant(grant, 'group:read', { kind: 'group', id: filter.parentId });
      const { minLevel, ...rest } = filter;
      return stores.groups.list(null, viewersOf(grant, clock, minLevel), rest, page);
    },
    async create(grant, request) {
      const { creatorId, ...fields } = request;
      if (request.parentId === null) verifyGrant(grant, 'group:create', { kind: 'instance' });
      else verifyGrant(grant, 'subgroup:create', { kind: 'group', id: request.parentId });
      checkSlug(request.slug, 'namespace');
      return transactor.write(async (tx) => {
        await grant.confirm(tx);
        if (request.parentId !== null) {
          const parent = await stores.groups.byId(tx, request.parentId);
          if (parent === undefined || parent.kind !== 'group') throw new JobpassError('not_found', { what: 'Group' });
          if (parent.path.split('/').length >= maxDepth)
            throw new JobpassError('invalid_input', `Groups can be nested at most ${maxDepth} deep.`);
          checkVisibility(request.visibility, parent.visibility);
        }
        const group = await stores.groups.insert(tx, { ...fields, createdAt: clock.now() });
        await stores.members.add(tx, { kind: 'group', id: group.id }, creatorId, 50, null, clock.now());
        return group;
      });
    },
    members: members.list,
    member: members.one,
    addMember: members.add,
    changeMember: members.change,
    removeMember: members.remove,
  };
}
