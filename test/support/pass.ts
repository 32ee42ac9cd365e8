import { type JobId, millis, type UserId } from '../../src/base/ids.ts';
import { newPassToken, type PassKind } from '../../src/base/pass-token.ts';
import type { Claimed, TestServer } from './server.ts';

/** A pass for a job that runs, made as the queue makes it: what a runner with trust `full` would hold. */
export async function passFor(server: TestServer, job: Claimed, principals: readonly number[], kind: PassKind = 'full'): Promise<string> {
  const secret = newPassToken(kind);
  const row = await server.store.jobs.job(null, job.id as JobId);
  if (row === undefined) throw new Error('no job');
  await server.store.transactor.write((tx) =>
    server.store.passes.insert(tx, {
      kind,
      digest: secret.digest(),
      jobId: row.id,
      pipelineId: row.pipelineId,
      projectId: row.projectId,
      sha: row.sha,
      parentId: null,
      principals: principals.map((userId) => ({ userId: userId as UserId, reason: 'starter' })),
      ownProjectOnly: false,
      chainDepth: 0,
      issuedAt: millis(Date.now()),
      expiresAt: millis(Date.now() + 600_000),
    }),
  );
  return secret.reveal();
}
