import type { Clock } from '../base/clock.ts';
import { JobpassError } from '../base/errors.ts';
import { millis } from '../base/ids.ts';
import { limits } from '../base/limits.ts';
import { newRegistryToken } from '../base/registry-token.ts';
import type { Secret } from '../base/secret.ts';
import type { Access } from '../policy/access.ts';
import type { Permission } from '../policy/permissions.ts';
import type { ImageAction, RegistryToken, RegistryTokens } from '../ports/registry-tokens.ts';
import type { Transactor } from '../ports/tx.ts';
import type { Grant } from './grant.ts';
import type { Refusal, Subject } from './subject.ts';

const actionOf: ReadonlyMap<Permission, ImageAction> = new Map([
  ['container:read', 'pull'],
  ['container:push', 'push'],
  ['container:admin', 'delete'],
]);

/** What a registry token does not reach, whatever its identity may: it was asked for less. @returns undefined where all is within */
export function beyondScope(scope: RegistryToken['scope'] | undefined, accesses: readonly Access[]): Refusal | undefined {
  if (scope === undefined) return undefined;
  const within = accesses.every(({ permission, resource }) => {
    if (permission === 'registry:login') return true;
    const action = actionOf.get(permission);
    return (
      action !== undefined &&
      resource.kind === 'project' &&
      scope.some((entry) => entry.projectId === resource.id && entry.actions.includes(action))
    );
  });
  if (within) return undefined;
  return {
    code: 'scope_insufficient',
    rule: 'R9',
    message: 'The registry token was not issued for this; ask for one with the right scope.',
  };
}

export interface RegistryTokenDeps {
  readonly registryTokens: RegistryTokens;
  readonly transactor: Transactor;
  readonly clock: Clock;
}

/**
 * Makes the token that a registry client carries from now on. Nothing of the credential is in it: the row names it by its digest (A48).
 * @param login the grant of registry:login that the same credential got
 */
export async function issueRegistryToken(
  deps: RegistryTokenDeps,
  login: Grant,
  subject: Subject,
  scope: RegistryToken['scope'],
): Promise<Secret> {
  const secret = newRegistryToken();
  const now = deps.clock.now();
  const { kind } = login.identity;
  if (subject.kind !== 'secret' || (kind !== 'pass' && kind !== 'user' && kind !== 'job')) throw new JobpassError('internal');
  const parent = { kind, digest: subject.secret.digest() };
  await deps.transactor.write(async (tx) => {
    await login.confirm(tx);
    await deps.registryTokens.insert(tx, secret.digest(), { parent, scope, expiresAt: millis(now + limits.registryTokenMs) });
    // Expired ones stay for as long as an upload that they began may take: what stands behind them is still asked at its end.
    await deps.registryTokens.sweep(tx, millis(now - limits.uploadIdleMs));
  });
  return secret;
}
