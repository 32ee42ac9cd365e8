import type { Clock } from '../base/clock.ts';
import { JobpassError } from '../base/errors.ts';
import type { EpochMillis } from '../base/ids.ts';
import { newPassToken } from '../base/pass-token.ts';
import type { Secret } from '../base/secret.ts';
import { ceilingLimits, isPermissionPattern } from '../policy/ceiling.ts';
import type { Access } from '../policy/access.ts';
import type { Directory } from '../ports/directory.ts';
import type { PassLimit, PassStore } from '../ports/passes.ts';
import type { Transactor } from '../ports/tx.ts';
import type { Grant } from './grant.ts';
import { namePlaces } from './name-places.ts';

export interface ExchangeDeps {
  readonly directory: Directory;
  readonly passes: PassStore;
  readonly transactor: Transactor;
  readonly clock: Clock;
}

export interface ExchangeRequest {
  /** Permissions and patterns; what the parent does not hold stays out of reach anyway. */
  readonly permissions: readonly string[];
  /** Projects by path or number, groups as `group/*`; none = wherever the parent reaches. */
  readonly places: readonly string[];
  /** Shorter than the parent's; undefined = the parent's. */
  readonly lifetimeSeconds: number | undefined;
}

export interface Exchanged {
  readonly secret: Secret;
  readonly expiresAt: EpochMillis;
  readonly permissions: readonly string[];
}

/**
 * Makes a child of a pass that may do less (R9): it has every limit of its parent and one more, dies with parent and job, and ends no later. The ids of
 * its places are fixed here; a name that comes to mean something else gives nothing (A47).
 * @param parent the grant of pass:self that the parent got
 * @param mayKnow whether the parent may know of a place; what it may not, is answered like what is not there (A41)
 * @throws invalid_input, access_denied, rate_limited, pass_dead
 */
export async function exchangePass(
  deps: ExchangeDeps,
  parent: Grant,
  request: ExchangeRequest,
  mayKnow: (accesses: readonly Access[]) => Promise<boolean>,
): Promise<Exchanged> {
  const { identity } = parent;
  if (identity.kind !== 'pass') throw new JobpassError('invalid_input', 'The subject token is not a pass.');
  if (identity.passKind === 'fetch')
    throw new JobpassError('access_denied', "A fetch pass is the runner's own, and is given back before the script: it has no children.");
  if (request.permissions.length === 0)
    throw new JobpassError('invalid_input', 'Say in `scope` what the narrowed pass may do, such as `code:download`.');
  const odd = request.permissions.find((pattern) => !isPermissionPattern(pattern));
  if (odd !== undefined) throw new JobpassError('invalid_input', `There is no permission ${JSON.stringify(odd.slice(0, 100))}.`);
  if (request.permissions.length + request.places.length > ceilingLimits.entries)
    throw new JobpassError('too_large', `At most ${ceilingLimits.entries} permissions and places.`);
  const limit = await limitOf(deps, request, mayKnow);
  const secret = newPassToken('narrowed');
  return deps.transactor.write(async (tx) => {
    await parent.confirm(tx);
    const row = await deps.passes.byId(tx, identity.passId);
    if (row === undefined) throw new JobpassError('pass_dead');
    const family = await deps.passes.forJob(tx, row.jobId);
    const limits = row.limits ?? [];
    if (limits.filter(({ rule }) => rule === 'R9').length >= ceilingLimits.depth)
      throw new JobpassError('access_denied', `A pass is narrowed ${ceilingLimits.depth} times at most, one below the other.`);
    if (family.filter((one) => one.kind === 'narrowed').length >= ceilingLimits.children)
      throw new JobpassError('rate_limited', `A job makes ${ceilingLimits.children} narrowed passes at most.`);
    const now = deps.clock.now();
    const wanted = request.lifetimeSeconds === undefined ? row.expiresAt : now + request.lifetimeSeconds * 1000;
    const expiresAt = Math.min(row.expiresAt, wanted) as EpochMillis;
    const { jobId, pipelineId, projectId, sha, principals, ownProjectOnly, chainDepth } = row;
    await deps.passes.insert(tx, {
      kind: 'narrowed',
      digest: secret.digest(),
      jobId,
      pipelineId,
      projectId,
      sha,
      parentId: row.id,
      principals,
      ownProjectOnly,
      chainDepth,
      limits: [...limits, limit],
      issuedAt: now,
      expiresAt,
    });
    return { secret, expiresAt, permissions: limit.permissions };
  });
}

async function limitOf(
  deps: ExchangeDeps,
  { permissions, places }: ExchangeRequest,
  mayKnow: (accesses: readonly Access[]) => Promise<boolean>,
): Promise<PassLimit> {
  const own = { by: 'the narrowed pass', permissions, rule: 'R9' } as const;
  if (places.length === 0) return { ...own, places: null };
  const named = await namePlaces(deps.directory, places);
  const asks: Access[] = [
    ...named.places.projectIds.map((id) => ({ permission: 'project:read', resource: { kind: 'project', id } }) as const),
    ...named.places.groupIds.map((id) => ({ permission: 'group:read', resource: { kind: 'group', id } }) as const),
  ];
  // Its parent may not see one of them, or there is no such thing: nobody can tell which.
  if (named.unknown.length > 0 || !(await mayKnow(asks)))
    throw new JobpassError('invalid_input', 'One of the named projects or groups is not there, or the pass may not see it.');
  return { ...own, places: named.places };
}
