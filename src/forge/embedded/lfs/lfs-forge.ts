import type { Clock } from '../../../base/clock.ts';
import { digestFrom } from '../../../base/digest.ts';
import { isJobpassError, JobpassError } from '../../../base/errors.ts';
import type { ProjectId, UserId } from '../../../base/ids.ts';
import { limits } from '../../../base/limits.ts';
import { type Grant, jobBehind, type Permission, verifyGrant } from '../../../pass/grant.ts';
import type { ContentStore } from '../../../ports/content.ts';
import type { Directory } from '../../../ports/directory.ts';
import type { Leaks } from '../../../ports/leaks.ts';
import type { Transactor } from '../../../ports/tx.ts';
import type { LfsForge, LfsLock } from '../../lfs.ts';
import { cut } from '../cut.ts';
import { searched } from '../searched.ts';
import type { LfsLockRecord, LfsStore } from '../ports.ts';

export interface LfsDeps {
  readonly lfs: LfsStore;
  readonly content: ContentStore;
  readonly directory: Directory;
  readonly transactor: Transactor;
  readonly clock: Clock;
  readonly leaks: Leaks;
}

/** Large files of projects: a row for each project that holds one, the bytes once for all. */
export function makeLfsForge({ lfs, content, directory, transactor, clock, leaks }: LfsDeps): LfsForge {
  const check = (grant: Grant, permission: Permission, project: ProjectId): void =>
    verifyGrant(grant, permission, { kind: 'project', id: project });
  /** A push asks what is there, too. */
  const reads = (grant: Grant, project: ProjectId): void =>
    check(grant, grant.accesses.some(({ permission }) => permission === 'code:push') ? 'code:push' : 'code:download', project);
  const shown = async (locks: readonly LfsLockRecord[]): Promise<LfsLock[]> => {
    const users = await directory.users(
      null,
      locks.map(({ ownerId }) => ownerId),
    );
    return locks.map((lock) => ({ ...lock, id: String(lock.id), ownerName: users.get(lock.ownerId)?.username ?? 'ghost' }));
  };
  const one = async (lock: LfsLockRecord): Promise<LfsLock> => {
    const [found] = await shown([lock]);
    if (found === undefined) throw new JobpassError('internal');
    return found;
  };

  return {
    held(grant, project, oids) {
      reads(grant, project);
      return lfs.held(null, project, oids);
    },
    async read(grant, project, oid, range) {
      check(grant, 'code:download', project);
      // By the project's own row, never by the oid alone (A40).
      if (!(await lfs.held(null, project, [oid])).has(oid)) throw new JobpassError('not_found', { what: 'Object' });
      return content.read(digestFrom('sha256', oid), { range, signal: grant.signal });
    },
    async write(grant, project, { oid, sizeBytes }, body) {
      check(grant, 'code:push', project);
      const owner = String(project);
      const id = await content.begin(owner);
      let stored: number;
      try {
        stored = await searched(leaks, grant, cut(grant, body), {
          what: `a large file of project ${project}`,
          door: 'git',
          store: (bytes) => content.append(owner, id, 0, bytes, Math.min(sizeBytes, limits.lfsObjectBytes)),
          // Whatever fails here discards it, below.
          remove: () => Promise.resolve(),
        });
      } catch (error) {
        await content.discard(owner, id);
        if (isJobpassError(error, 'too_large') && sizeBytes <= limits.lfsObjectBytes)
          throw new JobpassError('invalid_input', `The object is longer than the ${sizeBytes} bytes that were announced.`);
        throw error;
      }
      if (stored !== sizeBytes) {
        await content.discard(owner, id);
        throw new JobpassError('invalid_input', `The object has ${stored} bytes, not the ${sizeBytes} that were announced.`);
      }
      const digest = digestFrom('sha256', oid);
      await content.finish(owner, id, digest);
      await transactor.write(async (tx) => {
        await grant.confirm(tx);
        await lfs.hold(tx, project, oid, stored, clock.now());
        if (!content.holds(digest)) throw new JobpassError('store_unavailable', 'The object was just being removed. Push it again.');
      });
    },

    async lock(grant, project, path, owner) {
      check(grant, 'code:push', project);
      const { lock, created } = await transactor.write(async (tx) => {
        await grant.confirm(tx);
        return lfs.lock(tx, project, path, owner, clock.now(), jobBehind(grant.identity) ?? null);
      });
      return { lock: await one(lock), created };
    },
    async locks(grant, project, filter) {
      reads(grant, project);
      const [id, after] = [numberOf(filter.id), numberOf(filter.cursor)];
      if (id === null || after === null) return { locks: [], nextCursor: null };
      const rows = await lfs.locks(null, project, {
        limit: filter.limit + 1,
        ...(filter.path === undefined ? {} : { path: filter.path }),
        ...(id === undefined ? {} : { id }),
        ...(after === undefined ? {} : { after }),
      });
      const page = rows.slice(0, filter.limit);
      return { locks: await shown(page), nextCursor: rows.length > filter.limit ? String(page.at(-1)?.id ?? '') : null };
    },
    async unlock(grant, project, text, by: UserId, force) {
      check(grant, 'code:push', project);
      if (force) check(grant, 'lfs_lock:force', project);
      const id = numberOf(text) ?? 0;
      const lock = await transactor.write(async (tx) => {
        await grant.confirm(tx);
        const [found] = await lfs.locks(tx, project, { id, limit: 1 });
        if (found === undefined) throw new JobpassError('not_found', { what: 'Lock' });
        // A lock is its owner's: where several stand behind the request, nobody else may be among them (R3), unless their job locked it.
        const alone = grant.principals.every((user) => user === by);
        const own = found.ownerId === by && (alone || (found.jobId !== null && found.jobId === jobBehind(grant.identity)));
        if (!own && !force)
          throw new JobpassError('access_denied', 'Another user holds this lock; a maintainer may take it away with force.');
        await lfs.unlock(tx, project, id);
        return found;
      });
      return one(lock);
    },
  };
}

/** @returns undefined for none, null for one that is none of ours */
function numberOf(text: string | undefined): number | undefined | null {
  if (text === undefined) return undefined;
  return /^\d{1,15}$/.test(text) ? Number(text) : null;
}
