import { JobpassError } from '../base/errors.ts';
import type { EpochMillis, GroupId, JobId, ManagerId, ProjectId, RunnerId } from '../base/ids.ts';
import { randomBase62, Secret } from '../base/secret.ts';
import { assistProblem } from '../pass/assist.ts';
import { type Grant, type Permission, verifyGrant } from '../pass/grant.ts';
import type { ManagerInfo, RunnerRecord } from '../ports/runners.ts';
import type { Tx } from '../ports/tx.ts';
import type { JobsDeps } from './deps.ts';
import type { Runners } from './jobs.ts';
import { checkRunnerWrite, tokenEnd } from './registration.ts';

/** How stale the time of a machine's last contact may be: idle runners ask all the time, and each durable write is one too many. */
const touchMs = 5 * 60_000;
/** Machines of one runner, so that a stolen token cannot fill the store (A35). */
const maxManagers = 1000;

/** Runners as admins, owners and the runners themselves see them. */
export function makeRunners(deps: JobsDeps): Runners {
  const { jobs, runners, revoker, transactor, clock } = deps;
  const instance = { kind: 'instance' } as const;
  const admin = (grant: Grant, permission: Permission): void => verifyGrant(grant, permission, instance);
  const managers = new KnownManagers();
  const selfId = (grant: Grant) => {
    verifyGrant(grant, 'runner:self', instance);
    if (grant.identity.kind !== 'runner') throw new JobpassError('internal');
    return grant.identity.runnerId;
  };
  /** What it holds of its jobs' passes dies with its registration (R2, R7); the jobs themselves may still be reported. */
  const forget = async (tx: Tx, id: RunnerId): Promise<readonly JobId[]> => {
    // A job that it was just being given counts.
    await runners.lock(tx, id);
    const taken = await jobs.runningOn(tx, id);
    for (const job of taken) await revoker.revokeForJob(tx, job, 'its runner was removed');
    await runners.remove(tx, id);
    return taken;
  };
  /** What a runner is no longer trusted with ends for the jobs that it holds, too, not only for the next ones (R7). */
  const endBeyondTrust = async (tx: Tx, before: RunnerRecord, after: RunnerRecord): Promise<void> => {
    // Without the word of an admin its owner would have been a principal of all that it holds (R3).
    const none = (after.trust === 'none' && before.trust !== 'none') || (before.vouched && !after.vouched);
    const hidden =
      (before.trust === 'full' && after.trust !== 'full') ||
      (after.pinned?.verdict === 'withhold' && before.pinned?.verdict !== 'withhold') ||
      (before.pinned?.verdict === 'expose' && after.pinned === null) ||
      (before.unsafeAccepted && !after.unsafeAccepted);
    if (!none && !hidden) return;
    for (const job of await jobs.runningOn(tx, after.id))
      for (const pass of await deps.passes.forJob(tx, job))
        if (none || pass.kind === 'full') await deps.passes.revoke(tx, pass.id, 'its runner is trusted with less now', clock.now());
  };
  const cut = (id: RunnerId, taken: readonly JobId[]): void => {
    managers.forget(id);
    deps.wakeup.release(id);
    for (const job of taken) revoker.jobEnded(job);
  };
  const newToken = async (tx: Tx, id: RunnerId) => {
    const secret = new Secret(`glrt-${randomBase62(20)}`);
    await runners.change(tx, id, { tokenDigest: secret.digest(), tokenExpiresAt: await tokenEnd(deps, tx) });
    const runner = await runners.byId(tx, id);
    return runner === undefined ? undefined : { runner, secret };
  };
  return {
    async create(grant, request) {
      checkRunnerWrite(grant, request.scope, request.scopeId);
      const secret = new Secret(`glrt-${randomBase62(20)}`);
      const runner = await transactor.write(async (tx) => {
        await grant.confirm(tx);
        const made = { ...request, tokenDigest: secret.digest(), createdAt: clock.now(), tokenExpiresAt: await tokenEnd(deps, tx) };
        return runners.insert(tx, made);
      });
      return { runner, secret };
    },
    async one(grant, id) {
      admin(grant, grant.accesses.some((access) => access.permission === 'runner:write') ? 'runner:write' : 'runner:read');
      return runners.byId(null, id);
    },
    async list(grant, page) {
      admin(grant, 'runner:read');
      return runners.list(null, page);
    },
    async managers(grant, id) {
      admin(grant, 'runner:read');
      return (await runners.byId(null, id)) === undefined ? undefined : runners.managers(null, id);
    },
    async change(grant, id, change) {
      admin(grant, 'runner:write');
      const changed = await transactor.write(async (tx) => {
        await grant.confirm(tx);
        const known = await runners.lock(tx, id);
        if (known === undefined) return undefined;
        const { pinned, ...rest } = change;
        const pin = pinned === undefined ? {} : { pinned: pinned === null ? null : { ...pinned, at: clock.now() } };
        const problem = change.assist === undefined ? undefined : assistProblem({ ...known, ...rest, ...pin });
        if (problem !== undefined) throw new JobpassError('invalid_input', problem);
        await runners.change(tx, id, { ...rest, ...pin });
        const after = await runners.byId(tx, id);
        if (after !== undefined) await endBeyondTrust(tx, known, after);
        return after;
      });
      deps.wakeup.release(id);
      return changed;
    },
    async resetToken(grant, id) {
      admin(grant, 'runner:write');
      return transactor.write(async (tx) => {
        await grant.confirm(tx);
        return newToken(tx, id);
      });
    },
    async remove(grant, id) {
      admin(grant, 'runner:write');
      const taken = await transactor.write(async (tx) => {
        await grant.confirm(tx);
        return (await runners.byId(tx, id)) === undefined ? undefined : forget(tx, id);
      });
      cut(id, taken ?? []);
      return taken !== undefined;
    },
    async self(grant) {
      const runner = await runners.byId(null, selfId(grant));
      if (runner === undefined) throw new JobpassError('credential_invalid');
      return runner;
    },
    async removeSelf(grant) {
      const id = selfId(grant);
      cut(id, await transactor.write((tx) => forget(tx, id)));
    },
    async removeManager(grant, systemId) {
      const id = selfId(grant);
      managers.forget(id);
      const { gone, taken } = await transactor.write(async (tx) => {
        const left = await runners.removeManager(tx, id, systemId);
        const runner = await runners.byId(tx, id);
        const last = runner?.selfRegistered === true && (await runners.managers(tx, id)).length === 0;
        return last ? { gone: true, taken: await forget(tx, id) } : { gone: left, taken: [] };
      });
      cut(id, taken);
      return gone;
    },
    async resetOwnToken(grant) {
      const id = selfId(grant);
      const made = await transactor.write(async (tx) => {
        // Two resets with the same old token: the second one's is dead by now.
        await grant.confirm(tx);
        return newToken(tx, id);
      });
      if (made === undefined) throw new JobpassError('credential_invalid');
      return made;
    },
    async orphaned({ scope, scopeId }) {
      if (scope === 'instance') return false;
      if (scopeId === null) return true;
      const { directory } = deps;
      const found =
        scope === 'group' ? await directory.group(null, scopeId as GroupId) : await directory.project(null, scopeId as ProjectId);
      return found === undefined;
    },
    async pinKey(id, publicKey) {
      await transactor.write(async (tx) => {
        const runner = await runners.lock(tx, id);
        if (runner === undefined) throw new JobpassError('credential_invalid');
        if (runner.publicKey === publicKey) return;
        // A stolen token must not bring its own key (A60).
        if (runner.publicKey !== null)
          throw new JobpassError('access_denied', 'Another key is pinned to this runner. Remove the runner and register it anew.');
        await runners.change(tx, id, { publicKey });
      });
    },
    useNonce: (id, nonce, at) => transactor.write((tx) => runners.useNonce(tx, id, nonce, at)),
    async seen(runner, systemId, info) {
      const now = clock.now();
      const known = managers.get(runner.id, systemId, info, now);
      if (known !== undefined) return known;
      const id = await transactor.write(async (tx) => {
        const others = await runners.managers(tx, runner.id);
        if (others.length >= maxManagers && !others.some((other) => other.systemId === systemId))
          throw new JobpassError('too_large', `At most ${maxManagers} machines use one runner's token; unregister some.`);
        await runners.change(tx, runner.id, { contactAt: now, version: info.version });
        return (await runners.managerSeen(tx, runner.id, systemId, info, now)).id;
      });
      managers.put(runner.id, systemId, info, id, now);
      return id;
    },
  };
}

interface Known {
  readonly id: ManagerId;
  readonly said: string;
  readonly at: EpochMillis;
}

/** What this process wrote of machines lately. */
class KnownManagers {
  readonly #known = new Map<RunnerId, Map<string, Known>>();

  get(runner: RunnerId, systemId: string, info: ManagerInfo, now: EpochMillis): ManagerId | undefined {
    const known = this.#known.get(runner)?.get(systemId);
    return known !== undefined && known.said === JSON.stringify(info) && now - known.at < touchMs && now >= known.at ? known.id : undefined;
  }

  put(runner: RunnerId, systemId: string, info: ManagerInfo, id: ManagerId, at: EpochMillis): void {
    const machines = this.#known.get(runner) ?? new Map<string, Known>();
    machines.set(systemId, { id, said: JSON.stringify(info), at });
    this.#known.set(runner, machines);
  }

  forget(runner: RunnerId): void {
    this.#known.delete(runner);
  }
}
