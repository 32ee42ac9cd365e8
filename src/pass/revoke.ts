import type { Clock } from '../base/clock.ts';
import type { JobId } from '../base/ids.ts';
import { passTokenKind } from '../base/pass-token.ts';
import type { Secret } from '../base/secret.ts';
import type { PassRecord, PassStore } from '../ports/passes.ts';
import type { Transactor, Tx } from '../ports/tx.ts';
import type { LiveGrants } from './live.ts';

export interface RevokeDeps {
  readonly transactor: Transactor;
  readonly passes: PassStore;
  readonly live: LiveGrants;
  readonly clock: Clock;
}

export interface Revoker {
  /** Gives a pass back or kills a leaked one (RFC 7009; R12). @returns what it was, or undefined where there is no such pass */
  revokeSecret(secret: Secret, reason: string): Promise<PassRecord | undefined>;
  /** In the transaction that ends the job: its passes die with it (R2). Call `jobEnded` once it is committed. */
  revokeForJob(tx: Tx, job: JobId, reason: string): Promise<void>;
  /** Cuts what the job's passes have in flight. */
  jobEnded(job: JobId): void;
}

export function makeRevoker(deps: RevokeDeps): Revoker {
  return {
    async revokeSecret(secret, reason) {
      if (passTokenKind(secret.reveal()) === undefined) return undefined;
      const pass = await deps.passes.byDigest(null, secret.digest());
      if (pass === undefined) return undefined;
      const dead = await deps.transactor.write((tx) => deps.passes.revoke(tx, pass.id, reason, deps.clock.now()));
      // Its children as well (R9).
      for (const one of [pass.id, ...dead]) deps.live.passRevoked(one);
      return pass;
    },
    async revokeForJob(tx, job, reason) {
      await deps.passes.revokeForJob(tx, job, reason, deps.clock.now());
    },
    jobEnded: (job) => deps.live.jobEnded(job),
  };
}
