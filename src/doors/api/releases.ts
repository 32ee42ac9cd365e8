import { JobpassError } from '../../base/errors.ts';
import { parseId, type ProjectId } from '../../base/ids.ts';
import { limits } from '../../base/limits.ts';
import type { ReleaseLinkInput } from '../../forge/forge.ts';
import type { Access } from '../../pass/subject.ts';
import { decodeOnce } from '../paths.ts';
import { actorId, signatureOf } from './actor.ts';
import { ParamError } from './errors.ts';
import { pageHeaders, pageOf } from './pagination.ts';
import type { Params } from './params.ts';
import { release, releaseLink } from './present.ts';
import { deciderOf } from './repository.ts';
import { type ApiDeps, type Call, nobody, type RouteTable } from './route.ts';

const R = '/api/v4/projects/:id/releases';
const noProject = nobody as ProjectId;

/** @see GitLab REST API, "Releases" and "Release links" */
export function releaseRoutes(deps: ApiDeps): RouteTable {
  const { releases, repository } = deps.forge;
  const shown = (call: Call, one: Parameters<typeof release>[2]) => release(deps.externalUrl, call.project.path, one, deps.clock.now());
  const found = async (call: Call) => {
    const one = await releases.one(call.grant, call.project.id, call.path('tag_name'));
    if (one === undefined) throw new JobpassError('not_found', {});
    return one;
  };
  return {
    [`GET ${R}`]: async (call) => {
      const page = pageOf(call.params);
      const order = {
        by: call.params.oneOf('order_by', ['released_at', 'created_at']) ?? 'released_at',
        descending: call.params.oneOf('sort', ['asc', 'desc']) !== 'asc',
      };
      const rows = await releases.list(call.grant, call.project.id, order, page);
      return { body: rows.rows.map((one) => shown(call, one)), headers: pageHeaders(page, rows.total, call.url) };
    },
    [`GET ${R}/:tag_name`]: async (call) => ({ body: shown(call, await found(call)) }),
    [`GET ${R}/permalink/latest`]: async (call) => {
      const latest = await releases.list(call.grant, call.project.id, { by: 'released_at', descending: true }, { page: 1, perPage: 1 });
      const [one] = latest.rows;
      if (one === undefined) throw new JobpassError('not_found', {});
      return {
        status: 302,
        headers: { location: `${deps.externalUrl}/api/v4/projects/${call.project.id}/releases/${encodeURIComponent(one.tag)}` },
        body: null,
      };
    },
    [`GET ${R}/:tag_name/downloads/*`]: async (call) => {
      const one = await found(call);
      const link = one.links.find((each) => each.directAssetPath === `/${call.path('*')}`);
      if (link === undefined) throw new JobpassError('not_found', {});
      // As a browser reads it: what it leaves out, or writes otherwise, has no place in a header.
      return { status: 302, headers: { location: new URL(link.url).href }, body: null };
    },
    [`POST ${R}`]: async (call) => {
      const { params, project } = call;
      const tagName = params.text('tag_name');
      const links = params.nested('assets').list('links').map(newLink);
      await admitLinks(deps, call, links);
      if ((await releases.one(call.grant, project.id, tagName)) !== undefined) throw new JobpassError('conflict', 'Release already exists');
      if ((await repository.tag(call.grant, project.id, tagName)) === undefined) {
        const ref = params.optionalText('ref');
        if (ref === undefined || ref === '') throw new JobpassError('unprocessable', 'Ref is not specified');
        // The tag is a write of its own, decided together with the release's.
        const writes = { permission: 'release:write', resource: { kind: 'project', id: project.id } } as const;
        const byJob = call.grant.identity.kind === 'job';
        const grant = await call.admit(byJob ? [writes] : [writes, { ...writes, permission: 'tag:write' }]);
        await repository.createTag(
          grant,
          project.id,
          tagName,
          ref,
          params.optionalText('tag_message'),
          await signatureOf(deps, grant),
          deciderOf(deps, grant),
        );
      }
      const made = await releases.create(call.grant, project.id, {
        tag: tagName,
        name: params.optionalText('name') ?? tagName,
        description: params.optionalText('description') ?? '',
        authorId: actorId(call.grant),
        releasedAt: params.time('released_at') ?? deps.clock.now(),
        links,
      });
      return { body: shown(call, made) };
    },
    [`PUT ${R}/:tag_name`]: async (call) => {
      const [name, description, releasedAt] = [
        call.params.optionalText('name'),
        call.params.optionalText('description'),
        call.params.time('released_at'),
      ];
      const changed = await releases.change(call.grant, call.project.id, call.path('tag_name'), {
        ...(name === undefined ? {} : { name }),
        ...(description === undefined ? {} : { description }),
        ...(releasedAt === undefined ? {} : { releasedAt }),
      });
      if (changed === undefined) throw new JobpassError('not_found', {});
      return { body: shown(call, changed) };
    },
    [`DELETE ${R}/:tag_name`]: async (call) => {
      const gone = await releases.remove(call.grant, call.project.id, call.path('tag_name'));
      if (gone === undefined) throw new JobpassError('not_found', {});
      return { body: shown(call, gone) };
    },
    ...linkRoutes(deps, found),
  };
}

function linkRoutes(deps: ApiDeps, found: (call: Call) => ReturnType<ApiDeps['forge']['releases']['create']>): RouteTable {
  const { releases } = deps.forge;
  const root = `${R}/:tag_name/assets/links`;
  const one = async (call: Call) => {
    const link = (await found(call)).links.find((each) => String(each.id) === call.path('link_id'));
    if (link === undefined) throw new JobpassError('not_found', {});
    return link;
  };
  const shown = (call: Call, link: Parameters<typeof releaseLink>[3]) =>
    releaseLink(deps.externalUrl, call.project.path, call.path('tag_name'), link);
  return {
    [`GET ${root}`]: async (call) => {
      const page = pageOf(call.params);
      const { links } = await found(call);
      return {
        body: links.slice((page.page - 1) * page.perPage, page.page * page.perPage).map((link) => shown(call, link)),
        headers: pageHeaders(page, links.length, call.url),
      };
    },
    [`GET ${root}/:link_id`]: async (call) => ({ body: shown(call, await one(call)) }),
    [`POST ${root}`]: async (call) => {
      const link = newLink(call.params);
      await admitLinks(deps, call, [link]);
      return { body: shown(call, await releases.addLink(call.grant, call.project.id, call.path('tag_name'), link)) };
    },
    [`PUT ${root}/:link_id`]: async (call) => {
      const known = await one(call);
      const change = linkFields(call.params);
      await admitLinks(deps, call, [{ ...known, ...change }]);
      const changed = await releases.changeLink(call.grant, call.project.id, call.path('tag_name'), known.id, change);
      if (changed === undefined) throw new JobpassError('not_found', {});
      return { body: shown(call, changed) };
    },
    [`DELETE ${root}/:link_id`]: async (call) => {
      const gone = await releases.removeLink(call.grant, call.project.id, call.path('tag_name'), (await one(call)).id);
      if (gone === undefined) throw new JobpassError('not_found', {});
      return { body: shown(call, gone) };
    },
  };
}

/** A link into this forge needs the right to see the project where it leads (A12). */
async function admitLinks(deps: ApiDeps, call: Call, links: readonly ReleaseLinkInput[]): Promise<void> {
  if (links.length > limits.accessesPerRequest)
    throw new JobpassError('too_large', `Send at most ${limits.accessesPerRequest} links at once.`);
  // By whichever of its names: all lead to the same projects.
  const hosts = new Set(deps.externalUrls.map((url) => new URL(url).host));
  const targets = new Set<ProjectId>();
  for (const link of links) {
    const url = URL.canParse(link.url) ? new URL(link.url) : undefined;
    if (url !== undefined && hosts.has(url.host)) targets.add(await projectBehind(deps, url.pathname));
  }
  targets.delete(call.project.id);
  if (targets.size === 0) return;
  const accesses = [...targets].map((id): Access => ({ permission: 'project:read', resource: { kind: 'project', id } }));
  await call.admit([{ permission: 'release:write', resource: { kind: 'project', id: call.project.id } }, ...accesses]);
}

/** The project that a path of this forge belongs to, or else an id that no project has: hidden and absent are refused alike (R11). */
async function projectBehind(deps: ApiDeps, path: string): Promise<ProjectId> {
  const api = /^\/(?:api\/v4\/projects|-\/project)\/([^/]+)/.exec(path)?.[1];
  const name = decodeOnce(api ?? path.slice(1));
  if (name === undefined) throw new JobpassError('invalid_input', { fields: { url: ['is invalid'] } });
  if (api !== undefined) return parseId<ProjectId>(name) ?? (await deps.directory.projectByPath(null, name))?.id ?? noProject;
  const parts = (name.split('/-/')[0] ?? '').replace(/\.git(?:\/.*)?$/, '').split('/');
  for (let length = Math.min(parts.length, 22); length >= 2; length -= 1) {
    const project = await deps.directory.projectByPath(null, parts.slice(0, length).join('/'));
    if (project !== undefined) return project.id;
  }
  return noProject;
}

function linkFields(params: Params): Partial<ReleaseLinkInput> {
  const [name, url, path] = [
    params.optionalText('name'),
    params.optionalText('url'),
    params.optionalText('direct_asset_path') ?? params.optionalText('filepath'),
  ];
  const linkType = params.oneOf('link_type', ['other', 'runbook', 'image', 'package']);
  return {
    ...(name === undefined ? {} : { name }),
    ...(url === undefined ? {} : { url }),
    ...(path === undefined ? {} : { directAssetPath: path }),
    ...(linkType === undefined ? {} : { linkType }),
  };
}

function newLink(params: Params): ReleaseLinkInput {
  const { name, url, directAssetPath = null, linkType = 'other' } = linkFields(params);
  if (name === undefined) throw new ParamError('name is missing');
  if (url === undefined) throw new ParamError('url is missing');
  return { name, url, directAssetPath, linkType };
}
