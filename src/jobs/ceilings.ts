import { JobpassError } from '../base/errors.ts';
import { type Grant, type Permission, verifyGrant } from '../pass/grant.ts';
import { type Ceiling, readCeiling } from '../pass/ceiling-document.ts';
import type { CeilingOwner } from '../ports/ceilings.ts';
import type { JobsDeps } from './deps.ts';

/** The limits that instance, groups, projects and users set to passes (R4). */
export interface CeilingSettings {
  /** @returns null = none was set; unreadable = it was, and allows nothing */
  get(grant: Grant, owner: CeilingOwner): Promise<Ceiling | null | 'unreadable'>;
  /** null = back to the level above. Counts from the next request on. */
  set(grant: Grant, owner: CeilingOwner, ceiling: Ceiling | null): Promise<void>;
}

const settingOf: Readonly<Record<CeilingOwner['kind'], Permission>> = {
  instance: 'instance:settings',
  group: 'group:settings',
  project: 'project:settings',
  user: 'self:settings',
};

export function makeCeilingSettings(deps: Pick<JobsDeps, 'ceilings' | 'transactor' | 'clock'>): CeilingSettings {
  // Also reading takes the right to set: names of hidden projects may stand in a ceiling.
  const check = (grant: Grant, owner: CeilingOwner): void => {
    const resource = owner.kind === 'project' || owner.kind === 'group' ? owner : ({ kind: 'instance' } as const);
    verifyGrant(grant, settingOf[owner.kind], resource);
    if (owner.kind === 'user' && grant.principals[0] !== owner.id) throw new JobpassError('internal');
  };
  return {
    async get(grant, owner) {
      check(grant, owner);
      const document = await deps.ceilings.of(null, owner);
      return document === undefined ? null : (readCeiling(document) ?? 'unreadable');
    },
    async set(grant, owner, ceiling) {
      check(grant, owner);
      await deps.transactor.write(async (tx) => {
        await grant.confirm(tx);
        await deps.ceilings.set(tx, owner, ceiling === null ? null : JSON.stringify(ceiling), deps.clock.now());
      });
    },
  };
}
