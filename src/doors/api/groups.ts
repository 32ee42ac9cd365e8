import { parseId, type GroupId } from '../../base/ids.ts';
import type { AccessLevel } from '../../base/levels.ts';
import { actorId } from './actor.ts';
import { ParamError } from './errors.ts';
import { pageHeaders, pageOf } from './pagination.ts';
import type { Params } from './params.ts';
import { group, project } from './present.ts';
import type { ApiDeps, RouteTable } from './route.ts';

const levels = [5, 10, 15, 20, 30, 40, 50] as const;

/** `search`, and the highest level that `membership`, `min_access_level` and `owned` ask for. */
function listFilter(params: Params): { search?: string; minLevel?: AccessLevel } {
  const search = params.optionalText('search');
  const given = params.integer('min_access_level');
  const known = levels.find((level) => level === given);
  if (given !== undefined && known === undefined) throw new ParamError('min_access_level does not have a valid value');
  const asked = [known, params.flag('membership') === true ? 10 : undefined, params.flag('owned') === true ? 50 : undefined];
  const minLevel = levels.findLast((level) => asked.includes(level));
  return { ...(search === undefined || search === '' ? {} : { search }), ...(minLevel === undefined ? {} : { minLevel }) };
}

/** The same of projects, with `visibility` and `archived`. */
export function projectFilter(params: Params) {
  const [visibility, archived] = [params.visibility(), params.flag('archived')];
  return { ...listFilter(params), ...(visibility === undefined ? {} : { visibility }), ...(archived === undefined ? {} : { archived }) };
}

/** @see GitLab REST API, "Groups" */
export function groupRoutes(deps: ApiDeps): RouteTable {
  const { forge, externalUrl: base } = deps;
  return {
    'GET /api/v4/groups': async ({ grant, params, url }) => {
      const page = pageOf(params);
      const found = await forge.groups.list(grant, listFilter(params), page);
      return { body: found.rows.map((one) => group(base, one)), headers: pageHeaders(page, found.total, url) };
    },
    'POST /api/v4/groups': async ({ params, admit }) => {
      const parentText = params.optionalText('parent_id');
      const parentId = parentText === undefined || parentText === '' ? null : parseId<GroupId>(parentText);
      if (parentId === undefined) throw new ParamError('parent_id is invalid');
      const grant = await admit([
        parentId === null
          ? { permission: 'group:create', resource: { kind: 'instance' } }
          : { permission: 'subgroup:create', resource: { kind: 'group', id: parentId } },
      ]);
      const made = await forge.groups.create(grant, {
        name: params.text('name'),
        slug: params.text('path'),
        description: params.optionalText('description') ?? '',
        visibility: params.visibility() ?? 'private',
        parentId,
        creatorId: actorId(grant),
      });
      return { body: group(base, made) };
    },
    'GET /api/v4/groups/:id': async ({ grant, group: facts }) => ({ body: group(base, await forge.groups.one(grant, facts.id)) }),
    'GET /api/v4/groups/:id/projects': async ({ grant, group: facts, params, url }) => {
      const page = pageOf(params);
      const found = await forge.projects.list(grant, { ...projectFilter(params), groupId: facts.id }, page);
      return { body: found.rows.map((one) => project(deps, one)), headers: pageHeaders(page, found.total, url) };
    },
    'GET /api/v4/groups/:id/subgroups': async ({ grant, group: facts, params, url }) => {
      const page = pageOf(params);
      const found = await forge.groups.list(grant, { ...listFilter(params), parentId: facts.id }, page);
      return { body: found.rows.map((one) => group(base, one)), headers: pageHeaders(page, found.total, url) };
    },
  };
}
