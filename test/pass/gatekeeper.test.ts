import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { AuditTrail } from '../../src/audit/trail.ts';
import { type Clock } from '../../src/base/clock.ts';
import { type AuditId, id, millis, type ProjectId, type TokenId, type UserId } from '../../src/base/ids.ts';
import { Secret } from '../../src/base/secret.ts';
import { newPassToken } from '../../src/base/pass-token.ts';
import { makeGatekeeper } from '../../src/pass/admit.ts';
import { verifyGrant } from '../../src/pass/grant.ts';
import { LiveGrants } from '../../src/pass/live.ts';
import type { AuditStore, NewAuditRow } from '../../src/ports/audit.ts';
import type { Directory } from '../../src/ports/directory.ts';
import type { PassRecord } from '../../src/ports/passes.ts';
import type { AskContext, Subject } from '../../src/pass/subject.ts';

const now = millis(1_700_000_000_000);
const alice = id<UserId>(1);
const own = id<ProjectId>(7);
const hour = 3_600_000;
const context: AskContext = { door: 'test', endpoint: 'GET /x', requestId: 'request', secure: true };

/** One user with a token, one pass, one project; the trail can be made to fail. */
function world(options: { auditFails?: boolean; level?: 0 | 30 } = {}) {
  const rows: NewAuditRow[] = [];
  const state = { alive: true, at: now, contactAt: now };
  const clock: Clock = { now: () => state.at, monotonic: () => 0 };
  const audit: AuditStore = {
    append: (row) => (options.auditFails === true ? Promise.reject(new Error('disk full')) : Promise.resolve(rows.push(row) as AuditId)),
    settle: () => Promise.resolve(),
    settleUnknown: () => Promise.resolve(0),
    countForPass: () => Promise.resolve(0),
    query: () => Promise.resolve([]),
  };
  const user = { id: alice, username: 'alice', name: 'Alice', state: 'active', isAdmin: false } as const;
  const project = {
    id: own,
    path: 'a/b',
    visibility: 'private',
    archived: false,
    namespaceId: id(2),
    rootGroupId: id(2),
    defaultBranch: 'main',
    chainDepth: 0,
  } as const;
  const directory = {
    users: () => Promise.resolve(new Map([[alice, user]])),
    userByName: () => Promise.resolve(user),
    project: (_tx, wanted) => Promise.resolve(wanted === own ? { ...project, namespaceId: id(2), rootGroupId: id(2) } : undefined),
    projectByPath: () => Promise.resolve(undefined),
    group: () => Promise.resolve(undefined),
    groupByPath: () => Promise.resolve(undefined),
    projectLevels: () => Promise.resolve(new Map([[alice, options.level ?? 30]])),
    groupLevels: () => Promise.resolve(new Map()),
    protectedRefs: () => Promise.resolve([]),
  } satisfies Directory;
  const personal = new Secret('glpat-aaaaaaaaaaaaaaaaaaaa');
  const pass = newPassToken('full');
  const record: PassRecord = {
    id: id(1),
    kind: 'full',
    digest: pass.digest(),
    jobId: id(5),
    pipelineId: id(6),
    projectId: id(99),
    sha: 'a'.repeat(40),
    parentId: null,
    principals: [{ userId: alice, reason: 'starter' }],
    ownProjectOnly: false,
    chainDepth: 0,
    issuedAt: now,
    expiresAt: millis(now + hour),
    revokedAt: null,
    revokedReason: null,
  };
  const live = new LiveGrants(() => Promise.resolve(state.alive), 1_000_000);
  const trail = new AuditTrail(audit, clock, () => undefined);
  const gatekeeper = makeGatekeeper({
    credentials: {
      personalToken: (_tx, digest) =>
        Promise.resolve(
          digest === personal.digest()
            ? {
                id: id<TokenId>(1),
                userId: alice,
                name: 't',
                scopes: ['api'],
                createdAt: now,
                lastUsedAt: null,
                expiresAt: null,
                revokedAt: null,
              }
            : undefined,
        ),
      jobToken: () => Promise.resolve(undefined),
      runnerToken: () => Promise.resolve(undefined),
      registrationToken: () => Promise.resolve(undefined),
      touchPersonalToken: () => Promise.resolve(),
    },
    directory,
    ceilings: { any: () => Promise.resolve(false), of: () => Promise.resolve(undefined), set: () => Promise.resolve() },
    registryTokens: { insert: () => Promise.resolve(), byDigest: () => Promise.resolve(undefined), sweep: () => Promise.resolve(0) },
    passes: {
      insert: () => Promise.resolve(id(1)),
      byDigest: (_tx, digest) => Promise.resolve(digest === pass.digest() ? record : undefined),
      byId: () => Promise.resolve(record),
      forJob: () => Promise.resolve([]),
      revoke: () => Promise.resolve([]),
      revokeForJob: () => Promise.resolve(0),
    },
    liveness: {
      jobLife: () => Promise.resolve({ state: state.alive ? 'running' : 'ended', cancelingSince: null, contactAt: state.contactAt }),
    },
    clock,
    trail,
    auditStore: audit,
    live,
  });
  const asUser: Subject = { kind: 'secret', secret: personal, carrier: 'private_token' };
  const asPass: Subject = { kind: 'secret', secret: pass, carrier: 'private_token' };
  return { gatekeeper, rows, state, live, trail, asUser, asPass };
}
const ask = [{ permission: 'project:read', resource: { kind: 'project', id: own } }] as const;

describe('the gatekeeper', () => {
  test('R10 an allow is in the trail before its grant is there', async () => {
    const { gatekeeper, rows, asPass } = world();
    const admission = await gatekeeper.admit(asPass, ask, context);
    expect(admission.ok).toBe(true);
    expect(rows).toMatchObject([
      { decision: 'allow', subject: 'pass', principals: [alice], accesses: ['project:read@project:7'], requestId: 'request' },
    ]);
  });

  test('R10 A54 a trail that cannot be written grants nothing', async () => {
    const { gatekeeper, asPass, live } = world({ auditFails: true });
    await expect(gatekeeper.admit(asPass, ask, context)).rejects.toMatchObject({ code: 'audit_unavailable' });
    expect(live.size).toBe(0);
  });

  test('R10 A65 identical refusals within a second are one counted row', async () => {
    const { gatekeeper, rows, trail, asPass } = world({ level: 0 });
    for (let index = 0; index < 50; index += 1) await gatekeeper.admit(asPass, ask, context);
    await trail.flush();
    expect(rows).toHaveLength(1);
    expect(rows[0]).toMatchObject({ decision: 'deny', count: 50 });
  });

  test("R16 a pass over plain HTTP is refused; a token of a user is that user's own risk", async () => {
    const { gatekeeper, asPass, asUser } = world();
    expect(await gatekeeper.admit(asPass, ask, { ...context, secure: false })).toMatchObject({
      ok: false,
      refusal: { code: 'insecure_transport' },
    });
    expect((await gatekeeper.admit(asUser, ask, { ...context, secure: false })).ok).toBe(true);
  });

  test('R2 A61 a grant that is asked again after the job has ended says no, and its streams are cut', async () => {
    const { gatekeeper, state, live, asPass } = world();
    const admission = await gatekeeper.admit(asPass, ask, context);
    if (!admission.ok) throw new Error('refused');
    await expect(admission.grant.confirm(null)).resolves.toBeUndefined();
    state.alive = false;
    await expect(admission.grant.confirm(null)).rejects.toMatchObject({ code: 'pass_dead' });
    expect(admission.grant.signal.aborted).toBe(false);
    await live.sweep();
    expect(admission.grant.signal.aborted).toBe(true);
  });

  test('R2 whatever steps the clock makes, a pass is let in, and confirmed, only with a word of its runner that is near in time', async () => {
    type Step = { readonly kind: 'clock' | 'pass' | 'word' | 'end'; readonly ms: number };
    const steps = fc.array(
      fc.record<Step>({
        kind: fc.constantFrom('clock', 'clock', 'pass', 'word', 'word', 'end'),
        // What passes, or how far the clock is put; within seconds of it the borders lie.
        ms: fc.oneof(fc.integer({ min: -2 * hour, max: 2 * hour }), fc.integer({ min: -40_000, max: 190_000 })),
      }),
      { maxLength: 12 },
    );
    await fc.assert(
      fc.asyncProperty(steps, async (made) => {
        const { gatekeeper, state, asPass } = world();
        const before = await gatekeeper.admit(asPass, ask, context);
        if (!before.ok) throw new Error('refused');
        for (const { kind, ms } of made) {
          if (kind === 'clock') state.at = millis(state.at + ms);
          if (kind === 'pass') state.at = millis(state.at + Math.abs(ms));
          if (kind === 'word') state.contactAt = state.at;
          if (kind === 'end') state.alive = false;
          const heard = state.at - state.contactAt;
          const should = state.alive && state.at < now + hour && heard <= 180_000 && heard >= -30_000;
          expect((await gatekeeper.admit(asPass, ask, context)).ok).toBe(should);
          const confirmed = await before.grant.confirm(null).then(
            () => true,
            () => false,
          );
          expect(confirmed).toBe(should);
        }
      }),
      { numRuns: 300 },
    );
  });

  test('R10 a grant that admit did not make, or for something else, is worth nothing', async () => {
    const { gatekeeper, asPass } = world();
    const admission = await gatekeeper.admit(asPass, ask, context);
    if (!admission.ok) throw new Error('refused');
    const { grant } = admission;
    expect(() => verifyGrant(grant, 'project:read', { kind: 'project', id: own })).not.toThrow();
    expect(() => verifyGrant(grant, 'code:push', { kind: 'project', id: own })).toThrow();
    expect(() => verifyGrant(grant, 'project:read', { kind: 'project', id: id<ProjectId>(8) })).toThrow();
    expect(() => verifyGrant(Object.create(grant), 'project:read', { kind: 'project', id: own })).toThrow();
  });

  test('R13 a pass is never taken for anything else, nor anything else for a pass', async () => {
    const { gatekeeper } = world();
    const tries: Subject[] = [
      { kind: 'secret', secret: new Secret('jpt_x'), carrier: 'private_token' },
      { kind: 'secret', secret: new Secret(`jpt_x${'a'.repeat(36)}`), carrier: 'private_token' },
      { kind: 'secret', secret: newPassToken('full'), carrier: 'private_token' },
      { kind: 'secret', secret: newPassToken('full'), carrier: 'runner_token' },
      { kind: 'secret', secret: new Secret(''), carrier: 'bearer' },
    ];
    for (const subject of tries) expect((await gatekeeper.admit(subject, ask, context)).ok).toBe(false);
  });
});
