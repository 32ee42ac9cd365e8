import { rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../../../base/clock.ts';
import type { Log } from '../../../base/log.ts';
import type { Nodes } from '../../../ports/nodes.ts';

/** No git holds a lock for so long: everything about a push is decided before it takes one, and asked once more while it has it. */
const oldMs = 3_600_000;
/** What the gits of a process that ended have, to end themselves. */
const endingMs = 30_000;
const startedAt = Date.now();

/**
 * A git that is killed outright (no power, no memory) leaves its lock files behind, and nobody could move that ref ever again. To be called
 * where a ref was not moved though it might be: the next push can.
 */
export async function removeStaleLocks(
  { nodes, clock, log }: { readonly nodes: Pick<Nodes, 'alone'>; readonly clock: Clock; readonly log: Log },
  repository: string,
  refs: readonly string[],
): Promise<void> {
  const now = clock.now();
  const before = Math.max(now - oldMs, nodes.alone && now - startedAt > endingMs ? startedAt : 0);
  for (const name of [...refs, 'HEAD', 'packed-refs']) {
    const path = join(repository, `${name}.lock`);
    const found = await stat(path).catch(() => undefined);
    if (found === undefined || found.mtimeMs >= before) continue;
    log.warn('git.stale_lock', { message: `${path} is of a git that was killed: it is removed` });
    await rm(path, { force: true }).catch((error: unknown) => log.error('git.stale_lock_stays', {}, error));
  }
}
