import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { id, type Oid, type ProjectId, type RefName } from '../../src/base/ids.ts';
import type { AccessLevel } from '../../src/base/levels.ts';
import type { RefChange } from '../../src/base/refs.ts';
import { decideRef, type RefFacts, type RefRule } from '../../src/policy/decide-ref.ts';

const change = (ref: string, kind: RefChange['kind'] = 'update', rest: Partial<RefChange> = {}): RefChange => ({
  projectId: id<ProjectId>(1),
  ref: ref as RefName,
  oldOid: '1'.repeat(40) as Oid,
  newOid: '2'.repeat(40) as Oid,
  kind,
  forced: false,
  touchesJobpass: false,
  ...rest,
});
const facts = (rest: Partial<RefFacts> = {}): RefFacts => ({
  rules: [],
  defaultBranch: 'main',
  archived: false,
  lowestLevel: 30,
  byPass: false,
  ...rest,
});
const branch = (pattern: string, pushLevel: AccessLevel, allowForcePush = false): RefRule => ({
  kind: 'branch',
  pattern,
  pushLevel,
  allowForcePush,
});
const tag = (pattern: string, pushLevel: AccessLevel): RefRule => ({ kind: 'tag', pattern, pushLevel, allowForcePush: false });
const may = (...parameters: Parameters<typeof decideRef>) => decideRef(...parameters).allowed;

describe('decideRef', () => {
  test('R1 unprotected branches and tags are for developers', () => {
    for (const ref of ['refs/heads/feature', 'refs/tags/v1'])
      for (const kind of ['create', 'update', 'delete'] as const) {
        expect([ref, kind, may(change(ref, kind), facts())]).toEqual([ref, kind, true]);
        expect([ref, kind, may(change(ref, kind), facts({ lowestLevel: 20 }))]).toEqual([ref, kind, false]);
      }
  });

  test('R1 a protected branch asks for its level, in GitLab’s words', () => {
    const rules = [branch('main', 40)];
    expect(decideRef(change('refs/heads/main'), facts({ rules }))).toEqual({
      ref: 'refs/heads/main',
      allowed: false,
      message: 'You are not allowed to push code to protected branches on this project.',
    });
    expect(may(change('refs/heads/main'), facts({ rules, lowestLevel: 40 }))).toBe(true);
    expect(may(change('refs/heads/main'), facts({ rules: [branch('main', 0)], lowestLevel: 50 }))).toBe(false);
  });

  test('R1 a protected branch is neither forced, unless its rule allows that, nor deleted by a push', () => {
    const maintainer = { lowestLevel: 40 } as const;
    const forced = change('refs/heads/main', 'update', { forced: true });
    expect(may(forced, facts({ rules: [branch('main', 40)], ...maintainer }))).toBe(false);
    expect(may(forced, facts({ rules: [branch('main', 40, true)], ...maintainer }))).toBe(true);
    // A rule that allows force but not this user's level gives nothing.
    expect(may(forced, facts({ rules: [branch('main', 40), branch('m*', 50, true)], ...maintainer }))).toBe(false);
    expect(may(change('refs/heads/old', 'delete'), facts({ rules: [branch('old', 30)], ...maintainer }))).toBe(false);
  });

  test('the default branch is never deleted, protected or not', () => {
    expect(may(change('refs/heads/main', 'delete'), facts({ lowestLevel: 50 }))).toBe(false);
  });

  test('R1 a protected tag is made by its level, then neither moved nor deleted', () => {
    const rules = [tag('v*', 40)];
    expect(may(change('refs/tags/v1', 'create'), facts({ rules }))).toBe(false);
    expect(may(change('refs/tags/v1', 'create'), facts({ rules, lowestLevel: 40 }))).toBe(true);
    for (const kind of ['update', 'delete'] as const)
      expect(may(change('refs/tags/v1', kind), facts({ rules, lowestLevel: 50 }))).toBe(false);
    expect(may(change('refs/tags/nightly', 'create'), facts({ rules }))).toBe(true);
  });

  test('patterns are anchored and know no wildcard but *', () => {
    const rules = [branch('release/*', 40), branch('a.c', 40), branch('(x|y)+', 40)];
    for (const name of ['release/1', 'release/', 'release/a/b', 'a.c', '(x|y)+'])
      expect([name, may(change(`refs/heads/${name}`), facts({ rules }))]).toEqual([name, false]);
    for (const name of ['release', 'xrelease/1', 'abc', 'a.c2', 'x', 'xy'])
      expect([name, may(change(`refs/heads/${name}`), facts({ rules }))]).toEqual([name, true]);
  });

  test('R1 notes are moved by who may push, and are neither branch nor tag', () => {
    const rules = [branch('*', 0)];
    for (const kind of ['create', 'update', 'delete'] as const) {
      expect(may(change('refs/notes/semantic-release', kind, { forced: kind === 'update' }), facts({ rules, lowestLevel: 30 }))).toBe(true);
      expect(may(change('refs/notes/commits', kind), facts({ rules, lowestLevel: 20 }))).toBe(false);
    }
    expect(may(change('refs/notes/x', 'create', { touchesJobpass: true }), facts({ byPass: true }))).toBe(false);
  });

  test('R13 only branches, tags and notes: no other ref, whoever asks', () => {
    for (const ref of ['refs/merge-requests/1/head', 'refs/keep-around/x', 'refs/pipelines/1', 'refs/replace/x', 'refs/notesx'])
      expect([ref, may(change(ref, 'create'), facts({ lowestLevel: 50 }))]).toEqual([ref, false]);
  });

  test('A39 no branch or tag is named like a commit, no tag like the default branch', () => {
    for (const name of ['a'.repeat(40), 'b'.repeat(64), `${'c'.repeat(40)}/x`])
      for (const kind of ['heads', 'tags']) expect(may(change(`refs/${kind}/${name}`, 'create'), facts({ lowestLevel: 50 }))).toBe(false);
    expect(may(change('refs/tags/main', 'create'), facts({ lowestLevel: 50 }))).toBe(false);
  });

  test('R4 A66 no pass writes below .jobpass/, a person does', () => {
    const policy = change('refs/heads/x', 'update', { touchesJobpass: true });
    expect(decideRef(policy, facts({ byPass: true, lowestLevel: 50 }))).toMatchObject({
      allowed: false,
      message: expect.stringContaining('.jobpass/'),
    });
    expect(may(policy, facts())).toBe(true);
  });

  test('an archived project takes nothing', () => {
    expect(may(change('refs/heads/x'), facts({ archived: true, lowestLevel: 50 }))).toBe(false);
  });

  test('R11 the refusal names the principal who holds the pass back', () => {
    const decision = decideRef(change('refs/heads/main'), facts({ rules: [branch('main', 40)], byPass: true, heldBackBy: 'bob' }));
    expect(decision.message).toContain('bob');
  });

  test('R3 a lower level never may what a higher may not, and a pass never what a person may not', () => {
    const level = fc.constantFrom<AccessLevel>(0, 10, 20, 30, 40, 50);
    const name = fc.constantFrom('main', 'x', 'v1', 'release/1');
    const rule = fc.record({
      kind: fc.constantFrom('branch' as const, 'tag' as const),
      pattern: fc.constantFrom('main', '*', 'v*', 'release/*'),
      pushLevel: level,
      allowForcePush: fc.boolean(),
    });
    const moved = fc.record({
      where: fc.constantFrom('heads', 'tags', 'notes'),
      name,
      kind: fc.constantFrom('create' as const, 'update' as const, 'delete' as const),
      forced: fc.boolean(),
      touchesJobpass: fc.boolean(),
    });
    fc.assert(
      fc.property(moved, fc.array(rule, { maxLength: 3 }), level, level, fc.boolean(), (what, rules, one, two, archived) => {
        const asked = change(`refs/${what.where}/${what.name}`, what.kind, { forced: what.forced, touchesJobpass: what.touchesJobpass });
        const [low, high] = one < two ? [one, two] : [two, one];
        if (!may(asked, facts({ rules, lowestLevel: high, archived }))) {
          expect(may(asked, facts({ rules, lowestLevel: low, archived }))).toBe(false);
          expect(may(asked, facts({ rules, lowestLevel: high, archived, byPass: true }))).toBe(false);
        }
        if (high < 30) expect(may(asked, facts({ rules, lowestLevel: high }))).toBe(false);
      }),
      { numRuns: 3000 },
    );
  });
});
