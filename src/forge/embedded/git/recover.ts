import { isJobpassError } from '../../../base/errors.ts';
import { zeroOid } from '../../../base/ids.ts';
import type { PushRecord } from '../ports.ts';
import { type PushDeps, tellOfPush } from './push.ts';
import { readRefs } from './refs.ts';
import type { Repositories } from './repositories.ts';

/**
 * After a crash: a prepared push whose refs stand where it wanted them was applied, another was not; an applied one that nobody was told
 * of is told now. So a push that a client saw succeed still starts its pipeline. What a living node is at is left to it.
 * One that cannot be finished or told waits for the next start: whoever may push must not be able to keep the server from starting.
 * @throws store_unavailable, audit_unavailable
 */
export async function recoverPushes(deps: PushDeps, repositories: Repositories): Promise<void> {
  const nodes = new Set((await deps.pushLog.unfinished(null)).map(({ node }) => node));
  for (const node of nodes) await deps.nodes.inherit(node, () => recoverFrom(deps, repositories, node));
}

async function recoverFrom(deps: PushDeps, repositories: Repositories, node: number): Promise<void> {
  // Read once more: another start may have done it by now.
  for (const push of (await deps.pushLog.unfinished(null)).filter((one) => one.node === node)) {
    try {
      await recover(deps, repositories, push);
    } catch (error) {
      if (isJobpassError(error, 'store_unavailable') || isJobpassError(error, 'audit_unavailable')) throw error;
      deps.log.error('push.not_recovered', { push: push.id, project: push.projectId }, error);
    }
  }
}

async function recover(deps: PushDeps, repositories: Repositories, push: PushRecord): Promise<void> {
  const changes = push.state === 'applied' ? push.changes : await movedRefs(deps, repositories, push);
  if (push.state === 'prepared') {
    const state = changes.length > 0 ? 'applied' : 'dropped';
    const moved = changes.map((change) => change.ref);
    await deps.transactor.write((tx) => deps.pushLog.finish(tx, push.id, state, moved));
  }
  deps.log.info('push.recovered', { push: push.id, project: push.projectId, refs: changes.length });
  if (push.state === 'applied' || changes.length > 0) await tellOfPush(deps, push.id, { ...push, changes });
}

async function movedRefs(deps: PushDeps, repositories: Repositories, push: PushRecord): Promise<PushRecord['changes']> {
  const repository = await repositories.existing(push.projectId).catch(() => undefined);
  if (repository === undefined) return [];
  const names = push.changes.map((change) => change.ref);
  const now = await readRefs(deps.git, repository, names);
  return push.changes.filter((change) => (now.get(change.ref)?.target ?? zeroOid) === change.newOid);
}
