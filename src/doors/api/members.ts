import { JobpassError } from '../../base/errors.ts';
import { parseId, type UserId } from '../../base/ids.ts';
import { type AccessLevel, parseAccessLevel } from '../../base/levels.ts';
import type { MemberForge } from '../../forge/forge.ts';
import type { Access } from '../../pass/subject.ts';
import { ParamError } from './errors.ts';
import { pageHeaders, pageOf } from './pagination.ts';
import type { Params } from './params.ts';
import { member } from './present.ts';
import type { Answer, ApiDeps, Call, Handler, RouteTable } from './route.ts';

/** @see GitLab REST API, "Group and project members" */
export function memberRoutes(deps: ApiDeps): RouteTable {
  return {
    ...routesFor(
      deps,
      'projects',
      deps.forge.projects,
      (call) => call.project.id,
      (id) => ({ permission: 'member:read', resource: { kind: 'project', id } }),
    ),
    ...routesFor(
      deps,
      'groups',
      deps.forge.groups,
      (call) => call.group.id,
      (id) => ({ permission: 'group_member:read', resource: { kind: 'group', id } }),
    ),
  };
}

function routesFor<Id>(
  deps: ApiDeps,
  kind: 'projects' | 'groups',
  forge: MemberForge<Id>,
  idOf: (call: Call) => Id,
  reading: (id: Id) => Access,
): RouteTable {
  const base = deps.externalUrl;
  const root = `/api/v4/${kind}/:id/members`;
  const list =
    (inherited: boolean): Handler =>
    async (call) => {
      const page = pageOf(call.params);
      const found = await forge.members(call.grant, idOf(call), inherited, page);
      return { body: found.rows.map((one) => member(base, one)), headers: pageHeaders(page, found.total, call.url) };
    };
  const one =
    (inherited: boolean): Handler =>
    async (call): Promise<Answer> => {
      const found = await forge.member(call.grant, idOf(call), inherited, userOf(call));
      if (found === undefined) throw new JobpassError('not_found', {});
      return { body: member(base, found) };
    };
  return {
    [`GET ${root}`]: list(false),
    [`GET ${root}/all`]: list(true),
    [`GET ${root}/:user_id`]: one(false),
    [`GET ${root}/all/:user_id`]: one(true),
    [`POST ${root}`]: async (call) => {
      const user = await newMember(deps, call.params);
      const made = await forge.addMember(call.grant, idOf(call), user, levelOf(call.params), call.params.time('expires_at') ?? null);
      return { body: member(base, made) };
    },
    [`PUT ${root}/:user_id`]: async (call) => {
      const [id, user, level] = [idOf(call), userOf(call), levelOf(call.params)];
      let expiresAt = call.params.time('expires_at') ?? null;
      if (!call.params.given('expires_at')) {
        // A change of role alone must not make a membership endless.
        const known = await forge.member(await call.admit([reading(id)]), id, false, user);
        if (known === undefined) throw new JobpassError('not_found', {});
        ({ expiresAt } = known);
      }
      const changed = await forge.changeMember(call.grant, id, user, level, expiresAt);
      if (changed === undefined) throw new JobpassError('not_found', {});
      return { body: member(base, changed) };
    },
    [`DELETE ${root}/:user_id`]: async (call) => {
      if (!(await forge.removeMember(call.grant, idOf(call), userOf(call)))) throw new JobpassError('not_found', {});
      return { status: 204 };
    },
  };
}

function userOf(call: Call): UserId {
  const id = parseId<UserId>(call.path('user_id'));
  if (id === undefined) throw new JobpassError('not_found', {});
  return id;
}

function levelOf(params: Params): AccessLevel {
  if (!params.has('access_level')) throw new ParamError('access_level is missing');
  const level = parseAccessLevel(params.integer('access_level') ?? -1);
  if (level === undefined) throw new ParamError('access_level does not have a valid value');
  return level;
}

async function newMember(deps: ApiDeps, params: Params): Promise<UserId> {
  const username = params.optionalText('username');
  if (username !== undefined) {
    const user = await deps.directory.userByName(null, username);
    if (user === undefined) throw new JobpassError('not_found', { what: 'User' });
    return user.id;
  }
  const id = parseId<UserId>(params.text('user_id'));
  if (id === undefined) throw new ParamError('user_id is invalid');
  return id;
}
