import { JobpassError } from '../../base/errors.ts';
import { type GroupId, parseId } from '../../base/ids.ts';
import type { Grant } from '../../pass/grant.ts';
import { actorId, signatureOf } from './actor.ts';
import type { Project } from '../../forge/forge.ts';
import { ParamError } from './errors.ts';
import { projectFilter } from './groups.ts';
import { pageHeaders, pageOf } from './pagination.ts';
import { project, protection } from './present.ts';
import { deciderOf } from './repository.ts';
import { type ApiDeps, type Call, type Handler, nobody, type RouteTable } from './route.ts';

const P = '/api/v4/projects/:id';

/** @see GitLab REST API, "Projects", "Protected branches", "Protected tags" */
export function projectRoutes(deps: ApiDeps): RouteTable {
  const { forge } = deps;
  const shown = async (grant: Grant, one: Parameters<typeof project>[1]) => {
    const [actor] = grant.principals;
    if (actor === undefined) return { ...project(deps, one), ...(await origin(grant, one)) };
    const levels = await forge.projects.levelsOf(grant, one.id, actor);
    const access = (level: number | null) => (level === null ? null : { access_level: level, notification_level: 3 });
    return {
      ...project(deps, one),
      ...(await origin(grant, one)),
      permissions: { project_access: access(levels.project), group_access: access(levels.group) },
    };
  };
  /** What it is a copy of, for those who may see that: every principal (R3). */
  const origin = async (grant: Grant, { forkedFromId }: Parameters<typeof project>[1]) => {
    const parent = forkedFromId === null ? undefined : await deps.directory.project(null, forkedFromId);
    if (parent === undefined) return {};
    const levels = await deps.directory.projectLevels(null, grant.principals, parent.id, deps.clock.now());
    const inside =
      grant.principals.length > 0 && (parent.visibility === 'internal' || grant.principals.every((one) => (levels.get(one) ?? 0) >= 10));
    if (parent.visibility !== 'public' && !inside) return {};
    const name = parent.path.split('/').at(-1) ?? '';
    return {
      forked_from_project: {
        id: parent.id,
        name,
        path: name,
        path_with_namespace: parent.path,
        default_branch: parent.defaultBranch,
        http_url_to_repo: `${deps.externalUrl}/${parent.path}.git`,
        web_url: `${deps.externalUrl}/${parent.path}`,
      },
    };
  };
  const archive =
    (archived: boolean): Handler =>
    async ({ grant, project: facts }) => ({ body: await shown(grant, await forge.projects.setArchived(grant, facts.id, archived)) });
  return {
    'GET /api/v4/projects': async ({ grant, params, url }) => {
      const page = pageOf(params);
      const found = await forge.projects.list(grant, projectFilter(params), page);
      return { body: found.rows.map((one) => project(deps, one)), headers: pageHeaders(page, found.total, url) };
    },
    'POST /api/v4/projects': async ({ params, admit }) => {
      const name = params.optionalText('name') ?? params.optionalText('path');
      if (name === undefined) throw new ParamError('name is missing');
      const own = async (): Promise<GroupId> => {
        const grant = await admit([{ permission: 'self:read', resource: { kind: 'instance' } }]);
        return (await forge.users.one(grant, actorId(grant))).namespaceId;
      };
      const given = params.optionalText('namespace_id');
      // Not looked up here: a hidden namespace and one that is not there are refused in the same words (R11).
      const namespaceId = given === undefined || given === '' ? await own() : parseId<GroupId>(given);
      if (namespaceId === undefined) throw new ParamError('namespace_id is invalid');
      const grant = await admit([{ permission: 'project:create', resource: { kind: 'group', id: namespaceId } }]);
      const made = await forge.projects.create(grant, {
        name,
        slug: params.optionalText('path') ?? name.replaceAll(/[^A-Za-z0-9_.-]+/g, '-').toLowerCase(),
        namespaceId,
        description: params.optionalText('description') ?? '',
        visibility: params.visibility() ?? 'private',
        // Clients send an empty one for none.
        defaultBranch: branchName(params.optionalText('default_branch') || 'main'),
        creatorId: actorId(grant),
      });
      if (params.flag('initialize_with_readme') === true) await addReadme(deps, admit, made);
      return { body: project(deps, made) };
    },
    [`POST ${P}/fork`]: async ({ params, admit, project: source }) => {
      const own = async (): Promise<GroupId> => {
        const grant = await admit([{ permission: 'self:read', resource: { kind: 'instance' } }]);
        return (await forge.users.one(grant, actorId(grant))).namespaceId;
      };
      const path = params.optionalText('namespace_path') ?? params.optionalText('namespace');
      const given = params.optionalText('namespace_id') ?? (path !== undefined && /^\d+$/.test(path) ? path : undefined);
      // A namespace that is not there, or hidden, is refused in the same words (R11).
      const namespaceId =
        given !== undefined
          ? parseId<GroupId>(given)
          : path === undefined
            ? await own()
            : ((await deps.directory.groupByPath(null, path))?.id ?? (nobody as GroupId));
      if (namespaceId === undefined) throw new ParamError('namespace_id is invalid');
      const grant = await admit([
        { permission: 'project:fork', resource: { kind: 'project', id: source.id } },
        { permission: 'project:create', resource: { kind: 'group', id: namespaceId } },
      ]);
      const slug = source.path.split('/').at(-1) ?? '';
      const made = await forge.projects.fork(grant, source.id, {
        name: params.optionalText('name') ?? params.optionalText('path') ?? slug,
        slug: params.optionalText('path') ?? slug,
        namespaceId,
        creatorId: actorId(grant),
      });
      return { body: { ...project(deps, made), ...(await origin(grant, made)), import_status: 'finished' } };
    },
    [`GET ${P}/forks`]: async ({ grant, project: source, params, url }) => {
      const page = pageOf(params);
      const found = await forge.projects.list(grant, { ...projectFilter(params), forkedFromId: source.id }, page);
      return { body: found.rows.map((one) => project(deps, one)), headers: pageHeaders(page, found.total, url) };
    },
    [`GET ${P}`]: async ({ grant, project: facts }) => ({ body: await shown(grant, await forge.projects.one(grant, facts.id)) }),
    [`PUT ${P}`]: async ({ grant, project: facts, params }) => {
      const [name, slug, description, defaultBranch] = ['name', 'path', 'description', 'default_branch'].map((field) =>
        params.optionalText(field),
      );
      const visibility = params.visibility();
      const mergeMethod = params.oneOf('merge_method', ['merge', 'ff', 'rebase_merge']);
      if (mergeMethod === 'rebase_merge') throw new JobpassError('unsupported', 'merge_method is merge or ff.');
      const chainDepth = params.integer('jobpass_chain_depth');
      if (chainDepth !== undefined && (chainDepth < 0 || chainDepth > 10))
        throw new ParamError('jobpass_chain_depth does not have a valid value');
      const change = {
        ...(name === undefined ? {} : { name }),
        ...(slug === undefined ? {} : { slug }),
        ...(description === undefined ? {} : { description }),
        ...(defaultBranch === undefined ? {} : { defaultBranch: branchName(defaultBranch) }),
        ...(visibility === undefined ? {} : { visibility }),
        ...(chainDepth === undefined ? {} : { chainDepth }),
        ...(mergeMethod === undefined ? {} : { mergeMethod }),
      };
      if (Object.keys(change).length === 0)
        throw new ParamError(
          'name, path, description, default_branch, visibility, merge_method, jobpass_chain_depth are missing, at least one parameter must be provided',
        );
      return { body: await shown(grant, await forge.projects.change(grant, facts.id, change)) };
    },
    [`DELETE ${P}`]: async ({ grant, project: facts }) => {
      const removeFiles = await deps.jobs.removal.leftBy(facts.id);
      await forge.projects.remove(grant, facts.id);
      await removeFiles();
      return { status: 202, body: { message: '202 Accepted' } };
    },
    [`POST ${P}/archive`]: archive(true),
    [`POST ${P}/unarchive`]: archive(false),
    ...protectionRoutes(deps, 'branch'),
    ...protectionRoutes(deps, 'tag'),
  };
}

function protectionRoutes(deps: ApiDeps, kind: 'branch' | 'tag'): RouteTable {
  const root = `${P}/protected_${kind === 'branch' ? 'branches' : 'tags'}`;
  const level = ({ params }: Call, field: string): 0 | 30 | 40 => {
    const value = params.integer(field) ?? 40;
    if (value !== 0 && value !== 30 && value !== 40) throw new ParamError(`${field} does not have a valid value`);
    return value;
  };
  return {
    [`GET ${root}`]: async ({ grant, project: facts }) => ({
      body: (await deps.forge.projects.protections(grant, facts.id, kind)).map(protection),
    }),
    [`GET ${root}/:name`]: async ({ grant, project: facts, path }) => {
      const found = (await deps.forge.projects.protections(grant, facts.id, kind)).find(({ pattern }) => pattern === path('name'));
      if (found === undefined) throw new JobpassError('not_found', {});
      return { body: protection(found) };
    },
    [`POST ${root}`]: async (call) => {
      const pushLevel = level(call, kind === 'branch' ? 'push_access_level' : 'create_access_level');
      const mergeLevel = kind === 'branch' ? level(call, 'merge_access_level') : pushLevel;
      const rule = {
        kind,
        pattern: call.params.text('name'),
        pushLevel,
        mergeLevel,
        allowForcePush: call.params.flag('allow_force_push') ?? false,
      };
      return { body: protection(await deps.forge.projects.protect(call.grant, call.project.id, rule)) };
    },
    [`DELETE ${root}/:name`]: async ({ grant, project: facts, path }) => {
      if (!(await deps.forge.projects.unprotect(grant, facts.id, kind, path('name')))) throw new JobpassError('not_found', {});
      return { status: 204 };
    },
  };
}

/** The first commit, as the caller's own. */
async function addReadme(deps: ApiDeps, admit: Call['admit'], { id, name, description, defaultBranch }: Project): Promise<void> {
  const grant = await admit([{ permission: 'commit:create', resource: { kind: 'project', id } }]);
  const content = Buffer.from(`# ${name}\n${description === '' ? '' : `\n${description}\n`}`);
  const request = {
    branch: defaultBranch,
    message: 'Initial commit',
    actions: [{ action: 'create', path: 'README.md', content }] as const,
    author: await signatureOf(deps, grant),
  };
  await deps.forge.repository.createCommit(grant, id, request, deciderOf(deps, grant));
}

function branchName(name: string): string {
  if (
    !/^[A-Za-z0-9_][A-Za-z0-9_./-]{0,200}$/.test(name) ||
    name.includes('..') ||
    name.endsWith('/') ||
    name.endsWith('.lock') ||
    name.endsWith('.')
  )
    throw new ParamError('default_branch is invalid');
  return name;
}
