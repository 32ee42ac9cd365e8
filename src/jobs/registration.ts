import { JobpassError } from '../base/errors.ts';
import { type EpochMillis, millis } from '../base/ids.ts';
import { randomBase62, Secret } from '../base/secret.ts';
import { type Grant, verifyGrant } from '../pass/grant.ts';
import type { RegistrationFacts } from '../ports/credentials.ts';
import type { NewRunner } from '../ports/runners.ts';
import type { MaybeTx } from '../ports/tx.ts';
import type { JobsDeps } from './deps.ts';

/** What an admin sets about how runners come in. @see GitLab REST API, "Application settings" */
export interface RunnerSettings {
  /** Whether registration tokens are heard at all. */
  readonly allowRegistrationToken: boolean;
  /** How long a runner's token lives; null = for ever. */
  readonly tokenLifeSeconds: number | null;
}

/** The way in that GitLab calls legacy: a token that many machines share. */
export interface Registration {
  /** instance:settings. */
  settings(grant: Grant): Promise<RunnerSettings>;
  /** instance:settings; sets what it names. */
  changeSettings(grant: Grant, change: Partial<RunnerSettings>): Promise<RunnerSettings>;
  /** A new token for the scope, in place of the earlier one; shown this once. runner:write, project_runner:write or group_runner:write. */
  resetToken(grant: Grant, scope: NewRunner['scope'], scopeId: number | null): Promise<Secret>;
  /** Whether registration tokens are heard at all. */
  open(): Promise<boolean>;
  /** What a registration token is for; the door asks `admit` before anything comes of it. */
  facts(secret: Secret): Promise<RegistrationFacts | undefined>;
}

const allowKey = 'allow_runner_registration_token';
const lifeKey = 'runner_token_expiration_interval';

export function makeRegistration({ transactor, runners, credentials, settings, clock }: JobsDeps): Registration {
  const read = async (tx: MaybeTx): Promise<RunnerSettings> => ({
    // Anything but the word itself is off (R13).
    allowRegistrationToken: (await settings.get(tx, allowKey)) === 'true',
    tokenLifeSeconds: await lifeOf(settings, tx),
  });
  return {
    settings(grant) {
      verifyGrant(grant, 'instance:settings', { kind: 'instance' });
      return read(null);
    },
    changeSettings(grant, { allowRegistrationToken, tokenLifeSeconds }) {
      verifyGrant(grant, 'instance:settings', { kind: 'instance' });
      return transactor.write(async (tx) => {
        await grant.confirm(tx);
        if (allowRegistrationToken !== undefined) await settings.set(tx, allowKey, String(allowRegistrationToken));
        if (tokenLifeSeconds !== undefined) await settings.set(tx, lifeKey, String(tokenLifeSeconds ?? ''));
        return read(tx);
      });
    },
    async resetToken(grant, scope, scopeId) {
      checkRunnerWrite(grant, scope, scopeId);
      const [userId] = grant.principals;
      if (userId === undefined) throw new JobpassError('credential_missing');
      const secret = new Secret(`glrtr-${randomBase62(20)}`);
      await transactor.write(async (tx) => {
        await grant.confirm(tx);
        await runners.putRegistrationToken(tx, { scope, scopeId, digest: secret.digest(), userId, createdAt: clock.now() });
      });
      return secret;
    },
    open: async () => (await read(null)).allowRegistrationToken,
    facts: (secret) => credentials.registrationToken(null, secret.digest()),
  };
}

/** The grant for making runners of a scope. @throws internal */
export function checkRunnerWrite(grant: Grant, scope: NewRunner['scope'], scopeId: number | null): void {
  if (scope === 'instance') verifyGrant(grant, 'runner:write', { kind: 'instance' });
  else if (scope === 'project') verifyGrant(grant, 'project_runner:write', { kind: 'project', id: scopeId as never });
  else verifyGrant(grant, 'group_runner:write', { kind: 'group', id: scopeId as never });
}

/** When a token that is made now runs out; null = never. */
export async function tokenEnd({ settings, clock }: Pick<JobsDeps, 'settings' | 'clock'>, tx: MaybeTx): Promise<EpochMillis | null> {
  const seconds = await lifeOf(settings, tx);
  return seconds === null ? null : millis(clock.now() + seconds * 1000);
}

async function lifeOf(settings: JobsDeps['settings'], tx: MaybeTx): Promise<number | null> {
  const text = (await settings.get(tx, lifeKey)) ?? '';
  return /^[1-9]\d{0,9}$/.test(text) ? Number(text) : null;
}
