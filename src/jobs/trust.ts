import type { ProjectId, UserId } from '../base/ids.ts';
import { JobpassError } from '../base/errors.ts';
import { limits } from '../base/limits.ts';
import { type Grant, verifyGrant } from '../pass/grant.ts';
import type { JobsDeps } from './deps.ts';

/** A user's own list of projects that it allowed by name (R3). Reading needs self:read, changing self:settings. */
export interface TrustList {
  list(grant: Grant): Promise<readonly ProjectId[]>;
  /** Also needs project:read: nobody trusts what they cannot see. @throws too_large */
  add(grant: Grant, project: ProjectId): Promise<void>;
  /** @returns false where it was not there */
  remove(grant: Grant, project: ProjectId): Promise<boolean>;
}

export function makeTrustList({
  transactor,
  trustedProjects,
  clock,
}: Pick<JobsDeps, 'transactor' | 'trustedProjects' | 'clock'>): TrustList {
  const self = (grant: Grant, permission: 'self:read' | 'self:settings'): UserId => {
    verifyGrant(grant, permission, { kind: 'instance' });
    const [user] = grant.principals;
    if (user === undefined) throw new JobpassError('internal');
    return user;
  };
  return {
    list: (grant) => trustedProjects.list(null, self(grant, 'self:read')),
    async add(grant, project) {
      const user = self(grant, 'self:settings');
      verifyGrant(grant, 'project:read', { kind: 'project', id: project });
      await transactor.write(async (tx) => {
        await grant.confirm(tx);
        if ((await trustedProjects.list(tx, user)).length >= limits.trustedProjects)
          throw new JobpassError('too_large', `At most ${limits.trustedProjects} projects can be trusted by name.`);
        await trustedProjects.add(tx, user, project, clock.now());
      });
    },
    remove(grant, project) {
      const user = self(grant, 'self:settings');
      return transactor.write(async (tx) => {
        await grant.confirm(tx);
        return trustedProjects.remove(tx, user, project);
      });
    },
  };
}
