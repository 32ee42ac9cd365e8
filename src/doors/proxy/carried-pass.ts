import { JobpassError } from '../../base/errors.ts';
import type { JobId, UserId } from '../../base/ids.ts';
import type { Grant } from '../../pass/grant.ts';

/** Who a request is carried for. */
export type PassIdentity = Extract<Grant['identity'], { kind: 'pass' }>;

/** The forge answers as one user only. @throws access_denied */
export function onePrincipal(grant: Grant): void {
  if (principalsOf(grant).length > 1)
    throw new JobpassError(
      'access_denied',
      'This pass has the rights of several people: through the gateway it reads, and pushes to unprotected branches; it changes nothing else.',
    );
}

/** The pass, or the fetch pass by which an assisted runner's job token is honoured. */
export function passOf({ identity }: Grant): PassIdentity {
  const pass = identity.kind === 'pass' ? identity : identity.kind === 'job' ? identity.assist : undefined;
  if (pass === undefined) throw new JobpassError('internal', {}, new Error('only passes are carried'));
  return pass;
}

export function jobOf(grant: Grant): JobId {
  return passOf(grant).jobId;
}

export function principalsOf(grant: Grant): readonly UserId[] {
  return passOf(grant).principals;
}
