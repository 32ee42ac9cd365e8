import { join } from 'node:path';
import type { Clock } from '../../base/clock.ts';
import type { Log } from '../../base/log.ts';
import type { ContentStore } from '../../ports/content.ts';
import type { Directory } from '../../ports/directory.ts';
import type { Leaks } from '../../ports/leaks.ts';
import type { MergeRequestStore } from '../../ports/merge-requests.ts';
import type { Blobs } from '../../ports/blobs.ts';
import type { Nodes } from '../../ports/nodes.ts';
import type { PackageStore } from '../../ports/packages.ts';
import type { Transactor } from '../../ports/tx.ts';
import type { Forge, RefsUpdated } from '../forge.ts';
import { makeEventForge } from './events/event-forge.ts';
import { makeGitForge } from './git/git-forge.ts';
import { Maintenance } from './git/maintenance.ts';
import { startGitRunner } from './git/processes.ts';
import { recoverPushes } from './git/recover.ts';
import { Repositories } from './git/repositories.ts';
import { makeGroupForge } from './groups/group-forge.ts';
import { repeatCollection } from './oci/collect.ts';
import { makeLfsForge } from './lfs/lfs-forge.ts';
import { makeRegistryForge } from './oci/registry-forge.ts';
import type { ForgeStores } from './ports.ts';
import { makePackageForge } from './packages/package-forge.ts';
import { makeProjectForge } from './projects/project-forge.ts';
import { makeReleaseForge } from './releases/release-forge.ts';
import { makeRepositoryForge } from './repository/repository-forge.ts';
import { scratchFolder } from './scratch.ts';
import { followPush } from './merge-requests/heads.ts';
import { makeMergeRequestForge } from './merge-requests/merge-request-forge.ts';
import { makeImpersonationForge } from './users/impersonation-forge.ts';
import { makeUserForge } from './users/user-forge.ts';

export interface EmbeddedForgeDeps {
  /** Repositories, the git helper's socket and scratch folders live below it. */
  readonly dataDir: string;
  readonly stores: ForgeStores;
  readonly mergeRequests: MergeRequestStore;
  readonly packages: PackageStore;
  /** Of packages and uploads. */
  readonly blobs: Blobs;
  readonly directory: Directory;
  readonly transactor: Transactor;
  /** Of images. */
  readonly content: ContentStore;
  /** Of large files. */
  readonly lfsContent: ContentStore;
  readonly leaks: Leaks;
  readonly nodes: Nodes;
  readonly clock: Clock;
  readonly log: Log;
  /** Told once for each write that moved refs; pipelines start from here. */
  readonly onRefsUpdated: (event: RefsUpdated) => Promise<void>;
}

export interface EmbeddedForge extends Forge {
  /** After a crash: finishes what the push log left open. Before the first request. */
  recover(): Promise<void>;
  close(): Promise<void>;
}

/** The forge in one process: rows in the store, repositories in folders, git by git. */
export async function makeEmbeddedForge(deps: EmbeddedForgeDeps): Promise<EmbeddedForge> {
  const scratch = await scratchFolder(join(deps.dataDir, 'scratch'), deps.nodes);
  const git = await startGitRunner(join(deps.dataDir, 'git'), deps.log);
  const repositories = new Repositories(join(deps.dataDir, 'repositories'), git);
  const maintenance = new Maintenance(git, deps.log);
  const heads = {
    git,
    repositories,
    mergeRequests: deps.mergeRequests,
    pushLog: deps.stores.pushLog,
    transactor: deps.transactor,
    clock: deps.clock,
    log: deps.log,
  };
  const push = {
    git,
    transactor: deps.transactor,
    pushLog: deps.stores.pushLog,
    leaks: deps.leaks,
    clock: deps.clock,
    log: deps.log,
    nodes: deps.nodes,
    onRefsUpdated: async (event: RefsUpdated) => deps.onRefsUpdated({ ...event, mergeRequests: await followPush(heads, event) }),
  };
  const onPushed = (repository: string): void => maintenance.pushed(repository);
  const repository = makeRepositoryForge({ ...push, scratch, repositories, directory: deps.directory, onPushed });
  const services = { stores: deps.stores, directory: deps.directory, transactor: deps.transactor, clock: deps.clock };
  const registry = { ...services, images: deps.stores.images, content: deps.content, leaks: deps.leaks };
  const collection = repeatCollection(registry, deps.lfsContent, deps.log);
  return {
    git: makeGitForge({ ...push, repositories, onPushed }),
    repository,
    projects: makeProjectForge({ ...services, repositories, repository, git, packages: deps.packages, blobs: deps.blobs }),
    packages: makePackageForge({ ...services, packages: deps.packages, blobs: deps.blobs, leaks: deps.leaks }),
    groups: makeGroupForge(services),
    users: { ...makeUserForge(services), ...makeImpersonationForge(services) },
    events: makeEventForge(services),
    releases: makeReleaseForge({ ...services, repository }),
    mergeRequests: makeMergeRequestForge({
      ...heads,
      ...push,
      scratch,
      directory: deps.directory,
      projects: deps.stores.projects,
      onPushed,
    }),
    registry: makeRegistryForge(registry),
    lfs: makeLfsForge({ ...services, lfs: deps.stores.lfs, content: deps.lfsContent, leaks: deps.leaks }),
    async recover() {
      await recoverPushes(push, repositories);
      collection.start();
    },
    async close() {
      await collection.stop();
      await deps.content.close();
      await deps.lfsContent.close();
      await maintenance.close();
      await git.close();
    },
  };
}
