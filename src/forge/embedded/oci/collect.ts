import type { Digest } from '../../../base/digest.ts';
import { limits } from '../../../base/limits.ts';
import type { Log } from '../../../base/log.ts';
import type { ContentStore } from '../../../ports/content.ts';
import type { RegistryDeps } from './registry-forge.ts';

const batchSize = 500;
const collectionEachMs = 3600_000;

/**
 * Removes what nobody will miss: uploads that nobody went on with, and content that no row links. Content goes inside of a transaction that
 * holds the digest's lock, so that a link made at the same moment either is seen here, or sees that the bytes are gone and fails. Young
 * content stays: its link is on its way.
 * @returns how many of each
 */
export async function collect(deps: RegistryDeps): Promise<{ readonly uploads: number; readonly blobs: number }> {
  const now = deps.clock.now();
  const uploads = await deps.content.removeIdleUploads(now - limits.uploadIdleMs);
  let blobs = 0;
  let batch: Digest[] = [];
  for await (const digest of deps.content.finishedBefore(now - limits.unlinkedContentMs)) {
    if (batch.push(digest) < batchSize) continue;
    blobs += await retireUnlinked(deps, batch);
    batch = [];
  }
  blobs += await retireUnlinked(deps, batch);
  // What a crash left there as well.
  await deps.content.emptyTrash();
  return { uploads, blobs };
}

async function retireUnlinked({ images, content, transactor }: RegistryDeps, digests: readonly Digest[]): Promise<number> {
  const linked = await images.linked(null, digests);
  let count = 0;
  for (const digest of digests.filter((one) => !linked.has(one))) {
    const gone = await transactor.write(async (tx) => {
      await images.lock(tx, digest);
      if ((await images.linked(tx, [digest])).size > 0 || !content.holds(digest)) return false;
      content.retire(digest);
      return true;
    });
    if (gone) count += 1;
  }
  return count;
}

/**
 * Collects at once and then each hour, one at a time; a failure is told and tried again.
 * @param largeFiles whose idle uploads go as well
 */
export function repeatCollection(deps: RegistryDeps, largeFiles: ContentStore, log: Log): { start(): void; stop(): Promise<void> } {
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> | undefined;
  const once = async (): Promise<void> => {
    try {
      const { uploads: ofImages, blobs } = await collect(deps);
      const uploads = ofImages + (await largeFiles.removeIdleUploads(deps.clock.now() - limits.uploadIdleMs));
      if (uploads + blobs > 0) log.info('registry.collected', { uploads, blobs });
    } catch (error) {
      log.error('registry.collection_failed', {}, error);
    }
  };
  const turn = (): void => {
    running ??= once().finally(() => (running = undefined));
  };
  return {
    start() {
      turn();
      timer = setInterval(turn, collectionEachMs).unref();
    },
    async stop() {
      clearInterval(timer);
      await running;
    },
  };
}
