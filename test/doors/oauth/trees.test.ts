import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ProjectId } from '../../../src/base/ids.ts';
import { Secret } from '../../../src/base/secret.ts';
import type { Permission } from '../../../src/pass/grant.ts';
import { fixedSeed, randomSeed } from '../../fuzz/cases.ts';
import { passFor } from '../../support/pass.ts';
import { oneJob, startTestServer, type TestServer } from '../../support/server.ts';

const asked = ['project:read', 'code:download', 'branch:write', 'release:write', 'member:read'] as const satisfies readonly Permission[];
const patterns = ['*', '*:read', 'code:*', 'branch:write', 'release:*', 'project:read', 'member:read'] as const;
/** Projects by the group that they stand in; who starts the job has no right in the last. */
const homes = ['red', 'red', 'blue', 'blue', 'grey'] as const;
const names = ['p0', 'p1', 'p2', 'p3', 'p4'] as const;

/** How a child names a place, as its parent does it at that moment. */
type Place = { readonly kind: 'path' | 'number'; readonly project: number } | { readonly kind: 'group'; readonly group: 'red' | 'blue' };
interface Child {
  /** Which of those that are there already is its parent. */
  readonly parent: number;
  readonly permissions: readonly (typeof patterns)[number][];
  readonly places: readonly Place[];
  /** A project that gets another name before the child is made, and its old name a new project; none. */
  readonly renames: number | null;
}

const project = fc.nat(homes.length - 1);
const place: fc.Arbitrary<Place> = fc.oneof(
  fc.record({ kind: fc.constantFrom('path' as const, 'number' as const), project }),
  fc.record({ kind: fc.constant('group' as const), group: fc.constantFrom('red' as const, 'blue' as const) }),
);
const tree: fc.Arbitrary<readonly Child[]> = fc.array(
  fc.record({
    parent: fc.nat(),
    permissions: fc.uniqueArray(fc.constantFrom(...patterns), { minLength: 1, maxLength: 3 }),
    places: fc.array(place, { maxLength: 2 }),
    renames: fc.option(project),
  }),
  { minLength: 3, maxLength: 7 },
);

let server: TestServer;
let alice: { id: number; token: string };
let runner: string;
let app: number;
let world: Awaited<ReturnType<typeof grow>>;
beforeAll(async () => {
  server = await startTestServer();
  alice = await server.user('alice');
  app = await server.project('home/app');
  await server.member(app, alice.id, 40);
  await server.commit(app, '.gitlab-ci.yml', oneJob, { token: alice.token });
  runner = (await server.runner()).token;
  for (let job = await server.claim(runner); job !== undefined; job = await server.claim(runner)) await server.finish(job);
  world = await grow();
});
afterAll(() => server.stop());

/** What a pass may do, by what it names itself: written without looking at `src/policy/ceiling.ts`. */
interface Node {
  readonly token: string;
  readonly depth: number;
  readonly may: (permission: Permission, at: number) => boolean;
}

const holds = (pattern: string, permission: Permission): boolean =>
  new RegExp(`^${pattern.replaceAll(/[*]/g, '[a-z_]+')}$`).test(permission) || pattern === '*';

async function plant(children: readonly Child[]): Promise<number> {
  await server.must('POST', `/api/v4/projects/${app}/pipeline`, { ref: 'main' }, alice.token);
  const job = await server.claim(runner);
  if (job === undefined) throw new Error('no job');
  const rights = (_permission: Permission, at: number): boolean => homes[at] !== 'grey';
  const nodes: Node[] = [{ token: await passFor(server, job, [alice.id]), depth: 0, may: rights }];
  for (const child of children) {
    if (child.renames !== null) await world.rename(child.renames);
    const parent = nodes[child.parent % nodes.length];
    if (parent === undefined) throw new Error('no parent');
    const scope = child.permissions.join(' ');
    const answer = await exchange(parent.token, scope, child.places.map(world.nameOf));
    // It may not know of what is hidden from it, and no pass is narrowed a fifth time.
    if (answer === undefined) continue;
    const { places, permissions } = child;
    const named = (at: number): boolean =>
      places.length === 0 || places.some((one) => (one.kind === 'group' ? one.group === homes[at] : one.project === at));
    const may: Node['may'] = (permission, at) =>
      parent.may(permission, at) && named(at) && permissions.some((pattern) => holds(pattern, permission));
    nodes.push({ token: answer, depth: parent.depth + 1, may });
  }
  let compared = 0;
  const cells = nodes.flatMap((node) => asked.flatMap((permission) => names.map((_name, at) => ({ node, permission, at }))));
  await Promise.all(
    cells.map(async ({ node, permission, at }) => {
      const found = await world.allowed(node.token, permission, at);
      compared += 1;
      expect([node.depth, permission, at, found]).toEqual([node.depth, permission, at, node.may(permission, at)]);
    }),
  );
  // What took an old name is nobody's place, but where the whole group is.
  await server.finish(job);
  expect(await Promise.all(nodes.map(({ token }) => world.allowed(token, 'project:read', 0)))).toEqual(nodes.map(() => false));
  return compared;
}

/** Groups and projects; what one tree renamed keeps its name for the next. */
async function grow() {
  const tag = String(Math.random()).slice(2, 10);
  const groups = new Map<string, number>();
  for (const group of new Set(homes)) {
    const path = `${group}${tag}`;
    const { id } = await server.must('POST', '/api/v4/groups', { name: path, path, visibility: 'private' });
    groups.set(group, Number(id));
    if (group !== 'grey') await server.must('POST', `/api/v4/groups/${String(id)}/members`, { user_id: alice.id, access_level: 40 });
  }
  const paths: string[] = [];
  const ids: number[] = [];
  for (const [at, name] of names.entries()) {
    const home = homes[at] ?? 'grey';
    const made = await server.must('POST', '/api/v4/projects', { name, path: name, namespace_id: groups.get(home), visibility: 'private' });
    ids.push(Number(made['id']));
    paths.push(`${home}${tag}/${name}`);
  }
  let last = 0;
  return {
    nameOf: (one: Place): string =>
      one.kind === 'group' ? `${one.group}${tag}/*` : one.kind === 'number' ? String(ids[one.project]) : (paths[one.project] ?? ''),
    async rename(at: number): Promise<void> {
      last += 1;
      const [group = '', before = ''] = (paths[at] ?? '').split('/');
      await server.must('PUT', `/api/v4/projects/${ids[at] ?? 0}`, { path: `moved${last}` });
      paths[at] = `${group}/moved${last}`;
      await server.must('POST', '/api/v4/projects', {
        name: before,
        path: before,
        namespace_id: groups.get(homes[at] ?? ''),
        visibility: 'private',
      });
    },
    async allowed(token: string, permission: Permission, at: number): Promise<boolean> {
      const context = { door: 'api', endpoint: 'the tree', requestId: 'tree', secure: true };
      const subject = { kind: 'secret', secret: new Secret(token), carrier: 'private_token' } as const;
      const resource = { kind: 'project', id: (ids[at] ?? 0) as ProjectId } as const;
      const admission = await server.gatekeeper.admit(subject, [{ permission, resource }], context);
      if (admission.ok) await server.gatekeeper.settle(admission.grant, 'done');
      return admission.ok;
    },
  };
}

async function exchange(parent: string, scope: string, places: readonly string[]): Promise<string | undefined> {
  const fields: [string, string][] = [
    ['grant_type', 'urn:ietf:params:oauth:grant-type:token-exchange'],
    ['subject_token', parent],
    ['scope', scope],
    ...places.map((one): [string, string] => ['resource', one]),
  ];
  const raw = new URLSearchParams(fields).toString();
  const headers = { 'content-type': 'application/x-www-form-urlencoded' };
  const { status, body } = await server.call('POST', '/-/jobpass/oauth/token', { headers, raw });
  return status === 200 ? String(body['access_token']) : undefined;
}

test('R9 R14 A10 A47 of any tree of narrowed passes, over renamed projects, a child may what its parent may and it names itself', async () => {
  let compared = 0;
  for (const seed of [fixedSeed, randomSeed])
    await fc.assert(
      fc.asyncProperty(tree, async (children) => {
        compared += await plant(children);
      }),
      { seed, numRuns: 3, endOnFailure: true },
    );
  console.log(`trees of narrowed passes: ${compared} decisions compared, random seed ${randomSeed}`);
}, 120_000);
