import { limits } from '../../base/limits.ts';
import type { ClaimRequest } from '../../jobs/jobs.ts';
import type { RunnerRecord } from '../../ports/runners.ts';
import { gateReportOf, managerInfoOf, readJson, systemIdOf, textOf } from './body.ts';
import type { Call } from './call.ts';
import { checkSignature } from './signature.ts';

/** `POST /jobs/request`: a job, or nothing for up to 50 seconds. */
export async function requestJob(call: Call): Promise<void> {
  const { body, raw } = await readJson(call.request, limits.jobRequestBodyBytes);
  await call.asRunner(body, 'POST /api/v4/jobs/request', async (grant) => {
    const { jobs, clock } = call.deps;
    const runner = await jobs.runners.self(grant);
    const check = await checkSignature((nonce, now) => jobs.runners.useNonce(runner.id, nonce, now), clock, call.request, raw);
    if (check.signed && !check.ok) return call.badSignature(runner.id, check.why);
    const report = gateReportOf(body);
    // Only the pinned key counts (A60).
    const signed = check.signed && check.key === runner.publicKey && report !== undefined ? report : null;
    const info = managerInfoOf(body);
    const managerId = await jobs.runners.seen(runner, systemIdOf(body), info);
    await answer(call, runner, textOf(body['last_update']), { signed, secure: call.context.secure, managerId, features: info.features });
  });
}

async function answer(call: Call, runner: RunnerRecord, lastUpdate: string | undefined, request: ClaimRequest): Promise<void> {
  const { queue } = call.deps.jobs;
  const { response } = call;
  let version = queue.version();
  const deadline = call.deps.clock.monotonic() + limits.longPollMs;
  let claim = await queue.claim(runner, request);
  // A runner that has heard a version of this process waits; another one first hears which it is.
  let waits = lastUpdate !== undefined && sameProcess(lastUpdate, version);
  while (claim === undefined && waits && !response.destroyed) {
    const waiting = queue.wait(runner, version, Math.max(0, deadline - call.deps.clock.monotonic()));
    response.once('close', waiting.leave);
    waits = (await waiting.told) === 'wake' && call.deps.clock.monotonic() < deadline;
    response.removeListener('close', waiting.leave);
    version = queue.version();
    if (waits && !response.destroyed) claim = await queue.claim(runner, request);
  }
  if (claim === undefined) {
    response.setHeader('x-gitlab-last-update', queue.version());
    response.writeHead(204).end();
    return;
  }
  if (!response.destroyed) call.json(201, claim.payload);
  // Nobody took it: it goes back, with its passes dead (A46).
  if (!(await delivered(call))) await claim.withdraw();
}

/** Versions are `process-count`. */
function sameProcess(one: string, other: string): boolean {
  return one.split('-')[0] === other.split('-')[0];
}

/** Whether the whole answer went out to the connection. */
function delivered({ response }: Call): Promise<boolean> {
  if (response.writableFinished || response.destroyed) return Promise.resolve(response.writableFinished);
  return new Promise((resolve) => response.once('close', () => resolve(response.writableFinished)));
}
