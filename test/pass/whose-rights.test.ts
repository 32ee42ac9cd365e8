import { describe, expect, test } from 'vitest';
import { id, type Oid, type UserId } from '../../src/base/ids.ts';
import { type PrincipalEvidence, principalsOf } from '../../src/pass/principals.ts';

const [alice, bob, carol] = [id<UserId>(1), id<UserId>(2), id<UserId>(3)];
const commit = 'a'.repeat(40) as Oid;
const evidence = (change: Partial<PrincipalEvidence> = {}): PrincipalEvidence => ({
  starter: alice,
  pipelines: [],
  unprotectedCommits: [],
  pushers: new Map(),
  runnerOwner: null,
  artifactPrincipals: [],
  ...change,
});
const users = (change: Partial<PrincipalEvidence>) => principalsOf(evidence(change)).list.map((principal) => principal.userId);

describe('R3 principals', () => {
  test('R3 who started the job is the first, each user stands once', () => {
    expect(users({ runnerOwner: alice, artifactPrincipals: [bob, alice, bob] })).toEqual([alice, bob]);
  });
  test('A56 who made a pipeline with variables is a principal of a job that another plays', () => {
    expect(users({ pipelines: [{ creators: [bob], carriesVariables: true, byPass: false }] })).toEqual([alice, bob]);
    expect(users({ pipelines: [{ creators: [bob], carriesVariables: false, byPass: false }] })).toEqual([alice]);
  });
  test('A58 a write by a pass counts as by all its principals', () => {
    expect(users({ pipelines: [{ creators: [alice, bob, carol], carriesVariables: false, byPass: true }] })).toEqual([alice, bob, carol]);
  });
  test('A55 every pusher of an unprotected commit', () => {
    expect(users({ unprotectedCommits: [commit], pushers: new Map([[commit, [bob]]]) })).toEqual([alice, bob]);
  });
  test('A44 the owner of a group or project runner', () => {
    expect(users({ runnerOwner: carol })).toEqual([alice, carol]);
  });
  test('A59 who last wrote to a protected ref stands last; unknown is not provable, elsewhere nobody asks', () => {
    expect(principalsOf(evidence({ lastPushers: [bob, carol], runnerOwner: carol })).list).toEqual([
      { userId: alice, reason: 'starter' },
      { userId: carol, reason: 'runner_owner' },
      { userId: bob, reason: 'last_merger' },
    ]);
    expect(principalsOf(evidence({ lastPushers: null })).ownProjectOnly).toBe(true);
    expect(principalsOf(evidence()).ownProjectOnly).toBe(false);
  });
  test('R3 what cannot be proven leaves the own project only', () => {
    expect(principalsOf(evidence({ unprotectedCommits: null })).ownProjectOnly).toBe(true);
    expect(principalsOf(evidence({ unprotectedCommits: [commit] })).ownProjectOnly).toBe(true);
    expect(
      principalsOf(evidence({ artifactPrincipals: Array.from({ length: 21 }, (_, index) => id<UserId>(index + 10)) })).ownProjectOnly,
    ).toBe(true);
    expect(principalsOf(evidence()).ownProjectOnly).toBe(false);
  });
  test('R3 an instance that chose `principals: starter` looks at nobody else, and says so', () => {
    const chosen = principalsOf(evidence({ runnerOwner: bob, unprotectedCommits: null }), 'starter');
    expect([chosen.list.map((principal) => principal.userId), chosen.ownProjectOnly, chosen.notes.length]).toEqual([[alice], false, 1]);
  });
});
