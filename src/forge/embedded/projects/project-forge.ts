import type { Clock } from '../../../base/clock.ts';
import { JobpassError } from '../../../base/errors.ts';
import { present } from '../../../base/assert.ts';
import type { ProjectId, UserId } from '../../../base/ids.ts';
import { matchesPattern } from '../../../base/refs.ts';
import { type Permission, verifyGrant } from '../../../pass/grant.ts';
import type { Directory } from '../../../ports/directory.ts';
import type { MaybeTx, Transactor, Tx } from '../../../ports/tx.ts';
import type { Project, ProjectForge } from '../../forge.ts';
import type { RepositoryForge } from '../../repository.ts';
import type { GitRunner } from '../git/processes.ts';
import type { Repositories } from '../git/repositories.ts';
import { checkLevel, memberCalls } from '../members.ts';
import type { ForgeStores, ProjectRecord } from '../ports.ts';
import { requireAny } from '../repository/grants.ts';
import { checkSlug } from '../slugs.ts';
import { checkVisibility, narrower, viewersOf } from '../visibility.ts';
import type { PackageDeps } from '../packages/package-forge.ts';
import { checkSize, copyRefs } from './copy.ts';

export interface ServiceDeps {
  readonly stores: ForgeStores;
  readonly directory: Directory;
  readonly transactor: Transactor;
  readonly clock: Clock;
}

/** Any of these shows the project itself. */
const shown: readonly Permission[] = [
  'project:read',
  'project:fork',
  'project:settings',
  'project:delete',
  'pipeline:create',
  'code:push',
  'code:download',
];

export function makeProjectForge(
  deps: ServiceDeps & { readonly repositories: Repositories; readonly repository: RepositoryForge; readonly git: GitRunner } & Pick<
      PackageDeps,
      'packages' | 'blobs'
    >,
): ProjectForge {
  const { stores, transactor, clock, repositories } = deps;
  const on = (id: ProjectId) => ({ kind: 'project', id }) as const;
  const members = memberCalls(deps, 'member:read', 'member:write', (id: ProjectId) => ({ kind: 'project', id }) as const);

  const present_ = async (tx: MaybeTx, record: ProjectRecord): Promise<Project> => {
    const namespace = present(await stores.groups.byId(tx, record.namespaceId), 'the namespace');
    const { id, kind, name, slug, path, parentId } = namespace;
    return { ...record, namespace: { id, kind, name, slug, path, parentId } };
  };
  const read = async (tx: MaybeTx, id: ProjectId): Promise<Project> => {
    const record = await stores.projects.byId(tx, id);
    if (record === undefined) throw new JobpassError('not_found', { what: 'Project' });
    return present_(tx, record);
  };

  /** Protects the default branch, and makes the creator owner where nothing inherited does. */
  const settleNew = async (tx: Tx, id: ProjectId, defaultBranch: string, creatorId: UserId): Promise<void> => {
    const rule = { kind: 'branch', pattern: defaultBranch, pushLevel: 40, mergeLevel: 40, allowForcePush: false } as const;
    await stores.protectedRefs.put(tx, id, rule);
    const level = (await deps.directory.projectLevels(tx, [creatorId], id, clock.now())).get(creatorId) ?? 0;
    if (level < 40) await stores.members.add(tx, { kind: 'project', id }, creatorId, 50, null, clock.now());
  };

  return {
    async one(grant, id) {
      requireAny(grant, id, shown);
      return read(null, id);
    },
    async list(grant, filter, page) {
      if (filter.forkedFromId !== undefined) verifyGrant(grant, 'project:read', on(filter.forkedFromId));
      else if (filter.groupId === undefined) verifyGrant(grant, 'project:list', { kind: 'instance' });
      else verifyGrant(grant, 'group:read', { kind: 'group', id: filter.groupId });
      const { minLevel, ...rest } = filter;
      const found = await stores.projects.list(null, viewersOf(grant, clock, minLevel), rest, page);
      return { rows: await Promise.all(found.rows.map((row) => present_(null, row))), total: found.total };
    },
    async create(grant, request) {
      verifyGrant(grant, 'project:create', { kind: 'group', id: request.namespaceId });
      checkSlug(request.slug, 'project');
      const record = await transactor.write(async (tx) => {
        await grant.confirm(tx);
        const namespace = present(await stores.groups.byId(tx, request.namespaceId), 'the namespace');
        checkVisibility(request.visibility, namespace.kind === 'user' ? 'public' : namespace.visibility);
        const made = await stores.projects.insert(tx, { ...request, createdAt: clock.now() });
        await settleNew(tx, made.id, request.defaultBranch, request.creatorId);
        return made;
      });
      try {
        await repositories.create(record.id, request.defaultBranch);
      } catch (error) {
        // No project without its repository: the row goes again, its number is never reused.
        await transactor.write((tx) => stores.projects.remove(tx, record.id));
        throw error;
      }
      return present_(null, record);
    },
    async fork(grant, source, request) {
      verifyGrant(grant, 'project:fork', on(source));
      verifyGrant(grant, 'project:create', { kind: 'group', id: request.namespaceId });
      checkSlug(request.slug, 'project');
      const from = await read(null, source);
      await checkSize(deps.git, await repositories.existing(source));
      const record = await transactor.write(async (tx) => {
        await grant.confirm(tx);
        const namespace = present(await stores.groups.byId(tx, request.namespaceId), 'the namespace');
        const visibility = narrower(from.visibility, namespace.kind === 'user' ? 'public' : namespace.visibility);
        const { description, defaultBranch } = from;
        const made = await stores.projects.insert(tx, {
          ...request,
          description,
          visibility,
          defaultBranch,
          forkedFromId: source,
          createdAt: clock.now(),
        });
        await settleNew(tx, made.id, defaultBranch, request.creatorId);
        return made;
      });
      try {
        await repositories.create(record.id, from.defaultBranch);
        await copyRefs(deps.git, await repositories.existing(source), await repositories.existing(record.id));
        await transactor.write(async (tx) => {
          await stores.pushLog.shareAll(tx, source, record.id);
          await stores.lfs.holdAll(tx, source, record.id, clock.now());
          await stores.projects.change(tx, record.id, { emptyRepo: from.emptyRepo });
        });
      } catch (error) {
        await transactor.write((tx) => stores.projects.remove(tx, record.id));
        await repositories.remove(record.id);
        throw error;
      }
      return read(null, record.id);
    },
    async change(grant, id, change) {
      verifyGrant(grant, 'project:settings', on(id));
      if (change.slug !== undefined) checkSlug(change.slug, 'project');
      if (change.defaultBranch !== undefined) await repositories.setDefaultBranch(id, change.defaultBranch);
      return transactor.write(async (tx) => {
        await grant.confirm(tx);
        const record = await read(tx, id);
        if (change.visibility !== undefined) {
          const namespace = present(await stores.groups.byId(tx, record.namespace.id), 'the namespace');
          checkVisibility(change.visibility, namespace.kind === 'user' ? 'public' : namespace.visibility);
        }
        await stores.projects.change(tx, id, change);
        return read(tx, id);
      });
    },
    async setArchived(grant, id, archived) {
      verifyGrant(grant, 'project:delete', on(id));
      return transactor.write(async (tx) => {
        await grant.confirm(tx);
        await stores.projects.change(tx, id, { archived });
        return read(tx, id);
      });
    },
    async remove(grant, id) {
      verifyGrant(grant, 'project:delete', on(id));
      const keys = await deps.packages.keysOf(null, id);
      await transactor.write(async (tx) => {
        await grant.confirm(tx);
        await stores.projects.remove(tx, id);
      });
      await repositories.remove(id);
      for (const key of keys) await deps.blobs.remove(key);
    },
    members: members.list,
    member: members.one,
    addMember: members.add,
    changeMember: members.change,
    removeMember: members.remove,
    async levelsOf(grant, id, user) {
      requireAny(grant, id, shown);
      const direct = await stores.members.one(null, on(id), false, user);
      const record = await read(null, id);
      const inherited = (await deps.directory.groupLevels(null, [user], record.namespace.id, clock.now())).get(user);
      return { project: direct?.accessLevel ?? null, group: inherited ?? null };
    },
    async protections(grant, id, kind) {
      verifyGrant(grant, 'protection:read', on(id));
      return (await deps.directory.protectedRefs(null, id)).filter((rule) => rule.kind === kind);
    },
    async protect(grant, id, rule) {
      verifyGrant(grant, 'protection:write', on(id));
      if (rule.pattern === '' || rule.pattern.length > 255 || matchesPattern(rule.pattern, ''))
        throw new JobpassError('invalid_input', { fields: { name: ['is invalid'] } });
      for (const level of [rule.pushLevel, rule.mergeLevel]) checkLevel(level, [0, 30, 40]);
      await transactor.write(async (tx) => {
        await grant.confirm(tx);
        const known = (await deps.directory.protectedRefs(tx, id)).some((one) => one.kind === rule.kind && one.pattern === rule.pattern);
        if (known) throw new JobpassError('conflict', `Protected ${rule.kind} '${rule.pattern}' already exists`);
        await stores.protectedRefs.put(tx, id, rule);
      });
      return rule;
    },
    async unprotect(grant, id, kind, pattern) {
      verifyGrant(grant, 'protection:write', on(id));
      return transactor.write(async (tx) => {
        await grant.confirm(tx);
        return stores.protectedRefs.remove(tx, id, kind, pattern);
      });
    },
  };
}
