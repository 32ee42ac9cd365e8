import { isJobpassError, type JobpassError } from '../base/errors.ts';
import type { ProjectId } from '../base/ids.ts';
import type { Secret } from '../base/secret.ts';
import type { GivenVariable } from '../pipeline/given.ts';
import type { VariableRecord } from '../ports/variables.ts';
import type { JobsDeps } from './deps.ts';
import { scopeCovers, scopeRank } from './environment-scope.ts';
import { opened } from './variables.ts';

/** A variable of the instance, a group or the project, for one job. */
export interface KeptVariable extends Pick<VariableRecord, 'key' | 'type' | 'masked' | 'protected' | 'raw' | 'owner' | 'setBy'> {
  readonly value: Secret;
}

/**
 * What a job of the project is given of what is kept for it: protected ones on protected refs only, and those of the job's environment. Each name once; the
 * nearest owner's wins, and of one owner's the scope that says more.
 * @throws unprocessable where one cannot be opened
 */
export async function keptVariables(
  deps: Pick<JobsDeps, 'variables' | 'seal'>,
  project: ProjectId,
  at: { readonly protected: boolean; readonly environment: string | undefined },
): Promise<readonly KeptVariable[]> {
  return (await keptByEnvironment(deps, project, at.protected))(at.environment);
}

/** The same for a whole pipeline, whose jobs may be of many environments. What it returns throws unprocessable as `keptVariables` does. */
export async function keptByEnvironment(
  { variables, seal }: Pick<JobsDeps, 'variables' | 'seal'>,
  project: ProjectId,
  guarded: boolean,
): Promise<(environment: string | undefined) => readonly KeptVariable[]> {
  const reaching = (await variables.reaching(null, project)).filter((one) => !one.protected || guarded);
  const known = new Map<string | undefined, readonly KeptVariable[]>();
  return (environment) => {
    const found = known.get(environment) ?? chosenFor(reaching, environment).map((one) => openedOne(seal, one));
    known.set(environment, found);
    return found;
  };
}

/** As a plan takes it. */
export function givenKept({ key, value, raw, type, masked }: KeptVariable): GivenVariable {
  return { key, value: value.reveal(), raw: raw || type === 'file', secret: masked };
}

function chosenFor(reaching: readonly VariableRecord[], environment: string | undefined): readonly VariableRecord[] {
  const chosen = new Map<string, VariableRecord>();
  for (const one of reaching.filter(({ environmentScope }) => scopeCovers(environmentScope, environment))) {
    const known = chosen.get(one.key);
    const sameOwner = known !== undefined && known.owner.kind === one.owner.kind && idOf(known) === idOf(one);
    if (!sameOwner || scopeRank(one.environmentScope) >= scopeRank(known.environmentScope)) chosen.set(one.key, one);
  }
  return [...chosen.values()];
}

function openedOne(
  seal: JobsDeps['seal'],
  { key, type, masked, protected: guarded, raw, owner, sealed, setBy }: VariableRecord,
): KeptVariable {
  return { key, type, masked, protected: guarded, raw, owner, setBy, value: opened(seal, { key, owner, sealed }) };
}

function idOf({ owner }: VariableRecord): number {
  return owner.kind === 'instance' ? 0 : owner.id;
}

/** Why a variable is not there, in words, for whoever needs it. */
export function unopened(error: unknown): JobpassError {
  if (isJobpassError(error, 'unprocessable')) return error;
  throw error;
}
