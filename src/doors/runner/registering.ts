import { JobpassError } from '../../base/errors.ts';
import { isoTimeOrNull } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { Secret } from '../../base/secret.ts';
import type { Access } from '../../pass/subject.ts';
import type { RegistrationFacts } from '../../ports/credentials.ts';
import type { RunnerRecord } from '../../ports/runners.ts';
import { managerInfoOf, newRunnerOf, readJson, systemIdOf, textOf } from './body.ts';
import type { Call } from './call.ts';
import { checkSignature } from './signature.ts';

const registrationOff =
  '410 Gone - registration tokens are switched off here. Create the runner on the server (POST /api/v4/user/runners, or an owner of the group or project) ' +
  'and register with the glrt- token that it answers; an administrator can allow registration tokens (PUT /api/v4/application/settings, allow_runner_registration_token).';

/** `POST /runners`: the way in with a token that many machines share. */
export async function register(call: Call): Promise<void> {
  const { jobs } = call.deps;
  if (!(await jobs.registration.open())) return call.json(410, { message: registrationOff });
  const { body } = await readJson(call.request, limits.jobRequestBodyBytes);
  const token = textOf(body['token']) ?? '';
  if (token === '') throw new JobpassError('invalid_input', 'token is missing');
  const secret = new Secret(token);
  const facts = await jobs.registration.facts(secret);
  if (facts === undefined) throw new JobpassError('credential_invalid');
  await call.admitted(secret, 'registration_token', [accessOf(facts)], 'POST /api/v4/runners', async (grant) => {
    const { scope, scopeId, userId } = facts;
    const made = await jobs.runners.create(grant, { ...newRunnerOf(body), scope, scopeId, creatorId: userId, selfRegistered: true });
    call.json(201, tokenAnswer(made.runner, made.secret.reveal()));
  });
}

function accessOf({ scope, scopeId }: RegistrationFacts): Access {
  if (scope === 'instance') return { permission: 'runner:write', resource: { kind: 'instance' } };
  if (scope === 'group') return { permission: 'group_runner:write', resource: { kind: 'group', id: scopeId as never } };
  return { permission: 'project_runner:write', resource: { kind: 'project', id: scopeId as never } };
}

/** `POST /runners/verify`: also how a runner with a `glrt-` token comes in, and where a jobpass runner's key is pinned. */
export async function verify(call: Call): Promise<void> {
  const { body, raw } = await readJson(call.request, limits.jobRequestBodyBytes);
  await call.asRunner(body, 'POST /api/v4/runners/verify', async (grant) => {
    const { jobs, clock } = call.deps;
    const runner = await jobs.runners.self(grant);
    const check = await checkSignature((nonce, now) => jobs.runners.useNonce(runner.id, nonce, now), clock, call.request, raw);
    if (check.signed && !check.ok) return call.badSignature(runner.id, check.why);
    if (await jobs.runners.orphaned(runner)) throw new JobpassError('unprocessable', 'What this runner was made for is gone.');
    // Trust on first use: the first signed verify is the runner's registration.
    if (check.signed && check.ok) await jobs.runners.pinKey(runner.id, check.key);
    await jobs.runners.seen(runner, systemIdOf(body), managerInfoOf(body));
    call.json(200, tokenAnswer(runner, textOf(body['token']) ?? call.header('runner-token') ?? ''));
  });
}

/** `DELETE /runners`, with the token in the body of a DELETE. */
export async function unregister(call: Call): Promise<void> {
  const { body } = await readJson(call.request, limits.jobRequestBodyBytes);
  await call.asRunner(body, 'DELETE /api/v4/runners', async (grant) => {
    await call.deps.jobs.runners.removeSelf(grant);
    call.response.writeHead(204).end();
  });
}

/** `DELETE /runners/managers`: one machine leaves, the runner stays, if it was made on the server or has other machines. */
export async function unregisterManager(call: Call): Promise<void> {
  const { body } = await readJson(call.request, limits.jobRequestBodyBytes);
  await call.asRunner(body, 'DELETE /api/v4/runners/managers', async (grant) => {
    if (textOf(body['system_id']) === undefined) throw new JobpassError('invalid_input', 'system_id is missing');
    if (!(await call.deps.jobs.runners.removeManager(grant, systemIdOf(body)))) return call.json(404, { message: '404 Not found' });
    call.response.writeHead(204).end();
  });
}

/** `POST /runners/reset_authentication_token`: what a runner does before its token runs out. */
export async function resetToken(call: Call): Promise<void> {
  const { body, raw } = await readJson(call.request, limits.jobRequestBodyBytes);
  await call.asRunner(body, 'POST /api/v4/runners/reset_authentication_token', async (grant) => {
    const { jobs, clock } = call.deps;
    const runner = await jobs.runners.self(grant);
    const check = await checkSignature((nonce, now) => jobs.runners.useNonce(runner.id, nonce, now), clock, call.request, raw);
    if (check.signed && !check.ok) return call.badSignature(runner.id, check.why);
    // Who stole the token must not lock its owner out (A60).
    if (runner.publicKey !== null && (!check.signed || check.key !== runner.publicKey))
      throw new JobpassError('access_denied', "The request is not signed with the runner's key.");
    const made = await jobs.runners.resetOwnToken(grant);
    call.json(201, { token: made.secret.reveal(), token_expires_at: isoTimeOrNull(made.runner.tokenExpiresAt) });
  });
}

function tokenAnswer(runner: RunnerRecord, token: string) {
  return { id: runner.id, token, token_expires_at: isoTimeOrNull(runner.tokenExpiresAt) };
}
