import { beforeEach, describe, expect, test } from 'vitest';
import { AuditTrail } from '../../src/audit/trail.ts';
import { type GroupId, id, type JobId, type Oid, type ProjectId, type RefName, type UserId } from '../../src/base/ids.ts';
import { limits } from '../../src/base/limits.ts';
import type { RefChange } from '../../src/base/refs.ts';
import type { Secret } from '../../src/base/secret.ts';
import { makeGatekeeper } from '../../src/pass/admit.ts';
import { type Grant, verifyGrant } from '../../src/pass/grant.ts';
import { LiveGrants } from '../../src/pass/live.ts';
import type { Access, Admission, AskContext, Gatekeeper, Permission } from '../../src/pass/subject.ts';
import { makeTx, MemoryWorld } from '../support/memory-ports.ts';

const context: AskContext = { door: 'api', endpoint: 'GET /x', requestId: 'r1', secure: true };
let world: MemoryWorld;
let trail: AuditTrail;
let live: LiveGrants;
let gatekeeper: Gatekeeper;
let counted: string[];
let alice: UserId;
let bob: UserId;
let shop: ProjectId;

beforeEach(() => {
  world = new MemoryWorld();
  trail = new AuditTrail(world.audit, world.clock, () => {});
  live = new LiveGrants(async () => true, 1e6);
  counted = [];
  const onDecision = (decision: string): void => void counted.push(decision);
  gatekeeper = makeGatekeeper({ ...world.ports, trail, live, onDecision });
  [alice, bob] = [world.user(1), world.user(2)];
  world.project(1, { 1: 40 });
  shop = world.project(7, { 1: 40, 2: 30 });
  return () => live.close();
});

const on = (permission: Permission, project: number = shop): Access => ({
  permission,
  resource: { kind: 'project', id: id<ProjectId>(project) },
});
const ask = (secret: Secret, ...accesses: Access[]): Promise<Admission> =>
  gatekeeper.admit({ kind: 'secret', secret, carrier: 'private_token' }, accesses, context);
const change = (ref: string, rest: Partial<RefChange> = {}): RefChange => ({
  projectId: shop,
  ref: ref as RefName,
  oldOid: '1'.repeat(40) as Oid,
  newOid: '2'.repeat(40) as Oid,
  kind: 'update',
  forced: false,
  touchesJobpass: false,
  ...rest,
});

async function granted(secret: Secret, ...accesses: Access[]): Promise<Grant> {
  const admission = await ask(secret, ...accesses);
  if (!admission.ok) throw new Error(admission.refusal.message);
  return admission.grant;
}
async function refused(secret: Secret, ...accesses: Access[]): Promise<{ code: string; message: string; rule: string }> {
  const admission = await ask(secret, ...accesses);
  if (admission.ok) throw new Error('was granted');
  return admission.refusal;
}

describe('R10 the trail', () => {
  test('R10 the allow row is there before the grant, its outcome after', async () => {
    const grant = await granted(world.pass('full', [alice]).secret, on('code:push'), on('project:read', 1));
    expect(world.rows).toMatchObject([
      {
        decision: 'allow',
        subject: 'pass',
        passKind: 'full',
        jobId: 1,
        jobProjectId: 1,
        principals: [alice],
        accesses: ['code:push@project:7', 'project:read@project:1'],
        outcome: null,
      },
    ]);
    await gatekeeper.settle(grant, 'done');
    expect(world.rows[0]?.outcome).toBe('done');
  });

  test('A54 where the trail fails there is no grant, and nothing stays open', async () => {
    const { secret } = world.pass('full', [alice]);
    world.auditFails = true;
    await expect(ask(secret, on('code:push'))).rejects.toMatchObject({ code: 'audit_unavailable' });
    expect(live.size).toBe(0);
  });

  test('R10 a grant covers exactly what was asked', async () => {
    const grant = await granted(world.pass('full', [alice]).secret, on('code:push'));
    expect(() => verifyGrant(grant, 'code:push', { kind: 'project', id: shop })).not.toThrow();
    expect(() => verifyGrant(grant, 'code:download', { kind: 'project', id: shop })).toThrow();
    expect(() => verifyGrant(grant, 'code:push', { kind: 'project', id: id<ProjectId>(1) })).toThrow();
  });

  test('R10 unauthenticated refusals are counts, a dead pass is a row', async () => {
    const { secret } = world.pass('full', [alice]);
    await gatekeeper.admit({ kind: 'anonymous' }, [on('code:push')], context);
    await gatekeeper.admit({ kind: 'anonymous' }, [on('code:download', 99)], context);
    expect(counted).toEqual(['unauthenticated', 'unauthenticated']);
    world.endJob(1);
    expect(await refused(secret, on('code:push'))).toMatchObject({ code: 'pass_dead', rule: 'R2' });
    await trail.flush();
    expect(world.rows).toMatchObject([{ decision: 'deny', rule: 'R2', count: 1 }]);
  });

  test('A65 a thousand equal refusals are one counted row; past the rate what is asked for makes no rows of its own', async () => {
    const { secret } = world.pass('full', [bob]);
    for (let index = 0; index < 1000; index += 1) await refused(secret, on('code:push', 1));
    await trail.flush();
    expect(world.rows).toMatchObject([{ decision: 'deny', count: 1000 }]);
    for (let index = 0; index < 50; index += 1)
      expect(await refused(secret, on('code:push', 1000 + index))).toMatchObject({ code: 'rate_limited' });
    await trail.flush();
    expect(world.rows.slice(1)).toMatchObject([{ rule: 'R10', accesses: [], endpoint: '*', count: 50 }]);
  });

  test('A65 a pass that used up its rows leaves one more, then none; the job’s ordinary token has a quota too', async () => {
    const { secret } = world.pass('full', [alice]);
    world.auditCount = limits.auditRowsPerPass;
    for (let index = 0; index < 3; index += 1) expect(await refused(secret, on('code:push'))).toMatchObject({ code: 'quota_exceeded' });
    await trail.flush();
    expect(world.rows).toHaveLength(1);
    const token = world.jobToken(bob);
    const askJob = () => gatekeeper.admit({ kind: 'secret', secret: token, carrier: 'job_token' }, [on('code:push')], context);
    for (let index = 0; index < 1000; index += 1) await askJob();
    expect(await askJob()).toMatchObject({ ok: false, refusal: { code: 'rate_limited' } });
  });

  test('A65 a dead pass over its quota is still told that it is dead', async () => {
    const { secret } = world.pass('full', [alice]);
    world.endJob(1);
    world.auditCount = limits.auditRowsPerPass + 1;
    expect(await refused(secret, on('code:push'))).toMatchObject({ code: 'pass_dead' });
    await trail.flush();
    expect(world.rows).toHaveLength(0);
  });
});

describe('who may', () => {
  test('R1 A68 an administrator’s pass has no admin power, the own token has', async () => {
    const root = world.user(9, { isAdmin: true });
    expect(await refused(world.pass('full', [root]).secret, on('code:download'))).toMatchObject({ code: 'not_found' });
    await granted(world.personalToken(root), on('code:download'));
  });

  test('R1 A37 a right lost or a block during the job counts from the next request', async () => {
    const { secret } = world.pass('full', [alice]);
    await granted(secret, on('code:push'));
    world.setLevel(shop, alice, 20);
    expect(await refused(secret, on('code:push'))).toMatchObject({ code: 'access_denied' });
    world.user(1, { state: 'blocked' });
    expect(await refused(secret, on('code:download'))).toMatchObject({
      code: 'access_denied',
      message: expect.stringContaining('blocked'),
    });
  });

  test('A13 A12 several accesses stand or fall together', async () => {
    const hidden = world.project(8);
    expect(await refused(world.pass('full', [alice]).secret, on('container:push'), on('container:read', hidden))).toMatchObject({
      code: 'not_found',
    });
    expect(world.rows.filter((row) => row.decision === 'allow')).toHaveLength(0);
  });

  test('R14 A38 a pass is for the id: a project that took over the path gives nothing', async () => {
    const { secret } = world.pass('full', [bob]);
    await granted(secret, on('code:push'));
    world.projects.delete(shop);
    world.project(70, {}, { path: 'group/p7' });
    expect(await refused(secret, on('code:push'))).toMatchObject({ code: 'not_found' });
    expect(await refused(secret, on('code:push', 70))).toMatchObject({ code: 'not_found' });
  });

  test('A41 a token without scope, a blocked principal, the anonymous: hidden and absent read alike', async () => {
    const hidden = world.project(8);
    const absent = 999;
    world.user(3, { state: 'blocked' });
    const secrets = [
      world.personalToken(alice, ['read_user']),
      world.personalToken(bob),
      world.pass('full', [bob]).secret,
      world.pass('fetch', [bob]).secret,
      world.pass('full', [bob, id<UserId>(3)]).secret,
      world.pass('full', [bob], { ownProjectOnly: true }).secret,
    ];
    for (const secret of secrets)
      for (const permission of ['project:read', 'code:push', 'member:write'] as const)
        expect(await refused(secret, on(permission, hidden))).toEqual(await refused(secret, on(permission, absent)));
    const anonymous = (access: Access) => gatekeeper.admit({ kind: 'anonymous' }, [access], context);
    expect(await anonymous(on('code:push', hidden))).toEqual(await anonymous(on('code:push', absent)));
    const userRead = (user: number): Access => ({ permission: 'user:read', resource: { kind: 'user', id: id<UserId>(user) } });
    expect(await anonymous(userRead(1))).toEqual(await anonymous(userRead(999)));
  });

  test('A59 who last wrote to the protected ref counts outside the own top-level group, not inside', async () => {
    const sibling = world.project(5, { 1: 40 });
    const foreign = world.project(6, { 1: 40 }, { rootGroupId: id<GroupId>(20) });
    const { secret } = world.pass('full', [alice], {
      principals: [
        { userId: alice, reason: 'starter' },
        { userId: bob, reason: 'last_merger' },
      ],
    });
    await granted(secret, on('code:push', sibling));
    expect(await refused(secret, on('code:push', foreign))).toMatchObject({ code: 'not_found' });
    world.setLevel(foreign, bob, 30);
    await granted(secret, on('code:push', foreign));
  });

  test('A8 lists of a pass are filtered by every principal, those of the anonymous by none', async () => {
    const list: Access = { permission: 'project:list', resource: { kind: 'instance' } };
    expect((await granted(world.pass('full', [alice, bob]).secret, list)).filter).toEqual({ principals: [alice, bob] });
    expect(await gatekeeper.admit({ kind: 'system', reason: 'reaper' }, [list], context)).toMatchObject({ ok: false });
  });

  test('A40 a fetch pass fetches and nothing else', async () => {
    const { secret } = world.pass('fetch', [alice]);
    await granted(secret, on('code:download'), on('container:read'));
    for (const permission of ['code:push', 'repository:read', 'project:read', 'container:push', 'release:write'] as const)
      expect(await refused(secret, on(permission))).toMatchObject({ code: 'access_denied', rule: 'R8' });
  });
});

describe('R2 at the moment of effect', () => {
  test('R2 A61 A5 confirm asks again inside the transaction: job, revocation, rights', async () => {
    const { secret, record } = world.pass('full', [alice]);
    const grant = await granted(secret, on('code:push'));
    const tx = makeTx();
    await grant.confirm(tx);
    expect(world.lockedIn.at(-1)).toBe(tx);
    world.setLevel(shop, alice, 10);
    await expect(grant.confirm(tx)).rejects.toMatchObject({ code: 'access_denied' });
    world.setLevel(shop, alice, 40);
    await world.passes.revoke(tx, record.id, 'leak', world.now);
    await expect(grant.confirm(tx)).rejects.toMatchObject({ code: 'pass_dead' });
    const second = await granted(world.pass('full', [alice]).secret, on('code:push'));
    world.endJob(1);
    await expect(second.confirm(tx)).rejects.toMatchObject({ code: 'pass_dead' });
  });

  test('R2 confirm sees a blocked principal, a revoked personal token and a job token whose job ended', async () => {
    const tx = makeTx();
    const pass = await granted(world.pass('full', [alice, bob]).secret, on('code:push'));
    const token = world.personalToken(alice);
    const own = await granted(token, on('code:push'));
    const job = await gatekeeper.admit(
      { kind: 'secret', secret: world.jobToken(alice), carrier: 'job_token' },
      [on('code:download', 1)],
      context,
    );
    if (!job.ok) throw new Error('the job token was refused');
    world.user(2, { state: 'blocked' });
    await expect(pass.confirm(tx)).rejects.toMatchObject({ code: 'access_denied' });
    const row = world.personal.get(token.digest());
    if (row !== undefined) world.personal.set(token.digest(), { ...row, revokedAt: world.now });
    await expect(own.confirm(tx)).rejects.toMatchObject({ code: 'credential_invalid' });
    world.endJob(1);
    await expect(job.grant.confirm(tx)).rejects.toMatchObject({ code: 'pass_dead' });
  });

  test('R2 the job’s end aborts what its passes have open; a settled grant is out of the registry', async () => {
    const grant = await granted(world.pass('full', [alice]).secret, on('code:download'));
    const other = await granted(world.pass('full', [alice], { jobId: id<JobId>(2) }).secret, on('code:download'));
    live.jobEnded(id<JobId>(1));
    expect([grant.signal.aborted, other.signal.aborted]).toEqual([true, false]);
    await gatekeeper.settle(grant, 'cut');
    await gatekeeper.settle(other, 'done');
    expect(live.size).toBe(0);
  });
});

describe('refs', () => {
  test('R3 A58 the lowest right of all principals decides, each ref has a row, and shares the push’s outcome', async () => {
    world.rules.set(shop, [{ kind: 'branch', pattern: 'main', pushLevel: 40, mergeLevel: 40, allowForcePush: false }]);
    const grant = await granted(world.pass('full', [alice, bob]).secret, on('code:push'));
    const decisions = await gatekeeper.admitRefs(grant, [change('refs/heads/main'), change('refs/heads/x')]);
    expect(decisions.map(({ allowed }) => allowed)).toEqual([false, true]);
    expect(decisions[0]?.message).toContain('user2');
    await gatekeeper.settle(grant, 'failed');
    await trail.flush();
    expect(world.rows.map(({ decision, endpoint, outcome }) => [decision, endpoint.split(' ').slice(0, 2).join(' '), outcome])).toEqual([
      ['allow', 'GET /x', 'failed'],
      ['allow', 'update refs/heads/x', 'failed'],
      ['deny', 'update refs/heads/main', null],
    ]);
    expect(grant.principals).toEqual([alice, bob]);
    const own = await granted(world.personalToken(alice), on('code:push'));
    expect(await gatekeeper.admitRefs(own, [change('refs/heads/main')])).toMatchObject([{ allowed: true }]);
  });

  test('R2 R10 a ref is asked about again without another row or quota, by the rules and roles as they are then', async () => {
    const grant = await granted(world.pass('full', [alice]).secret, on('code:push'));
    const asked = [change('refs/heads/main')];
    expect(await gatekeeper.admitRefs(grant, asked)).toMatchObject([{ allowed: true }]);
    const rows = world.rows.length;
    expect(await gatekeeper.admitRefs(grant, asked, 'again')).toMatchObject([{ allowed: true }]);
    expect(world.rows).toHaveLength(rows);
    world.rules.set(shop, [{ kind: 'branch', pattern: 'main', pushLevel: 0, mergeLevel: 40, allowForcePush: false }]);
    expect(await gatekeeper.admitRefs(grant, asked, 'again')).toMatchObject([{ allowed: false }]);
    await trail.flush();
    expect(world.rows.at(-1)).toMatchObject({ decision: 'deny', endpoint: expect.stringContaining('refs/heads/main') });
  });

  test('R1 A68 an administrator moves a ref with the own token, not with a pass', async () => {
    const root = world.user(9, { isAdmin: true });
    const grant = await granted(world.personalToken(root), on('code:push'));
    expect(await gatekeeper.admitRefs(grant, [change('refs/heads/x')])).toMatchObject([{ allowed: true }]);
    world.setLevel(shop, root, 30);
    const pass = await granted(world.pass('full', [root]).secret, on('code:push'));
    world.setLevel(shop, root, 20);
    expect(await gatekeeper.admitRefs(pass, [change('refs/heads/x')])).toMatchObject([{ allowed: false }]);
  });

  test('R4 A66 .jobpass/ is closed to passes', async () => {
    const grant = await granted(world.pass('full', [alice]).secret, on('code:push'));
    expect(await gatekeeper.admitRefs(grant, [change('refs/heads/x', { touchesJobpass: true })])).toMatchObject([{ allowed: false }]);
  });

  test('A54 no row, no ref; A65 refs count against the quota', async () => {
    const grant = await granted(world.pass('full', [alice]).secret, on('code:push'));
    world.auditFails = true;
    await expect(gatekeeper.admitRefs(grant, [change('refs/heads/x')])).rejects.toMatchObject({ code: 'audit_unavailable' });
    world.auditFails = false;
    world.auditCount = limits.auditRowsPerPass - 2;
    const tight = await granted(world.pass('full', [alice]).secret, on('code:push'));
    expect(await gatekeeper.admitRefs(tight, [change('refs/heads/x'), change('refs/heads/y')])).toMatchObject([
      { allowed: false },
      { allowed: false },
    ]);
  });
});
