import { type Oid, zeroOid } from '../../../base/ids.ts';
import type { RefsUpdated } from '../../forge.ts';
import { revParse } from '../repository/reads.ts';
import type { PushRecord } from '../ports.ts';
import type { PushDeps } from './push.ts';
import type { Repositories } from './repositories.ts';

/**
 * After a crash: a prepared push whose refs stand where it wanted them was applied, another was not; an applied one that nobody was told
 * of is told now. So a push that a client saw succeed still starts its pipeline.
 */
export async function recoverPushes(deps: PushDeps, repositories: Repositories): Promise<void> {
  for (const push of await deps.pushLog.unfinished(null)) {
    const moved = push.state === 'applied' ? push.changes : await movedRefs(deps, repositories, push);
    if (push.state === 'prepared') {
      await deps.transactor.write((tx) =>
        deps.pushLog.finish(
          tx,
          push.id,
          moved.length > 0 ? 'applied' : 'dropped',
          moved.map((change) => change.ref),
        ),
      );
    }
    deps.log.info('push.recovered', { push: push.id, project: push.projectId, refs: moved.length });
    if (moved.length === 0) continue;
    const event: RefsUpdated = {
      pushId: push.id,
      projectId: push.projectId,
      changes: moved,
      pushers: push.pushers,
      passId: push.passId,
      jobId: push.jobId,
      skipCi: push.skipCi,
    };
    await deps.onRefsUpdated(event);
    await deps.transactor.write((tx) => deps.pushLog.markHandled(tx, push.id));
  }
}

async function movedRefs(deps: PushDeps, repositories: Repositories, push: PushRecord): Promise<PushRecord['changes']> {
  const moved: PushRecord['changes'][number][] = [];
  const repository = await repositories.existing(push.projectId).catch(() => undefined);
  if (repository === undefined) return moved;
  for (const change of push.changes) {
    const now: Oid = (await revParse(deps.git, repository, change.ref)) ?? zeroOid;
    if (now === change.newOid) moved.push(change);
  }
  return moved;
}
