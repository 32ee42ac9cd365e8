import fc from 'fast-check';
import { expect, test } from 'vitest';
import { id, type GroupId, type ProjectId, type UserId } from '../../src/base/ids.ts';
import { beyond, type Ceiling, type GatheredCeiling, isPermissionPattern, matches, readCeiling } from '../../src/policy/ceiling.ts';
import { decide } from '../../src/policy/decide.ts';
import type { ResourceFacts } from '../../src/policy/facts.ts';
import { type Permission, permissions } from '../../src/policy/permissions.ts';

const names = Object.keys(permissions) as Permission[];
const anyPermission = fc.constantFrom(...names);
const anyPattern = fc.oneof(
  anyPermission.map(String),
  anyPermission.map((name) => `${name.split(':')[0] ?? ''}:*`),
  anyPermission.map((name) => `*:${name.split(':')[1] ?? ''}`),
  fc.constant('*'),
);
const anyCeiling: fc.Arbitrary<Ceiling> = fc.record({
  permissions: fc.array(anyPattern, { maxLength: 6 }),
  places: fc.option(
    fc.record({
      projectIds: fc.uniqueArray(fc.integer({ min: 1, max: 6 }).map((one) => id<ProjectId>(one))),
      groupIds: fc.uniqueArray(fc.integer({ min: 1, max: 3 }).map((one) => id<GroupId>(one))),
    }),
  ),
});
/** Group N is at `gN`. */
const gathered = (ceiling: Ceiling): GatheredCeiling => ({
  by: 'x',
  rule: 'R9',
  ceiling,
  groupPaths: (ceiling.places?.groupIds ?? []).map((group) => `g${group}`),
});
const anyResource: fc.Arbitrary<ResourceFacts> = fc.record({
  kind: fc.constant('project' as const),
  id: fc.integer({ min: 1, max: 6 }).map((one) => id<ProjectId>(one)),
  path: fc.constantFrom('g1/a', 'g2/a', 'G3/deep/a', 'g10/a', 'other/a'),
  visibility: fc.constant('public' as const),
  archived: fc.constant(false),
  levels: fc.constant(new Map([[id<UserId>(1), 50 as const]])),
});

test('R9 a child is never wider than its parent, in any tree of narrowings', () => {
  fc.assert(
    fc.property(fc.array(anyCeiling, { minLength: 1, maxLength: 4 }), anyPermission, anyResource, (line, permission, resource) => {
      const principal = { id: id(1) as never, username: 'a', active: true, admin: false };
      const asker = (depth: number) =>
        ({
          kind: 'pass',
          passKind: depth === 0 ? 'full' : 'narrowed',
          principals: [principal],
          projectId: id<ProjectId>(99),
          ownProjectOnly: false,
          ceilings: line.slice(0, depth).map(gathered),
        }) as const;
      let before = true;
      for (let depth = 0; depth <= line.length; depth += 1) {
        const { allow } = decide(asker(depth), [{ permission, resource }]);
        expect(before || !allow).toBe(true);
        before = allow;
      }
    }),
    { numRuns: 3000 },
  );
});

test('R4 a group holds what is below it, and not what only begins alike', () => {
  const ceiling: Ceiling = { permissions: ['*'], places: { projectIds: [], groupIds: [id<GroupId>(1)] } };
  const project = (path: string): ResourceFacts => ({
    kind: 'project',
    id: id(9),
    path,
    visibility: 'private',
    archived: false,
    levels: new Map(),
  });
  expect(beyond(gathered(ceiling), 'project:read', project('g1/a'))).toBeUndefined();
  expect(beyond(gathered(ceiling), 'project:read', project('G1/deep/a'))).toBeUndefined();
  expect(beyond(gathered(ceiling), 'project:read', project('g10/a'))).toEqual({ what: 'place' });
  // A group that is gone holds nothing.
  expect(beyond({ ...gathered(ceiling), groupPaths: [] }, 'project:read', project('g1/a'))).toEqual({ what: 'place' });
});

test('R13 what a stored ceiling says is read whole, or not at all', () => {
  fc.assert(
    fc.property(anyCeiling, (ceiling) => {
      expect(readCeiling(JSON.stringify(ceiling))).toEqual(ceiling);
    }),
  );
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
      expect(readCeiling(text)).toBeNull();
    }),
  );
  for (const wrong of [
    { permissions: ['no:such'], places: null },
    { permissions: '*', places: null },
    { permissions: ['*'] },
    { permissions: ['*'], places: { projectIds: [1] } },
    { permissions: ['*'], places: { projectIds: [0], groupIds: [] } },
    { permissions: ['*'], places: { projectIds: ['1'], groupIds: [] } },
    { permissions: ['*'], places: null, more: 1 },
    { permissions: Array.from({ length: 201 }, () => '*'), places: null },
  ])
    expect(readCeiling(JSON.stringify(wrong)), JSON.stringify(wrong)).toBeNull();
});

test('patterns name permissions that there are', () => {
  fc.assert(fc.property(anyPattern, (pattern) => isPermissionPattern(pattern)));
  for (const odd of ['', 'code', 'code:', '*:*:x', 'nothing:*', '*:nothing', 'code:down*', 'CODE:*'])
    expect(isPermissionPattern(odd), odd).toBe(false);
  expect(matches('code:*', 'code:push')).toBe(true);
  expect(matches('*:read', 'project:read')).toBe(true);
  expect(matches('*:read', 'code:download')).toBe(false);
});
