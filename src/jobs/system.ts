import { JobpassError } from '../base/errors.ts';
import type { PassId, ProjectId, UserId } from '../base/ids.ts';
import type { Grant, Permission, SystemReason } from '../pass/grant.ts';
import type { JobsDeps } from './deps.ts';

/**
 * The server's own work on a project, reading its repository where nothing else is named, under a grant from the closed list that is settled with the outcome.
 * @throws internal where the list does not have it
 */
export async function asSystem<Result>(
  deps: Pick<JobsDeps, 'gatekeeper'>,
  reason: SystemReason,
  project: ProjectId,
  requestId: string,
  work: (grant: Grant) => Promise<Result>,
  permission: Permission = 'repository:read',
): Promise<Result> {
  const { gatekeeper } = deps;
  const admission = await gatekeeper.admit({ kind: 'system', reason }, [{ permission, resource: { kind: 'project', id: project } }], {
    door: 'jobs',
    endpoint: reason,
    requestId,
    secure: true,
  });
  if (!admission.ok) throw new JobpassError('internal', {}, new Error(`the system may not ${reason}: ${admission.refusal.message}`));
  try {
    const result = await work(admission.grant);
    await gatekeeper.settle(admission.grant, 'done');
    return result;
  } catch (error) {
    await gatekeeper.settle(admission.grant, 'failed');
    throw error;
  }
}

/**
 * A grant to read a project's repository, if everybody behind a pipeline may do that now, within the pass that started it where one did.
 * Whoever gets it settles it.
 * @returns undefined where one of them may not, and where there is no such project: the two look alike (R11)
 */
export async function asCreators(
  deps: Pick<JobsDeps, 'gatekeeper'>,
  { users, passId }: { readonly users: readonly UserId[]; readonly passId: PassId | null },
  project: ProjectId,
  requestId: string,
): Promise<Grant | undefined> {
  const admission = await deps.gatekeeper.admit(
    { kind: 'creators', users, passId },
    [{ permission: 'repository:read', resource: { kind: 'project', id: project } }],
    { door: 'jobs', endpoint: 'include', requestId, secure: true },
  );
  return admission.ok ? admission.grant : undefined;
}
