import type { AuditTrail } from '../audit/trail.ts';
import type { Log } from '../base/log.ts';
import { Secret } from '../base/secret.ts';
import type { LeakPlace, Leaks } from '../ports/leaks.ts';
import type { PassRecord } from '../ports/passes.ts';
import type { Revoker } from './revoke.ts';

export interface LeakDeps {
  readonly revoker: Pick<Revoker, 'revokeSecret'>;
  readonly trail: Pick<AuditTrail, 'note'>;
  readonly log: Log;
}

/** Kills what leaked, and says so where its people look: in the audit trail of its job (R10, R12). */
export function makeLeaks({ revoker, trail, log }: LeakDeps): Leaks {
  const revoke = async (secret: Secret, place: LeakPlace): Promise<PassRecord | undefined> => {
    const pass = await revoker.revokeSecret(secret, `found in ${place.what}`);
    // Who was dead before leaked nothing that is worth a word.
    if (pass === undefined || pass.revokedAt !== null) return pass;
    log.warn('pass.leaked', { job: pass.jobId, pass: pass.id, where: place.what, requestId: place.requestId });
    await trail.note({
      decision: 'deny',
      subject: 'pass',
      passId: pass.id,
      passKind: pass.kind,
      jobId: pass.jobId,
      pipelineId: pass.pipelineId,
      jobProjectId: pass.projectId,
      principals: pass.principals.map(({ userId }) => userId),
      accesses: [],
      door: place.door,
      endpoint: 'leak',
      rule: 'R12',
      reason: `it was found in ${place.what}, and revoked`,
      requestId: place.requestId,
    });
    return pass;
  };
  return {
    revoke,
    async revokeAll(found, place) {
      let alive = 0;
      for (const text of found) if ((await revoke(new Secret(text), place))?.revokedAt === null) alive += 1;
      return alive;
    },
  };
}
