import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../src/base/clock.ts';
import {
  type AuditId,
  id,
  type JobId,
  type Oid,
  type PassId,
  type PipelineId,
  type ProjectId,
  type PushId,
  type UserId,
} from '../../src/base/ids.ts';
import { silentLog } from '../../src/base/log.ts';
import type { DecideRefs, RefChange } from '../../src/base/refs.ts';
import { makeGitForge } from '../../src/forge/embedded/git/git-forge.ts';
import { type GitRunner, startGitRunner } from '../../src/forge/embedded/git/processes.ts';
import type { PushDeps } from '../../src/forge/embedded/git/push.ts';
import { Repositories } from '../../src/forge/embedded/git/repositories.ts';
import type { NewPush, PushLogStore, PushRecord } from '../../src/forge/embedded/ports.ts';
import { makeRepositoryForge } from '../../src/forge/embedded/repository/repository-forge.ts';
import type { GitForge, RefsUpdated } from '../../src/forge/forge.ts';
import type { RepositoryForge } from '../../src/forge/repository.ts';
import { type Grant, makeGrant, type Permission } from '../../src/pass/grant.ts';
import type { Directory, ProtectedRef } from '../../src/ports/directory.ts';
import type { Transactor, Tx } from '../../src/ports/tx.ts';
import { onlyNode } from '../../src/store/sqlite/nodes.ts';

export const project = id<ProjectId>(7);
export const pushers = [id<UserId>(1), id<UserId>(2)];

/** A push log row as the fake keeps it. */
export type LogRow = { -readonly [Key in keyof PushRecord]: PushRecord[Key] } & { readonly commits: readonly Oid[] | null };

export interface EmbeddedGit {
  readonly folder: string;
  readonly runner: GitRunner;
  readonly repositories: Repositories;
  readonly git: GitForge;
  readonly repository: RepositoryForge;
  readonly push: PushDeps;
  readonly log: LogRow[];
  /** What pushes were found to hold; all of it is taken for alive. */
  readonly leaked: string[];
  /** Whether what was found counts as dead already. */
  readonly ignoresLeaks: { value: boolean };
  readonly events: RefsUpdated[];
  readonly rules: ProtectedRef[];
  /** Folder of the repository of `project`. */
  readonly path: string;
  close(): Promise<void>;
}

/** A real git with one empty repository; fakes only at the ports. */
export async function startEmbeddedGit(): Promise<EmbeddedGit> {
  const folder = await mkdtemp(join(tmpdir(), 'jobpass-test-git-'));
  const scratch = join(folder, 'scratch');
  await mkdir(scratch);
  const runner = await startGitRunner(join(folder, 'git'), silentLog);
  const repositories = new Repositories(join(folder, 'repositories'), runner);
  await repositories.create(project, 'main');
  const log: LogRow[] = [];
  const leaked: string[] = [];
  const ignoresLeaks = { value: false };
  const events: RefsUpdated[] = [];
  const rules: ProtectedRef[] = [];
  const push: PushDeps = {
    git: runner,
    transactor: fakeTransactor,
    pushLog: fakePushLog(log),
    leaks: {
      revoke: () => Promise.resolve(undefined),
      revokeAll(found) {
        const list = [...found];
        leaked.push(...list);
        return Promise.resolve(ignoresLeaks.value ? 0 : list.length);
      },
    },
    clock: systemClock,
    log: silentLog,
    nodes: onlyNode,
    onRefsUpdated: async (event) => void events.push(event),
  };
  const deps = { ...push, scratch, repositories, directory: fakeDirectory(rules), onPushed: () => undefined };
  return {
    folder,
    runner,
    repositories,
    git: makeGitForge(deps),
    repository: makeRepositoryForge(deps),
    push,
    log,
    leaked,
    ignoresLeaks,
    events,
    rules,
    path: repositories.path(project),
    async close() {
      await runner.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

export interface GrantOptions {
  readonly permissions?: readonly Permission[];
  readonly signal?: AbortSignal;
  readonly confirm?: () => Promise<void>;
}

const everything: readonly Permission[] = [
  'code:download',
  'code:push',
  'repository:read',
  'commit:read',
  'commit:create',
  'branch:read',
  'branch:write',
  'tag:read',
  'tag:write',
];

/** A grant of a pass with two principals. */
export function grantFor({ permissions = everything, signal, confirm }: GrantOptions = {}): Grant {
  return makeGrant({
    identity: {
      kind: 'pass',
      passId: id<PassId>(5),
      passKind: 'full',
      jobId: id<JobId>(6),
      pipelineId: id<PipelineId>(8),
      projectId: project,
      sha: '0'.repeat(40),
      chainDepth: 0,
      ownProjectOnly: false,
      principals: pushers,
    },
    accesses: permissions.map((permission) => ({ permission, resource: { kind: 'project', id: project } })),
    auditId: id<AuditId>(1),
    requestId: 'test',
    filter: null,
    signal: signal ?? new AbortController().signal,
    confirm: confirm ?? (async () => undefined),
  });
}

export const allowAll: DecideRefs = async (changes) => changes.map(({ ref }) => ({ ref, allowed: true, message: '' }));

/** Allows all, and keeps the facts that it was asked about. */
export function watching(): { readonly decide: DecideRefs; readonly seen: RefChange[] } {
  const seen: RefChange[] = [];
  return {
    seen,
    decide: async (changes, again) => {
      if (again === undefined) seen.push(...changes);
      return allowAll(changes);
    },
  };
}

const fakeTransactor: Transactor = { write: (work) => work({} as Tx) };

function fakePushLog(rows: LogRow[]): PushLogStore {
  const row = (wanted: PushId): LogRow => {
    const found = rows.find((one) => one.id === wanted);
    if (found === undefined) throw new Error(`no push ${wanted}`);
    return found;
  };
  return {
    async prepare(_tx, push: NewPush) {
      const pushId = id<PushId>(rows.length + 1);
      rows.push({ ...push, id: pushId, state: 'prepared', handled: false });
      return pushId;
    },
    async finish(_tx, wanted, state, moved) {
      const found = row(wanted);
      found.state = state;
      found.changes = found.changes.filter(({ ref }) => moved.includes(ref));
    },
    async markHandled(_tx, wanted) {
      row(wanted).handled = true;
    },
    async unfinished() {
      return rows.filter((one) => one.state === 'prepared' || (one.state === 'applied' && !one.handled));
    },
    list: async () => ({ rows: [], total: 0 }),
    pushersOf: async () => new Map(),
    share: async () => undefined,
    shareAll: async () => undefined,
    lastPushers: async () => undefined,
  };
}

function fakeDirectory(rules: readonly ProtectedRef[]): Directory {
  return {
    users: async () => new Map(),
    userByName: async () => undefined,
    project: async (_tx, wanted) => ({
      id: wanted,
      path: 'group/project',
      visibility: 'private',
      archived: false,
      namespaceId: id(1),
      rootGroupId: id(1),
      defaultBranch: 'main',
      chainDepth: 0,
    }),
    projectByPath: async () => undefined,
    group: async () => undefined,
    groupByPath: async () => undefined,
    projectLevels: async () => new Map(),
    groupLevels: async () => new Map(),
    protectedRefs: async () => rules,
  };
}
