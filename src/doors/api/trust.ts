import { JobpassError } from '../../base/errors.ts';
import { parseId, type ProjectId } from '../../base/ids.ts';
import type { Jobs } from '../../jobs/jobs.ts';
import type { Access } from '../../pass/subject.ts';
import type { RouteTable } from './route.ts';

const settings: Access = { permission: 'self:settings', resource: { kind: 'instance' } };

/** Ours: the projects whose protected refs a user trusts, whoever last merged there (DESIGN R3). */
export function trustRoutes({ jobs: { trust } }: { readonly jobs: Pick<Jobs, 'trust'> }): RouteTable {
  const path = '/api/v4/user/jobpass/trusted_projects';
  return {
    [`GET ${path}`]: async ({ grant }) => ({ body: (await trust.list(grant)).map((id) => ({ id })) }),
    [`PUT ${path}/:id`]: async ({ project, admit }) => {
      const read: Access = { permission: 'project:read', resource: { kind: 'project', id: project.id } };
      await trust.add(await admit([settings, read]), project.id);
      return { body: { id: project.id, path_with_namespace: project.path } };
    },
    // By number: a project that the user no longer sees can still be taken off.
    [`DELETE ${path}/:id`]: async ({ grant, path: value }) => {
      const project = parseId<ProjectId>(value('id'));
      if (project === undefined || !(await trust.remove(grant, project))) throw new JobpassError('not_found', { what: 'Project' });
      return { status: 204 };
    },
  };
}
