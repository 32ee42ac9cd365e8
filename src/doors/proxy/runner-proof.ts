import type { IncomingMessage } from 'node:http';
import type { Clock } from '../../base/clock.ts';
import { JobpassError } from '../../base/errors.ts';
import type { EpochMillis, RunnerId } from '../../base/ids.ts';
import type { Log } from '../../base/log.ts';
import type { GatewayRunners } from '../../ports/gateway.ts';
import type { Transactor } from '../../ports/tx.ts';
import { gateReportOf, objectIn } from '../runner/body.ts';
import { checkSignature } from '../runner/signature.ts';
import type { Proof } from './job-exposure.ts';

export interface ProofDeps {
  readonly keys: GatewayRunners;
  readonly useNonce: (runner: RunnerId, nonce: string, now: EpochMillis) => Promise<boolean>;
  readonly transactor: Transactor;
  readonly clock: Clock;
  readonly log: Log;
  /** A runner of whose requests an admin said that they are signed; `key` = with this one. */
  readonly signing: (runner: RunnerId) => { readonly key: string | undefined } | undefined;
}

/** Nothing but its token speaks for the runner. */
export const unproven: Proof = { publicKey: null, signed: null };

/**
 * What a runner's request proves (R7).
 * @param introduces a signed `verify` is how a jobpass runner registers: the first key that it brings stays (A60)
 * @throws access_denied for a signature that is wrong, or by another key
 */
export async function proofOf(
  deps: ProofDeps,
  runner: RunnerId,
  request: IncomingMessage,
  body: Buffer,
  introduces: boolean,
): Promise<Proof> {
  const named = deps.signing(runner);
  if (named === undefined) return unproven;
  const check = await checkSignature((nonce, now) => deps.useNonce(runner, nonce, now), deps.clock, request, body);
  const refuse = (why: string): never => {
    deps.log.warn('runner.bad_signature', { runner, why });
    throw new JobpassError('access_denied', `The runner's request is refused: ${why}.`);
  };
  if (check.signed && !check.ok) return refuse(check.why);
  const known = named.key ?? (await deps.keys.keyOf(null, runner));
  if (!check.signed) return { publicKey: known ?? null, signed: null };
  const publicKey =
    known ?? (introduces ? await deps.transactor.write((tx) => deps.keys.pin(tx, runner, check.key, deps.clock.now())) : null);
  if (introduces && publicKey !== check.key) return refuse('another key is pinned to this runner');
  return { publicKey, signed: publicKey === check.key ? (gateReportOf(objectIn(body)) ?? null) : null };
}
