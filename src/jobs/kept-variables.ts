import { isJobpassError, type JobpassError } from '../base/errors.ts';
import type { ProjectId } from '../base/ids.ts';
import type { Secret } from '../base/secret.ts';
import type { VariableRecord } from '../ports/variables.ts';
import type { JobsDeps } from './deps.ts';
import { scopeCovers, scopeRank } from './environment-scope.ts';
import { opened } from './variables.ts';

/** A variable of the instance, a group or the project, for one job. */
export interface KeptVariable extends Pick<VariableRecord, 'key' | 'type' | 'masked' | 'raw' | 'owner' | 'setBy'> {
  readonly value: Secret;
}

/**
 * What a job of the project is given of what is kept for it: protected ones on protected refs only, and those of the job's environment. Each name once; the
 * nearest owner's wins, and of one owner's the scope that says more.
 * @throws unprocessable where one cannot be opened
 */
export async function keptVariables(
  { variables, seal }: Pick<JobsDeps, 'variables' | 'seal'>,
  project: ProjectId,
  at: { readonly protected: boolean; readonly environment: string | undefined },
): Promise<readonly KeptVariable[]> {
  const reaching = (await variables.reaching(null, project)).filter(
    (one) => (!one.protected || at.protected) && scopeCovers(one.environmentScope, at.environment),
  );
  const chosen = new Map<string, VariableRecord>();
  for (const one of reaching) {
    const known = chosen.get(one.key);
    const sameOwner = known !== undefined && known.owner.kind === one.owner.kind && idOf(known) === idOf(one);
    if (!sameOwner || scopeRank(one.environmentScope) >= scopeRank(known.environmentScope)) chosen.set(one.key, one);
  }
  return [...chosen.values()].map(({ key, type, masked, raw, owner, sealed, setBy }) => ({
    key,
    type,
    masked,
    raw,
    owner,
    setBy,
    value: opened(seal, { key, owner, sealed }),
  }));
}

function idOf({ owner }: VariableRecord): number {
  return owner.kind === 'instance' ? 0 : owner.id;
}

/** Why a variable is not there, in words, for whoever needs it. */
export function unopened(error: unknown): JobpassError {
  if (isJobpassError(error, 'unprocessable')) return error;
  throw error;
}
