import { isoTime } from '../../base/clock.ts';
import { JobpassError } from '../../base/errors.ts';
import { parseId, type ProjectId, type RepositoryId } from '../../base/ids.ts';
import { limits } from '../../base/limits.ts';
import type { ImageRepository } from '../../forge/registry.ts';
import type { Grant } from '../../pass/grant.ts';
import { pageHeaders, pageOf } from './pagination.ts';
import type { Params } from './params.ts';
import { type ApiDeps, type Call, nobody, type RouteTable } from './route.ts';

const R = '/api/v4/projects/:id/registry/repositories';

interface In {
  readonly grant: Grant;
  readonly project: { readonly id: ProjectId; readonly path: string };
}

/** @see GitLab REST API, "Container registry" */
export function registryRoutes(deps: ApiDeps): RouteTable {
  const { registry } = deps.forge;
  const missing = (): JobpassError => new JobpassError('not_found', {});
  const idOf = (call: Call): RepositoryId => parseId<RepositoryId>(call.path('repository_id')) ?? (nobody as RepositoryId);
  const pathOf = ({ project }: In, one: ImageRepository): string =>
    one.name === '' ? project.path.toLowerCase() : `${project.path.toLowerCase()}/${one.name}`;
  const tagBrief = (at: In, one: ImageRepository, name: string) => {
    const path = `${pathOf(at, one)}:${name}`;
    return { name, path, location: `${deps.registry}/${path}` };
  };
  const shown = async (at: In, one: ImageRepository, params: Params, tagsCount?: number) => {
    const path = pathOf(at, one);
    const wanted = params.flag('tags') === true;
    const counted = params.flag('tags_count') === true;
    const tags =
      wanted || (counted && tagsCount === undefined) ? await registry.tagList(at.grant, at.project.id, one.id, firstTags) : undefined;
    return {
      id: one.id,
      name: one.name,
      path,
      project_id: one.projectId,
      location: `${deps.registry}/${path}`,
      created_at: isoTime(one.createdAt),
      cleanup_policy_started_at: null,
      status: null,
      ...(counted ? { tags_count: tagsCount ?? tags?.total ?? 0 } : {}),
      ...(wanted ? { tags: (tags?.rows ?? []).map((tag) => tagBrief(at, one, tag.name)) } : {}),
    };
  };
  const found = async (call: Call): Promise<ImageRepository> => {
    const one = await registry.repository(call.grant, call.project.id, idOf(call));
    if (one === undefined) throw missing();
    return one;
  };

  return {
    [`GET ${R}`]: async (call) => {
      const page = pageOf(call.params);
      const { rows, total } = await registry.repositories(call.grant, call.project.id, page);
      const body = await Promise.all(rows.map((one) => shown(call, one, call.params, one.tagsCount)));
      return { body, headers: pageHeaders(page, total, call.url) };
    },
    // The repository alone is named: its project is looked up first, and decided on like any other.
    'GET /api/v4/registry/repositories/:repository_id': async (call) => {
      const projectId = await registry.projectOf(idOf(call));
      const project = projectId === undefined ? undefined : await deps.directory.project(null, projectId);
      const grant = await call.admit([
        { permission: 'container:read', resource: { kind: 'project', id: project?.id ?? (nobody as ProjectId) } },
      ]);
      const one = project === undefined ? undefined : await registry.repository(grant, project.id, idOf(call));
      if (project === undefined || one === undefined) throw missing();
      return { body: await shown({ grant, project }, one, call.params) };
    },
    [`GET ${R}/:repository_id`]: async (call) => ({ body: await shown(call, await found(call), call.params) }),
    [`DELETE ${R}/:repository_id`]: async (call) => {
      if (!(await registry.deleteRepository(call.grant, call.project.id, idOf(call)))) throw missing();
      return { status: 202 };
    },
    [`GET ${R}/:repository_id/tags`]: async (call) => {
      const page = pageOf(call.params);
      const one = await found(call);
      const tags = await registry.tagList(call.grant, call.project.id, one.id, page);
      if (tags === undefined) throw missing();
      return { body: tags.rows.map((tag) => tagBrief(call, one, tag.name)), headers: pageHeaders(page, tags.total, call.url) };
    },
    [`GET ${R}/:repository_id/tags/:tag_name`]: async (call) => {
      const one = await found(call);
      const tag = await registry.tag(call.grant, call.project.id, one.id, call.path('tag_name'));
      const manifest = tag === undefined ? undefined : await registry.manifest(call.grant, one, tag.digest);
      if (tag === undefined || manifest === undefined) throw missing();
      const revision = configOf(manifest.bytes);
      return {
        body: {
          ...tagBrief(call, one, tag.name),
          revision,
          short_revision: revision?.slice(0, 9) ?? null,
          digest: tag.digest,
          created_at: isoTime(tag.createdAt),
          total_size: tag.totalSizeBytes,
        },
      };
    },
    [`DELETE ${R}/:repository_id/tags/:tag_name`]: async (call) => {
      const one = await found(call);
      // A digest is no name of a tag: deleting the manifest itself takes more rights.
      const tag = await registry.tag(call.grant, call.project.id, one.id, call.path('tag_name'));
      if (tag === undefined || !(await registry.deleteManifest(call.grant, one, tag.name))) throw missing();
      return { status: 200 };
    },
  };
}

const firstTags = { page: 1, perPage: limits.pageSize };

/** GitLab's "revision" of an image: the digits of its configuration's digest; an index has none. */
function configOf(manifest: Buffer): string | null {
  const { config } = JSON.parse(manifest.toString('utf8')) as { readonly config?: { readonly digest?: unknown } };
  return typeof config?.digest === 'string' ? config.digest.replace(/^\w+:/, '') : null;
}
