import { JobpassError } from '../base/errors.ts';
import type { JobId, RunnerId } from '../base/ids.ts';
import { randomBase62, Secret } from '../base/secret.ts';
import { type Grant, type Permission, verifyGrant } from '../pass/grant.ts';
import type { Tx } from '../ports/tx.ts';
import type { JobsDeps } from './deps.ts';
import type { Runners } from './jobs.ts';

/** How stale the time of a runner's last contact may be. */
const touchMs = 30_000;

/** Runners as admins, owners and the runners themselves see them. */
export function makeRunners(deps: JobsDeps): Runners {
  const { jobs, runners, revoker, transactor, clock } = deps;
  const instance = { kind: 'instance' } as const;
  const admin = (grant: Grant, permission: Permission): void => verifyGrant(grant, permission, instance);
  const selfId = (grant: Grant) => {
    verifyGrant(grant, 'runner:self', instance);
    if (grant.identity.kind !== 'runner') throw new JobpassError('internal');
    return grant.identity.runnerId;
  };
  /** What it holds of its jobs' passes dies with its registration (R2, R7); the jobs themselves may still be reported. */
  const forget = async (tx: Tx, id: RunnerId): Promise<readonly JobId[]> => {
    const taken = await jobs.runningOn(tx, id);
    for (const job of taken) await revoker.revokeForJob(tx, job, 'its runner was removed');
    await runners.remove(tx, id);
    return taken;
  };
  const cut = (taken: readonly JobId[]): void => {
    for (const job of taken) revoker.jobEnded(job);
  };
  return {
    async create(grant, request) {
      if (request.scope === 'instance') admin(grant, 'runner:write');
      else if (request.scope === 'project') verifyGrant(grant, 'project_runner:write', { kind: 'project', id: request.scopeId as never });
      else verifyGrant(grant, 'group_runner:write', { kind: 'group', id: request.scopeId as never });
      const secret = new Secret(`glrt-${randomBase62(20)}`);
      const runner = await transactor.write(async (tx) => {
        await grant.confirm(tx);
        return runners.insert(tx, { ...request, tokenDigest: secret.digest(), createdAt: clock.now() });
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
    async change(grant, id, change) {
      admin(grant, 'runner:write');
      return transactor.write(async (tx) => {
        await grant.confirm(tx);
        const known = await runners.byId(tx, id);
        if (known === undefined) return undefined;
        const { pinned, ...rest } = change;
        const pin = pinned === undefined ? {} : { pinned: pinned === null ? null : { ...pinned, at: clock.now() } };
        await runners.change(tx, id, { ...rest, ...pin });
        deps.wakeup.changed();
        return runners.byId(tx, id);
      });
    },
    async remove(grant, id) {
      admin(grant, 'runner:write');
      const taken = await transactor.write(async (tx) => {
        await grant.confirm(tx);
        return (await runners.byId(tx, id)) === undefined ? undefined : forget(tx, id);
      });
      cut(taken ?? []);
      return taken !== undefined;
    },
    async self(grant) {
      const runner = await runners.byId(null, selfId(grant));
      if (runner === undefined) throw new JobpassError('credential_invalid');
      return runner;
    },
    async removeSelf(grant) {
      const id = selfId(grant);
      cut(await transactor.write((tx) => forget(tx, id)));
    },
    async pinKey(id, publicKey) {
      await transactor.write(async (tx) => {
        const runner = await runners.byId(tx, id);
        if (runner === undefined) throw new JobpassError('credential_invalid');
        if (runner.publicKey === publicKey) return;
        // A stolen token must not bring its own key (A60).
        if (runner.publicKey !== null)
          throw new JobpassError('access_denied', 'Another key is pinned to this runner. Remove the runner and register it anew.');
        await runners.change(tx, id, { publicKey });
      });
    },
    useNonce: (id, nonce, at) => transactor.write((tx) => runners.useNonce(tx, id, nonce, at)),
    async touch(id, version) {
      const now = clock.now();
      const short = version?.slice(0, 100) ?? null;
      const known = await runners.byId(null, id);
      // Runners ask every few seconds; a durable write each time would be most of what an idle server does.
      if (known === undefined || (known.version === short && known.contactAt !== null && now - known.contactAt < touchMs)) return;
      await transactor.write((tx) => runners.change(tx, id, { contactAt: now, version: short }));
    },
  };
}
