import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { id, type GroupId, type ProjectId, type UserId } from '../../src/base/ids.ts';
import type { AccessLevel, Visibility } from '../../src/base/levels.ts';
import { decide } from '../../src/policy/decide.ts';
import type { Asker, PrincipalFacts, ResourceFacts } from '../../src/policy/facts.ts';
import { type Permission, permissionRule, permissions } from '../../src/policy/permissions.ts';

const user = (number: number, change: Partial<PrincipalFacts> = {}): PrincipalFacts => ({
  id: id<UserId>(number),
  username: `user${number}`,
  active: true,
  admin: false,
  ...change,
});
const project = (
  levels: readonly (readonly [number, AccessLevel])[],
  visibility: Visibility = 'private',
  archived = false,
): ResourceFacts => ({
  kind: 'project',
  id: id<ProjectId>(7),
  path: 'a/b',
  visibility,
  archived,
  rootGroupId: id<GroupId>(9),
  levels: new Map(levels.map(([number, level]) => [id<UserId>(number), level] as const)),
});
const pass = (principals: readonly PrincipalFacts[], change: Partial<Extract<Asker, { kind: 'pass' }>> = {}): Asker => ({
  kind: 'pass',
  passKind: 'full',
  principals,
  projectId: id<ProjectId>(1),
  ownProjectOnly: false,
  ...change,
});
const ask = (asker: Asker, permission: Permission, resource: ResourceFacts) => decide(asker, [{ permission, resource }]);
const own = (principal: PrincipalFacts): Asker => ({ kind: 'user', principal, scopes: ['api'] });

describe('decide', () => {
  test('R1 GitLab roles: a developer pushes, a reporter reads, a guest does not see code', () => {
    expect(ask(pass([user(1)]), 'code:push', project([[1, 30]])).allow).toBe(true);
    expect(ask(pass([user(1)]), 'code:push', project([[1, 20]])).allow).toBe(false);
    expect(ask(pass([user(1)]), 'code:download', project([[1, 20]])).allow).toBe(true);
    expect(ask(pass([user(1)]), 'code:download', project([[1, 10]])).allow).toBe(false);
  });

  test('R1 A8 A68 an administrator has admin power with a token of their own, never through a pass or a job token', () => {
    const admin = user(1, { admin: true });
    expect(ask(own(admin), 'project:read', project([])).allow).toBe(true);
    expect(ask(pass([admin]), 'project:read', project([])).allow).toBe(false);
    expect(ask(pass([admin]), 'user:create', { kind: 'instance' }).allow).toBe(false);
    expect(ask({ kind: 'job', principal: admin, jobId: id(1), projectId: id(1) }, 'project:read', project([])).allow).toBe(false);
  });

  test('R3 one principal without the right is enough for a no, and is named', () => {
    const decision = ask(
      pass([user(1), user(2)]),
      'code:push',
      project([
        [1, 40],
        [2, 20],
      ]),
    );
    expect(decision).toMatchObject({
      allow: false,
      code: 'access_denied',
      message: 'code:push on a/b is missing: it needs developer, and user2 has reporter.',
    });
  });

  test('R3 R11 what one principal cannot see does not exist for the pass', () => {
    expect(ask(pass([user(1), user(2)]), 'project:read', project([[1, 50]]))).toMatchObject({ allow: false, code: 'not_found' });
    expect(ask(pass([user(1), user(2)]), 'member:write', project([[1, 50]]))).toMatchObject({ allow: false, code: 'not_found' });
  });

  test('A57 R1 R3 what a pipeline includes each of its creators must be able to read, within the pass that started it; nothing else is read for them', () => {
    const creators = (principals: readonly PrincipalFacts[], started?: Asker): Asker => ({
      kind: 'creators',
      principals,
      ...(started?.kind === 'pass' ? { pass: started } : {}),
    });
    const both = project([
      [1, 30],
      [2, 20],
    ]);
    expect(ask(creators([user(1), user(2)]), 'repository:read', both).allow).toBe(true);
    for (const asker of [
      creators([user(1), user(3)]),
      creators([]),
      creators([user(3, { admin: true })]),
      creators([user(1, { active: false })]),
      creators([user(1)], pass([user(1), user(3)])),
      creators([user(1)], pass([user(1)], { ownProjectOnly: true })),
    ])
      expect(ask(asker, 'repository:read', both).allow).toBe(false);
    expect(ask(creators([user(1)]), 'code:push', both).allow).toBe(false);
    expect(ask(creators([user(1)]), 'code:download', both).allow).toBe(false);
    const hidden = ask(creators([user(1)]), 'repository:read', project([]));
    expect(hidden).toEqual(ask(creators([user(1)]), 'repository:read', { kind: 'absent', what: 'Project' }));
  });

  test('R3 the own project can always be fetched, and only fetched', () => {
    const asker = pass([user(1)], { projectId: id<ProjectId>(7), passKind: 'fetch' });
    expect(ask(asker, 'code:download', project([])).allow).toBe(true);
    expect(ask(asker, 'repository:read', project([])).allow).toBe(false);
    expect(ask(pass([user(1)], { ownProjectOnly: true }), 'code:download', project([[1, 50]])).allow).toBe(false);
  });

  test('R11 A41 what a user cannot see is as absent, and the words are the same', () => {
    const hidden = ask(own(user(1)), 'code:push', project([]));
    const absent = ask(own(user(1)), 'code:push', { kind: 'absent', what: 'Project' });
    expect(hidden).toEqual(absent);
    expect(hidden).toMatchObject({ code: 'not_found', message: '404 Project Not Found' });
  });

  test('R5 no pass gets a permission of the never list, whoever stands behind it', () => {
    const never = (Object.keys(permissions) as Permission[]).filter((permission) => permissionRule(permission).pass === 'never');
    expect(never.length).toBeGreaterThan(15);
    for (const permission of never) {
      const { on } = permissionRule(permission);
      const resource: ResourceFacts =
        on === 'project'
          ? project([[1, 50]])
          : on === 'group'
            ? { kind: 'group', id: id<GroupId>(3), path: 'a', visibility: 'private', levels: new Map([[id<UserId>(1), 50]]) }
            : on === 'user'
              ? { kind: 'user', id: id<UserId>(1) }
              : on === 'job'
                ? { kind: 'job', id: id(1) }
                : { kind: 'instance' };
      expect([permission, ask(pass([user(1, { admin: true })]), permission, resource).allow]).toEqual([permission, false]);
    }
  });

  test('R9 a narrowed pass without limits carries nothing: unknown means no', () => {
    expect(ask(pass([user(1)], { passKind: 'narrowed' }), 'project:read', project([[1, 50]])).allow).toBe(false);
  });

  test('R13 a permission on the wrong kind of resource is refused', () => {
    expect(ask(own(user(1, { admin: true })), 'code:push', { kind: 'instance' }).allow).toBe(false);
    expect(decide(own(user(1)), []).allow).toBe(false);
  });

  test('scopes of a token narrow it', () => {
    const asker = (scopes: string[]): Asker => ({ kind: 'user', principal: user(1), scopes });
    expect(ask(asker(['read_repository']), 'code:download', project([[1, 50]])).allow).toBe(true);
    expect(ask(asker(['read_repository']), 'code:push', project([[1, 50]]))).toMatchObject({ code: 'scope_insufficient' });
    expect(ask(asker(['read_api']), 'release:write', project([[1, 50]]))).toMatchObject({ code: 'scope_insufficient' });
    expect(ask(asker([]), 'project:read', project([[1, 50]]))).toMatchObject({ code: 'scope_insufficient' });
  });

  test('an archived project can only be read', () => {
    expect(ask(own(user(1)), 'code:push', project([[1, 50]], 'private', true))).toMatchObject({ allow: false, code: 'access_denied' });
    expect(ask(own(user(1)), 'code:download', project([[1, 50]], 'private', true)).allow).toBe(true);
  });

  test('A14 the anonymous see what is public, and are asked to sign in for the rest', () => {
    expect(ask({ kind: 'anonymous' }, 'code:download', project([], 'public')).allow).toBe(true);
    expect(ask({ kind: 'anonymous' }, 'code:push', project([], 'public'))).toMatchObject({ code: 'credential_missing' });
    expect(ask({ kind: 'anonymous' }, 'code:download', project([], 'internal'))).toMatchObject({ code: 'not_found' });
  });

  test('R3 R9 another principal never turns a no into a yes; a fetch pass never may what a full one may not', () => {
    const anyPermission = fc.constantFrom(...(Object.keys(permissions) as Permission[]));
    const level = fc.constantFrom<AccessLevel>(0, 5, 10, 15, 20, 30, 40, 50);
    const visibility = fc.constantFrom<Visibility>('private', 'internal', 'public');
    fc.assert(
      fc.property(anyPermission, level, level, visibility, fc.boolean(), fc.boolean(), (permission, one, two, seen, archived, active) => {
        const resource = project(
          [
            [1, one],
            [2, two],
          ],
          seen,
          archived,
        );
        const [first, second] = [user(1), user(2, { active, admin: true })];
        if (!ask(pass([first]), permission, resource).allow) expect(ask(pass([first, second]), permission, resource).allow).toBe(false);
        if (!ask(pass([first]), permission, resource).allow)
          expect(ask(pass([first], { passKind: 'fetch' }), permission, resource).allow).toBe(false);
        if (!active && permission !== 'pass:self') expect(ask(pass([first, second]), permission, resource).allow).toBe(false);
      }),
      { numRuns: 3000 },
    );
  });
});
