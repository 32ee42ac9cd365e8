import type { Access } from '../../pass/subject.ts';
import { namePlaces } from '../../pass/name-places.ts';
import { permissionWords } from '../../pass/permission-words.ts';
import type { Ceiling } from '../../pass/ceiling-document.ts';
import type { CeilingOwner } from '../../ports/ceilings.ts';
import { actorId } from './actor.ts';
import { ParamError } from './errors.ts';
import type { Jobs } from '../../jobs/jobs.ts';
import type { Directory } from '../../ports/directory.ts';
import type { Call, RouteTable } from './route.ts';

export interface CeilingRouteDeps {
  readonly directory: Directory;
  readonly jobs: Pick<Jobs, 'ceilings'>;
}

/** Ours: what passes may do at most (DESIGN R4). `{"permissions": ["code:*"], "projects": ["group/app", "tools/*"]}`; without `projects` everywhere. */
export function ceilingRoutes(deps: CeilingRouteDeps): RouteTable {
  const { ceilings } = deps.jobs;
  const levels: Readonly<Record<string, (call: Call) => CeilingOwner>> = {
    '/api/v4/jobpass/ceiling': () => ({ kind: 'instance' }),
    '/api/v4/groups/:id/jobpass/ceiling': (call) => ({ kind: 'group', id: call.group.id }),
    '/api/v4/projects/:id/jobpass/ceiling': (call) => ({ kind: 'project', id: call.project.id }),
    '/api/v4/user/jobpass/ceiling': (call) => ({ kind: 'user', id: actorId(call.grant) }),
  };
  const routes: Record<string, RouteTable[string]> = {};
  for (const [path, ownerOf] of Object.entries(levels)) {
    routes[`GET ${path}`] = async (call) => ({ body: shown(await ceilings.get(call.grant, ownerOf(call))) });
    routes[`PUT ${path}`] = async (call) => {
      // The endpoint's own grant, before more is asked for.
      const { grant } = call;
      const owner = ownerOf(call);
      const ceiling = await ceilingIn(deps, call);
      await ceilings.set(grant, owner, ceiling);
      return { body: shown(ceiling) };
    };
    routes[`DELETE ${path}`] = async (call) => {
      await ceilings.set(call.grant, ownerOf(call), null);
      return { status: 204 };
    };
  }
  return routes;
}

function shown(ceiling: Ceiling | null | 'unreadable') {
  if (ceiling === null) return { set: false };
  if (ceiling === 'unreadable') return { set: true, readable: false };
  const { permissions, places } = ceiling;
  return {
    set: true,
    readable: true,
    permissions,
    project_ids: places === null ? null : places.projectIds,
    group_ids: places === null ? null : places.groupIds,
  };
}

async function ceilingIn(deps: CeilingRouteDeps, { params, admit }: Call): Promise<Ceiling> {
  const given = params.words('permissions');
  if (given === undefined || given.length === 0) throw new ParamError('permissions is missing');
  const read = permissionWords(given.join(' '));
  if ('odd' in read) throw new ParamError(`permissions: there is no permission ${JSON.stringify(read.odd)}`);
  const names = params.words('projects');
  if (names === undefined) return { permissions: read.words, places: null };
  const { places, unknown } = await namePlaces(deps.directory, names);
  const asks: Access[] = [
    ...places.projectIds.map((id) => ({ permission: 'project:read', resource: { kind: 'project', id } }) as const),
    ...places.groupIds.map((id) => ({ permission: 'group:read', resource: { kind: 'group', id } }) as const),
  ];
  const seen =
    asks.length === 0 ||
    (await admit(asks).then(
      () => true,
      () => false,
    ));
  // What is hidden from who asks is answered like what is not there (A41).
  if (unknown.length > 0 || !seen)
    throw new ParamError('projects: one of them is not there, or you may not see it (a project: group/name; all of a group: group/*)');
  return { permissions: read.words, places };
}
