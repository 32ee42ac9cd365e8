import { digestOf } from '../base/secret.ts';
import type { JobId } from '../base/ids.ts';
import { outsideOnlyOf, type Principals } from './principals.ts';

/**
 * What keeps caches and reused checkouts of a project apart (R15): the trust tier of the job's ref and, in 16 hex digits, everybody who stands behind the job.
 * Where that cannot be told the job shares with nobody.
 */
export function inputsKey(isProtected: boolean, principals: Principals, job: JobId): string {
  // Whose rights bound a job only outside its group has more say at home in another, which must not prepare this one's inputs.
  const outside = new Set(outsideOnlyOf(principals.list));
  const ids = principals.list.map(({ userId }) => userId).toSorted((one, other) => one - other);
  const whose = principals.ownProjectOnly
    ? `job ${job}`
    : ids.map((user) => (outside.has(user) ? `${user} outside` : String(user))).join(',');
  return `${isProtected ? 'protected' : 'non_protected'}-${digestOf(whose).slice(0, 16)}`;
}
