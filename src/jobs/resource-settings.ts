import { JobpassError } from '../base/errors.ts';
import type { JobId, ProjectId } from '../base/ids.ts';
import type { Page, Paged } from '../base/page.ts';
import { type Grant, verifyGrant } from '../pass/grant.ts';
import type { JobRecord, ProcessMode, ResourceGroup } from '../ports/jobs.ts';
import type { JobsDeps } from './deps.ts';

/** As many as one look shows of those that wait. */
const shownAtOnce = 100;

/** The resource groups of a project as people see and set them. */
export interface ResourceSettings {
  /** job:read. */
  list(grant: Grant, project: ProjectId, page: Page): Promise<Paged<ResourceGroup>>;
  /** job:read. */
  one(grant: Grant, project: ProjectId, key: string): Promise<ResourceGroup | undefined>;
  /** Who has it, and who waits or will wait for it; job:read. @throws not_found */
  jobs(
    grant: Grant,
    project: ProjectId,
    key: string,
  ): Promise<{ readonly holder: JobRecord | undefined; readonly upcoming: readonly JobRecord[] }>;
  /** resource_group:write. @throws not_found */
  setMode(grant: Grant, project: ProjectId, key: string, mode: ProcessMode): Promise<ResourceGroup>;
}

export function makeResourceSettings(deps: JobsDeps): ResourceSettings {
  const { resourceGroups, jobs } = deps;
  const found = async (project: ProjectId, key: string): Promise<ResourceGroup> => {
    const group = await resourceGroups.byKey(null, project, key);
    if (group === undefined) throw new JobpassError('not_found', {});
    return group;
  };
  const job = async (id: JobId | null): Promise<JobRecord | undefined> => (id === null ? undefined : jobs.job(null, id));
  return {
    list(grant, project, page) {
      verifyGrant(grant, 'job:read', { kind: 'project', id: project });
      return resourceGroups.list(null, project, page);
    },
    one(grant, project, key) {
      verifyGrant(grant, 'job:read', { kind: 'project', id: project });
      return resourceGroups.byKey(null, project, key);
    },
    async jobs(grant, project, key) {
      verifyGrant(grant, 'job:read', { kind: 'project', id: project });
      const group = await found(project, key);
      return { holder: await job(group.holderId), upcoming: await resourceGroups.upcoming(null, group, shownAtOnce) };
    },
    async setMode(grant, project, key, mode) {
      verifyGrant(grant, 'resource_group:write', { kind: 'project', id: project });
      const group = await found(project, key);
      await deps.transactor.write(async (tx) => {
        await grant.confirm(tx);
        await resourceGroups.setMode(tx, group.id, mode);
      });
      deps.wakeup.changed();
      return { ...group, processMode: mode };
    },
  };
}
