import type { Clock } from '../base/clock.ts';
import { errorCodes } from '../base/errors.ts';
import { limits } from '../base/limits.ts';
import { looksLikePass, passTokenKind } from '../base/pass-token.ts';
import { anonymousRegistryToken, isRegistryToken } from '../base/registry-token.ts';
import type { ProjectId, SecretDigest, TokenId } from '../base/ids.ts';
import type { Secret } from '../base/secret.ts';
import type { Credentials } from '../ports/credentials.ts';
import type { Directory } from '../ports/directory.ts';
import type { JobLife, Liveness, PassRecord, PassStore } from '../ports/passes.ts';
import type { RegistryToken, RegistryTokens } from '../ports/registry-tokens.ts';
import type { MaybeTx } from '../ports/tx.ts';
import type { TriggerStore } from '../ports/triggers.ts';
import type { Identity, PassIdentity, SystemReason } from './grant.ts';
import { deathOf, jobTokenAlive, unanswered } from './life.ts';
import { outsideOnlyOf } from './principals.ts';
import type { Carrier, Refusal, Subject } from './subject.ts';

export interface AuthenticateDeps {
  /** Hears of a personal token that is as good as it says. */
  readonly onTokenUse?: (token: TokenId) => void;
  readonly credentials: Credentials;
  readonly directory: Directory;
  readonly passes: PassStore;
  readonly liveness: Liveness;
  readonly registryTokens: RegistryTokens;
  /** Left out where there are none (the gateway). */
  readonly triggers?: Pick<TriggerStore, 'byDigest'>;
  readonly clock: Clock;
}

/** `project` is the only one that a trigger token reaches; `scope` is all that a registry token reaches of what its identity may. `identity` is set on a refusal too where the credential was recognised: the audit trail then names it. */
export type Authentication =
  | { readonly ok: true; readonly identity: Identity; readonly scope?: RegistryToken['scope']; readonly project?: ProjectId }
  | { readonly ok: false; readonly refusal: Refusal; readonly identity?: Identity };

/** Places in which a pass is accepted (DESIGN §3). */
const passCarriers: ReadonlySet<Carrier> = new Set(['private_token', 'job_token', 'bearer', 'basic', 'oauth_form']);
const jobTokenCarriers: ReadonlySet<Carrier> = new Set(['job_token', 'bearer', 'basic']);
const personalTokenCarriers: ReadonlySet<Carrier> = new Set(['private_token', 'bearer', 'basic']);

/**
 * Finds out who asks.
 * @param again asked at the moment of effect: a registry token that ran out during the upload still counts, what stands behind it is asked
 *
 *  The token's own prefix says what it is; a value that looks like a pass is never anything else. */
export async function authenticate(
  deps: AuthenticateDeps,
  subject: Subject,
  secure: boolean,
  tx: MaybeTx = null,
  again = false,
): Promise<Authentication> {
  if (subject.kind === 'anonymous') return { ok: true, identity: { kind: 'anonymous' } };
  if (subject.kind === 'system') return { ok: true, identity: systemIdentity(subject.reason) };
  if (subject.kind === 'creators') return creators(deps, subject, tx);
  if (subject.kind === 'bridge') return { ok: true, identity: subject };
  const { secret, carrier } = subject;
  const text = secret.reveal();
  if (text === '' || text.length > limits.credentialBytes) return no('credential_invalid', 'R13', 'The token is malformed.');
  if (looksLikePass(text)) return authenticatePass(deps, secret, carrier, secure, tx);
  if (isRegistryToken(text)) return authenticateRegistryToken(deps, secret, carrier, secure, tx, again);
  if (carrier === 'registration_token') return authenticateRegistration(deps, secret.digest(), tx);
  if (text.startsWith('glcbt-') && jobTokenCarriers.has(carrier)) return authenticateJobToken(deps, secret.digest(), tx);
  if (carrier === 'trigger_token') return authenticateTrigger(deps, secret.digest(), tx);
  if (text.startsWith('glrt-') && carrier === 'runner_token') return authenticateRunner(deps, secret, tx);
  if (personalTokenCarriers.has(carrier)) return authenticatePersonal(deps, secret.digest(), tx);
  return no('credential_invalid', 'R13', 'The token is not valid here.');
}

function systemIdentity(reason: SystemReason): Identity {
  return { kind: 'system', reason };
}

/** They asked for the pipeline with a credential that was checked then; their rights are looked at now. */
async function creators(
  deps: AuthenticateDeps,
  { users, passId }: Extract<Subject, { kind: 'creators' }>,
  tx: MaybeTx,
): Promise<Authentication> {
  if (passId === null) return { ok: true, identity: { kind: 'creators', userIds: users } };
  const pass = await deps.passes.byId(tx, passId);
  if (pass === undefined) return no('credential_invalid', 'R2', 'The pass is unknown.');
  return { ok: true, identity: { kind: 'creators', userIds: users, pass: passIdentity(pass) } };
}

async function authenticatePass(
  deps: AuthenticateDeps,
  secret: Secret,
  carrier: Carrier,
  secure: boolean,
  tx: MaybeTx,
): Promise<Authentication> {
  if (!passCarriers.has(carrier))
    return no('credential_misplaced', 'R17', 'A pass is not accepted here; send it in the PRIVATE-TOKEN header.');
  if (passTokenKind(secret.reveal()) === undefined) return no('credential_invalid', 'R13', 'The pass is malformed.');
  return authenticatePassDigest(deps, secret.digest(), secure, tx);
}

async function authenticatePassDigest(deps: AuthenticateDeps, digest: SecretDigest, secure: boolean, tx: MaybeTx): Promise<Authentication> {
  if (!secure) return no('insecure_transport', 'R16', 'A pass is accepted over TLS, loopback or a unix socket only.');
  const pass = await deps.passes.byDigest(tx, digest);
  if (pass === undefined) return no('credential_invalid', 'R2', 'The pass is unknown.');
  return alivePass(deps, pass, await deps.liveness.jobLife(tx, pass.jobId));
}

const unansweredRefusal: Refusal = { code: 'job_unanswered', rule: 'R2', message: errorCodes.job_unanswered.meaning };

/** Whether a known pass is alive; used again at the moment of effect. @param life of its job, as it was just told */
export function alivePass(
  deps: Pick<AuthenticateDeps, 'clock'>,
  pass: PassRecord,
  life: JobLife | 'unanswered' | undefined,
): Authentication {
  const identity = passIdentity(pass);
  const death = deathOf(pass, life, deps.clock.now());
  if (death === unanswered) return { ok: false, identity, refusal: unansweredRefusal };
  if (death !== undefined)
    return { ok: false, identity, refusal: { code: 'pass_dead', rule: 'R2', message: `The pass is not valid: ${death}.` } };
  return { ok: true, identity };
}

export function passIdentity(pass: PassRecord): PassIdentity {
  return {
    kind: 'pass',
    passId: pass.id,
    passKind: pass.kind,
    jobId: pass.jobId,
    pipelineId: pass.pipelineId,
    projectId: pass.projectId,
    sha: pass.sha,
    chainDepth: pass.chainDepth,
    ownProjectOnly: pass.ownProjectOnly,
    principals: pass.principals.map((principal) => principal.userId),
    outsideOnly: outsideOnlyOf(pass.principals),
    limits: (pass.limits ?? []).map(({ by, rule, permissions, places }) => ({ by, rule, ceiling: { permissions, places } })),
  };
}

/** The credential behind it is asked anew each time: the token outlives neither a job nor a role (A37, A48). */
async function authenticateRegistryToken(
  deps: AuthenticateDeps,
  secret: Secret,
  carrier: Carrier,
  secure: boolean,
  tx: MaybeTx,
  again: boolean,
): Promise<Authentication> {
  if (carrier !== 'bearer') return no('credential_misplaced', 'R17', 'A registry token is accepted as Bearer only.');
  if (secret.reveal() === anonymousRegistryToken) return { ok: true, identity: { kind: 'anonymous' } };
  const token = await deps.registryTokens.byDigest(tx, secret.digest());
  if (token === undefined) return no('credential_invalid', 'R13', 'The registry token is unknown.');
  const who = await authenticateParent(deps, token.parent, secure, tx);
  if (!who.ok) return who;
  if (!again && deps.clock.now() >= token.expiresAt)
    return {
      ok: false,
      identity: who.identity,
      refusal: { code: 'credential_invalid', rule: 'R2', message: 'The registry token is expired.' },
    };
  return { ...who, scope: token.scope };
}

async function authenticateParent(
  deps: AuthenticateDeps,
  parent: RegistryToken['parent'],
  secure: boolean,
  tx: MaybeTx,
): Promise<Authentication> {
  switch (parent.kind) {
    case 'pass':
      return authenticatePassDigest(deps, parent.digest, secure, tx);
    case 'job':
      return authenticateJobToken(deps, parent.digest, tx);
    case 'user':
      return authenticatePersonal(deps, parent.digest, tx);
  }
}

async function authenticateJobToken(deps: AuthenticateDeps, digest: SecretDigest, tx: MaybeTx): Promise<Authentication> {
  const facts = await deps.credentials.jobToken(tx, digest);
  if (facts === undefined) return no('credential_invalid', 'R2', 'The job token is unknown.');
  const identity: Identity = {
    kind: 'job',
    jobId: facts.jobId,
    projectId: facts.projectId,
    pipelineId: facts.pipelineId,
    userId: facts.userId,
  };
  const life = await deps.liveness.jobLife(tx, facts.jobId);
  if (life === 'unanswered') return { ok: false, identity, refusal: unansweredRefusal };
  if (!jobTokenAlive(life)) {
    return { ok: false, identity, refusal: { code: 'pass_dead', rule: 'R2', message: 'The job of this token is not running.' } };
  }
  const user = (await deps.directory.users(tx, [facts.userId])).get(facts.userId);
  if (user === undefined || user.state !== 'active')
    return { ok: false, identity, refusal: { code: 'credential_invalid', rule: 'R1', message: 'The user of this job is blocked.' } };
  return { ok: true, identity };
}

async function authenticateRunner(deps: AuthenticateDeps, secret: Secret, tx: MaybeTx): Promise<Authentication> {
  const runnerId = await deps.credentials.runnerToken(tx, secret.digest(), deps.clock.now());
  if (runnerId === undefined) return no('credential_invalid', 'R7', 'The runner token is unknown.');
  return { ok: true, identity: { kind: 'runner', runnerId } };
}

/** It stands for who made it, and for nothing but making runners: with that user's role it ends too (A9). */
async function authenticateRegistration(deps: AuthenticateDeps, digest: SecretDigest, tx: MaybeTx): Promise<Authentication> {
  const token = await deps.credentials.registrationToken(tx, digest);
  if (token === undefined) return no('credential_invalid', 'R7', 'The registration token is unknown.');
  const identity: Identity = { kind: 'user', userId: token.userId, tokenId: token.id, scopes: ['create_runner'] };
  const user = (await deps.directory.users(tx, [token.userId])).get(token.userId);
  if (user === undefined || user.state !== 'active')
    return {
      ok: false,
      identity,
      refusal: { code: 'credential_invalid', rule: 'R1', message: 'Who made this registration token is blocked.' },
    };
  return { ok: true, identity };
}

/** Starts pipelines of its project as who made it, and nothing else. */
async function authenticateTrigger(deps: AuthenticateDeps, digest: SecretDigest, tx: MaybeTx): Promise<Authentication> {
  const token = await deps.triggers?.byDigest(tx, digest);
  if (token === undefined) return no('credential_invalid', 'R1', 'The trigger token is unknown.');
  const identity: Identity = { kind: 'user', userId: token.ownerId, tokenId: token.id, scopes: ['trigger_pipeline'] };
  const refuse = (message: string): Authentication => ({
    ok: false,
    identity,
    refusal: { code: 'credential_invalid', rule: 'R1', message },
  });
  if (token.expiresAt !== null && deps.clock.now() >= token.expiresAt) return refuse('The trigger token is expired.');
  const user = (await deps.directory.users(tx, [token.ownerId])).get(token.ownerId);
  if (user === undefined || user.state !== 'active') return refuse('Who made this trigger token is blocked.');
  return { ok: true, identity, project: token.projectId };
}

async function authenticatePersonal(deps: AuthenticateDeps, digest: SecretDigest, tx: MaybeTx): Promise<Authentication> {
  const token = await deps.credentials.personalToken(tx, digest);
  if (token === undefined) return no('credential_invalid', 'R1', 'The token is unknown.');
  const identity: Identity = { kind: 'user', userId: token.userId, tokenId: token.id, scopes: token.scopes };
  const refuse = (message: string): Authentication => ({
    ok: false,
    identity,
    refusal: { code: 'credential_invalid', rule: 'R1', message },
  });
  if (token.revokedAt !== null) return refuse('Token was revoked. You have to re-authorize from the user.');
  if (token.expiresAt !== null && deps.clock.now() >= token.expiresAt)
    return refuse('Token is expired. You can either do re-authorization or token refresh.');
  const user = (await deps.directory.users(tx, [token.userId])).get(token.userId);
  if (user === undefined || user.state !== 'active') return refuse('Your account is blocked.');
  deps.onTokenUse?.(token.id);
  return { ok: true, identity };
}

function no(code: Refusal['code'], rule: string, message: string): Authentication {
  return { ok: false, refusal: { code, rule, message } };
}
