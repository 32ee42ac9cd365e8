import { present } from '../base/assert.ts';
import { JobpassError } from '../base/errors.ts';
import type { EpochMillis, ProjectId, TokenId } from '../base/ids.ts';
import { limits } from '../base/limits.ts';
import type { Page, Paged } from '../base/page.ts';
import { randomBase62, Secret } from '../base/secret.ts';
import { type Grant, type Permission, verifyGrant } from '../pass/grant.ts';
import type { TriggerRecord } from '../ports/triggers.ts';
import type { Tx } from '../ports/tx.ts';
import type { JobsDeps } from './deps.ts';

/** Trigger tokens of a project; trigger:read and trigger:write, never a pass's (R5). */
export interface Triggers {
  list(grant: Grant, project: ProjectId, page: Page): Promise<Paged<TriggerRecord>>;
  one(grant: Grant, project: ProjectId, id: TokenId): Promise<TriggerRecord | undefined>;
  /** The secret is shown this once. */
  create(
    grant: Grant,
    project: ProjectId,
    request: { readonly description: string; readonly expiresAt: EpochMillis | null },
  ): Promise<{ readonly trigger: TriggerRecord; readonly secret: Secret }>;
  /** Its owner's alone. @throws not_found, access_denied */
  describe(grant: Grant, project: ProjectId, id: TokenId, description: string): Promise<TriggerRecord>;
  remove(grant: Grant, project: ProjectId, id: TokenId): Promise<void>;
}

export function makeTriggers(deps: JobsDeps): Triggers {
  const { triggers, transactor, clock } = deps;
  const check = (grant: Grant, permission: Permission, project: ProjectId): void =>
    verifyGrant(grant, permission, { kind: 'project', id: project });
  const known = async (tx: Tx | null, project: ProjectId, id: TokenId): Promise<TriggerRecord | undefined> => {
    const found = await triggers.byId(tx, id);
    return found?.projectId === project ? found : undefined;
  };
  return {
    async list(grant, project, page) {
      check(grant, 'trigger:read', project);
      return triggers.list(null, project, page);
    },
    async one(grant, project, id) {
      check(grant, 'trigger:read', project);
      return known(null, project, id);
    },
    async create(grant, project, { description, expiresAt }) {
      check(grant, 'trigger:write', project);
      const [ownerId] = grant.principals;
      if (ownerId === undefined) throw new JobpassError('credential_missing');
      checkDescription(description);
      const secret = new Secret(`glptt-${randomBase62(40)}`);
      const trigger = await transactor.write(async (tx) => {
        await grant.confirm(tx);
        if ((await triggers.list(tx, project, { page: 1, perPage: 1 })).total >= limits.triggersPerProject)
          throw new JobpassError('too_large', `A project has at most ${limits.triggersPerProject} trigger tokens.`);
        const fields = { projectId: project, description, ownerId, expiresAt };
        return triggers.insert(tx, { ...fields, digest: secret.digest(), createdAt: clock.now() });
      });
      return { trigger, secret };
    },
    async describe(grant, project, id, description) {
      check(grant, 'trigger:write', project);
      checkDescription(description);
      return transactor.write(async (tx) => {
        await grant.confirm(tx);
        const found = await known(tx, project, id);
        if (found === undefined) throw gone();
        // Another's name stands behind what it starts.
        if (found.ownerId !== grant.principals[0]) throw new JobpassError('access_denied', 'Only its owner may change a trigger token.');
        await triggers.change(tx, id, { description });
        return present(await known(tx, project, id), 'the trigger');
      });
    },
    async remove(grant, project, id) {
      check(grant, 'trigger:write', project);
      await transactor.write(async (tx) => {
        await grant.confirm(tx);
        if ((await known(tx, project, id)) === undefined) throw gone();
        await triggers.remove(tx, id);
      });
    },
  };
}

function checkDescription(text: string): void {
  if (text.length > 1000)
    throw new JobpassError('invalid_input', { fields: { description: ['is too long (maximum is 1000 characters)'] } });
}

function gone(): JobpassError {
  return new JobpassError('not_found', { what: 'Trigger' });
}
