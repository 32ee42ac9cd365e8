import { JobpassError } from '../base/errors.ts';
import type { UserId } from '../base/ids.ts';
import { limits } from '../base/limits.ts';
import type { Page, Paged } from '../base/page.ts';
import type { Seal } from '../base/seal.ts';
import type { Secret } from '../base/secret.ts';
import { type Grant, type Permission, verifyGrant } from '../pass/grant.ts';
import type { Tx } from '../ports/tx.ts';
import type { NewVariable, VariableChange, VariableOwner, VariableRecord, VariableStore } from '../ports/variables.ts';
import type { JobsDeps } from './deps.ts';

/** A variable as its owners see it; the value of a hidden one is never shown again. */
export interface CiVariable extends Omit<VariableRecord, 'sealed' | 'id' | 'sizeBytes' | 'setBy'> {
  readonly value: Secret | null;
}
export interface VariableInput extends Omit<NewVariable, 'sealed' | 'sizeBytes' | 'createdAt' | 'setBy'> {
  readonly value: Secret;
}
export type VariableEdit = Omit<VariableChange, 'sealed' | 'sizeBytes' | 'setBy'> & { readonly value?: Secret };

/** CI/CD variables of the instance, of groups and of projects. Values are sealed at rest, and no error, log or audit row has one. */
export interface CiVariables {
  list(grant: Grant, owner: VariableOwner, page: Page): Promise<Paged<CiVariable>>;
  /** @throws not_found, conflict (several scopes have the key, and none was named) */
  one(grant: Grant, owner: VariableOwner, key: string, scope: string | undefined): Promise<CiVariable>;
  /** @throws invalid_input */
  create(grant: Grant, owner: VariableOwner, given: VariableInput): Promise<CiVariable>;
  /** @throws not_found, conflict, invalid_input */
  change(grant: Grant, owner: VariableOwner, key: string, scope: string | undefined, edit: VariableEdit): Promise<CiVariable>;
  /** @throws not_found, conflict */
  remove(grant: Grant, owner: VariableOwner, key: string, scope: string | undefined): Promise<void>;
}

const rights: Readonly<Record<VariableOwner['kind'], { readonly read: Permission; readonly write: Permission }>> = {
  instance: { read: 'instance:settings', write: 'instance:settings' },
  group: { read: 'group_variable:read', write: 'group_variable:write' },
  project: { read: 'variable:read', write: 'variable:write' },
};

type Deps = Pick<JobsDeps, 'variables' | 'seal' | 'transactor' | 'clock' | 'directory'>;

export function makeCiVariables({ variables, seal, transactor, clock, directory }: Deps): CiVariables {
  const check = (grant: Grant, owner: VariableOwner, action: 'read' | 'write'): void =>
    verifyGrant(grant, rights[owner.kind][action], owner);
  const shown = ({ sealed, id: _id, sizeBytes: _size, setBy: _setBy, ...rest }: VariableRecord): CiVariable => ({
    ...rest,
    value: rest.hidden ? null : opened(seal, { ...rest, sealed }),
  });
  /** Whoever sets a variable steers the jobs that get it. */
  const setterOf = async (tx: Tx, grant: Grant): Promise<UserId | null> => {
    const [actor] = grant.principals;
    if (actor === undefined) throw new JobpassError('access_denied');
    return (await directory.users(tx, [actor])).get(actor)?.isAdmin === true ? null : actor;
  };
  const write = async <Result>(grant: Grant, owner: VariableOwner, work: (tx: Tx) => Promise<Result>): Promise<Result> => {
    check(grant, owner, 'write');
    return transactor.write(async (tx) => {
      await grant.confirm(tx);
      return work(tx);
    });
  };
  return {
    async list(grant, owner, page) {
      check(grant, owner, 'read');
      const found = await variables.list(null, owner, page);
      return { rows: found.rows.map(shown), total: found.total };
    },
    async one(grant, owner, key, scope) {
      check(grant, owner, 'read');
      return shown(theOne(await variables.byKey(null, owner, key), scope));
    },
    create: (grant, owner, { value, ...given }) =>
      write(grant, owner, async (tx) => {
        checkFields(given);
        checkValue(value, given);
        await checkRoom(variables, tx, owner, value, undefined);
        await checkFree(variables, tx, owner, given.key, given.environmentScope);
        const kept = {
          sealed: seal.seal(value, placeOf(owner, given.key)),
          sizeBytes: sizeOf(value),
          createdAt: clock.now(),
          setBy: await setterOf(tx, grant),
        };
        return shown(await variables.insert(tx, owner, { ...given, ...kept }));
      }),
    change: (grant, owner, key, scope, { value, ...edit }) =>
      write(grant, owner, async (tx) => {
        const known = theOne(await variables.byKey(tx, owner, key), scope);
        const next = { ...known, ...edit };
        if (known.hidden && !next.masked) throw fieldError('masked', 'cannot be taken from a hidden variable: make a new one');
        checkFields(next);
        if (value !== undefined || next.masked !== known.masked || next.raw !== known.raw) checkValue(value ?? opened(seal, known), next);
        if (value !== undefined) await checkRoom(variables, tx, owner, value, known);
        if (next.environmentScope !== known.environmentScope) await checkFree(variables, tx, owner, key, next.environmentScope);
        const kept = value === undefined ? {} : { sealed: seal.seal(value, placeOf(owner, key)), sizeBytes: sizeOf(value) };
        return shown(await variables.change(tx, known.id, { ...edit, ...kept, setBy: await setterOf(tx, grant) }));
      }),
    remove: (grant, owner, key, scope) =>
      write(grant, owner, async (tx) => variables.remove(tx, theOne(await variables.byKey(tx, owner, key), scope).id)),
  };
}

/** The value. @throws unprocessable where another installation sealed it, or somebody moved it: it is nothing then, not a value (R13) */
export function opened(seal: Seal, { sealed, owner, key }: Pick<VariableRecord, 'sealed' | 'owner' | 'key'>): Secret {
  const value = seal.open(sealed, placeOf(owner, key));
  if (value !== undefined) return value;
  throw new JobpassError(
    'unprocessable',
    `The variable ${key} cannot be opened: seal.key of the data folder is not the one that it was kept with.`,
  );
}

function placeOf(owner: VariableOwner, key: string): string {
  return `${owner.kind}:${owner.kind === 'instance' ? 0 : owner.id}:${key}`;
}

function sizeOf(value: Secret): number {
  return Buffer.byteLength(value.reveal());
}

function theOne(found: readonly VariableRecord[], scope: string | undefined): VariableRecord {
  const [one, ...others] = scope === undefined ? found : found.filter(({ environmentScope }) => environmentScope === scope);
  if (one === undefined) throw new JobpassError('not_found', { what: 'Variable' });
  if (others.length > 0)
    throw new JobpassError('conflict', "There are multiple variables with provided parameters. Please use 'filter[environment_scope]'");
  return one;
}

function fieldError(field: string, what: string): JobpassError {
  return new JobpassError('invalid_input', { fields: { [field]: [what] } });
}

function checkFields({ key, environmentScope, description }: Pick<NewVariable, 'key' | 'environmentScope' | 'description'>): void {
  if (!/^[A-Za-z_][A-Za-z0-9_]{0,254}$/.test(key))
    throw fieldError('key', 'can contain only letters, digits and `_`, does not start with a digit, and has at most 255 characters');
  if (!/^[\w*/${}. -]{1,255}$/.test(environmentScope))
    throw fieldError('environment_scope', 'is the name of an environment, with `*` for any text');
  if (description !== null && description.length > 255) throw fieldError('description', 'is too long (maximum is 255 characters)');
}

/** What is masked must be findable in a log, and not be found everywhere. @see GitLab CI/CD, "Mask a CI/CD variable" */
function checkValue(value: Secret, { masked, raw }: Pick<NewVariable, 'masked' | 'raw'>): void {
  const text = value.reveal();
  if (text.length > limits.keptVariableCharacters)
    throw fieldError('value', `is too long (maximum is ${limits.keptVariableCharacters} characters)`);
  if (text.includes('\0')) throw fieldError('value', 'contains a null byte');
  if (!masked) return;
  if (!/^\S{8,}$/.test(text)) throw fieldError('value', 'is invalid: to be masked it is one line of at least 8 characters without spaces');
  if (!raw && !/^[a-zA-Z0-9_+=/@:.~-]+$/.test(text))
    throw fieldError('value', 'is invalid: to be masked it has only letters, digits and _ + = / @ : . ~ -, or `raw` is true');
}

async function checkFree(variables: VariableStore, tx: Tx, owner: VariableOwner, key: string, scope: string): Promise<void> {
  const found = await variables.byKey(tx, owner, key);
  if (found.some(({ environmentScope }) => environmentScope === scope)) throw fieldError('key', `(${key}) has already been taken`);
}

async function checkRoom(
  variables: VariableStore,
  tx: Tx,
  owner: VariableOwner,
  value: Secret,
  known: VariableRecord | undefined,
): Promise<void> {
  const { count, bytes } = await variables.tally(tx, owner);
  if (known === undefined && count >= limits.variablesPerOwner)
    throw new JobpassError(
      'invalid_input',
      `There are ${count} variables already, and more than ${limits.variablesPerOwner} are not kept for one owner.`,
    );
  if (bytes - (known?.sizeBytes ?? 0) + sizeOf(value) > limits.variableBytesPerOwner)
    throw new JobpassError(
      'invalid_input',
      `The values of one owner's variables have at most ${limits.variableBytesPerOwner} bytes together.`,
    );
}
