import type { UserId } from '../base/ids.ts';
import { JobpassError } from '../base/errors.ts';
import { type Grant, verifyGrant } from '../pass/grant.ts';
import type { ProjectFacts } from '../ports/directory.ts';
import type { BoundOwner } from '../ports/exposure.ts';
import type { MaybeTx } from '../ports/tx.ts';
import type { Exposure } from '../wire/runner.ts';
import type { JobsDeps } from './deps.ts';
import type { ExposureBound } from './exposure.ts';

/** What a project, or a user for the jobs that it starts, lets scripts see of their pass (R7). */
export interface Bounds {
  /** project:read on the project, self:read for the user itself. */
  maximum(grant: Grant, owner: BoundOwner): Promise<Exposure | null>;
  /** null = back to the level above. project:settings on the project, self:settings for the user itself. */
  setMaximum(grant: Grant, owner: BoundOwner, maximum: Exposure | null): Promise<void>;
}

export function makeBounds(deps: Pick<JobsDeps, 'exposureBounds' | 'transactor'>): Bounds {
  const check = (grant: Grant, owner: BoundOwner, project: 'project:read' | 'project:settings', self: 'self:read' | 'self:settings') => {
    if (owner.kind === 'project') return verifyGrant(grant, project, owner);
    verifyGrant(grant, self, { kind: 'instance' });
    if (grant.principals[0] !== owner.id) throw new JobpassError('internal');
  };
  return {
    maximum(grant, owner) {
      check(grant, owner, 'project:read', 'self:read');
      return deps.exposureBounds.of(null, owner);
    },
    async setMaximum(grant, owner, maximum) {
      check(grant, owner, 'project:settings', 'self:settings');
      await deps.transactor.write(async (tx) => {
        await grant.confirm(tx);
        await deps.exposureBounds.set(tx, owner, maximum);
      });
    },
  };
}

/** All that bound a job, the widest level first. */
export async function boundsOf(deps: JobsDeps, tx: MaybeTx, project: ProjectFacts, starter: UserId): Promise<readonly ExposureBound[]> {
  return [
    { by: 'the instance', maximum: deps.instance.maxExposure },
    { by: 'the project', maximum: await deps.exposureBounds.of(tx, { kind: 'project', id: project.id }) },
    { by: 'who started it', maximum: await deps.exposureBounds.of(tx, { kind: 'user', id: starter }) },
  ];
}
