import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { id, type Oid, type UserId } from '../../src/base/ids.ts';
import { limits } from '../../src/base/limits.ts';
import { lastMoversOf, type PrincipalEvidence, principalsOf } from '../../src/pass/principals.ts';
import { fuzz, tellCount } from '../fuzz/cases.ts';

tellCount('whose rights');

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
  test('A59 one ref of which nobody knows who moved it last leaves all in doubt; no ref leaves none', async () => {
    const movers = new Map([
      ['main', [bob]],
      ['v1', [carol]],
    ]);
    const of = (...refs: string[]) => lastMoversOf(refs, (ref) => Promise.resolve(movers.get(ref)));
    expect([await of('main', 'v1'), await of('main', 'gone'), await of()]).toEqual([[bob, carol], null, undefined]);
  });
  test('A56 who made a pipeline with variables is a principal of a job that another plays', () => {
    expect(users({ pipelines: [{ creators: [bob], carriesVariables: true, byPass: false }] })).toEqual([alice, bob]);
    expect(users({ pipelines: [{ creators: [bob], carriesVariables: false, byPass: false }] })).toEqual([alice]);
  });
  test('A58 a write by a pass counts as by all its principals', () => {
    expect(users({ pipelines: [{ creators: [alice, bob, carol], carriesVariables: false, byPass: true }] })).toEqual([alice, bob, carol]);
  });
  test('A57 of what is included: every pusher of an unprotected commit, and who put it there; unknown means the own project only', () => {
    const include = { name: 'a/b@1', unprotectedCommits: [commit], pushers: new Map([[commit, [bob]]]), movers: [carol], atHome: false };
    const told = (change: Partial<typeof include> | { movers: null } | { unprotectedCommits: null }) => {
      const { list, ownProjectOnly } = principalsOf(evidence({ includes: [{ ...include, ...change }] }));
      return [list.map(({ userId, reason }) => `${userId} ${reason}`).join(', '), ownProjectOnly];
    };
    expect(told({})).toEqual(['1 starter, 2 include, 3 include', false]);
    expect(told({ atHome: true })).toEqual(['1 starter, 2 include, 3 last_merger', false]);
    expect(told({ movers: null })).toEqual(['1 starter, 2 include', true]);
    expect(told({ unprotectedCommits: null })).toEqual(['1 starter, 3 include', true]);
    expect(told({ pushers: new Map() })).toEqual(['1 starter, 3 include', true]);
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
  test('R3 of any evidence: everybody named is a principal once, the starter first, and a doubt leaves the own project only', () => {
    const user = fc.integer({ min: 1, max: 30 }).map((number) => id<UserId>(number));
    const some = fc.array(user, { maxLength: 6 });
    const oids = ['a', 'b', 'c'].map((letter) => letter.repeat(40) as Oid);
    const any = fc.record({
      starter: user,
      pipelines: fc.array(fc.record({ creators: some, carriesVariables: fc.boolean(), byPass: fc.boolean() }), { maxLength: 3 }),
      unprotectedCommits: fc.option(fc.subarray(oids)),
      pushers: fc.array(fc.tuple(fc.constantFrom(...oids), some)).map((entries) => new Map(entries)),
      runnerOwner: fc.option(user),
      artifactPrincipals: fc.option(some),
      lastPushers: fc.option(some),
    });
    fuzz(4000, any, (found) => {
      const { list, ownProjectOnly, notes } = principalsOf(found);
      const commits = found.unprotectedCommits ?? [];
      const counted = found.pipelines.filter(({ carriesVariables, byPass }) => carriesVariables || byPass);
      const unknown = commits.findIndex((oid) => (found.pushers.get(oid) ?? []).length === 0);
      const told = unknown === -1 ? commits : commits.slice(0, unknown);
      const wanted = new Set([
        found.starter,
        ...counted.flatMap(({ creators }) => creators),
        ...told.flatMap((oid) => found.pushers.get(oid) ?? []),
        ...(found.runnerOwner === null ? [] : [found.runnerOwner]),
        ...(found.artifactPrincipals ?? []),
        ...(found.lastPushers ?? []),
      ]);
      const doubt =
        found.unprotectedCommits === null ||
        unknown !== -1 ||
        found.artifactPrincipals === null ||
        found.lastPushers === null ||
        wanted.size > limits.principals;
      expect([list[0]?.userId, ownProjectOnly, list.length]).toEqual([found.starter, doubt, Math.min(wanted.size, limits.principals)]);
      expect(new Set(list.map(({ userId }) => userId)).size).toBe(list.length);
      expect(list.every(({ userId }) => wanted.has(userId))).toBe(true);
      expect(notes.length > 0).toBe(doubt);
    });
  });
});
