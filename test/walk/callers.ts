import type { Caller, Person } from './oracle.ts';
import type { World } from './world.ts';

/** A credential with what the oracle has to know of it. */
export interface Credential {
  readonly name: string;
  readonly caller: Caller;
  readonly token: string | undefined;
  readonly headers: Readonly<Record<string, string>>;
  /** For git, which speaks Basic only. */
  readonly basic: Readonly<Record<string, string>>;
}

/** Roles that come together behind a pass with two principals. */
const pairs = [
  [0, 50],
  [10, 50],
  [15, 30],
  [20, 40],
  [30, 10],
  [40, 0],
  [40, 20],
  [50, 30],
  [50, 40],
] as const;

export interface Callers {
  readonly all: readonly Credential[];
  /** User and full pass of the same person, to be compared answer for answer. */
  readonly twins: readonly (readonly [Credential, Credential])[];
}

/** Every kind of credential with every role that makes a difference for it. */
export async function makeCallers(world: World, choice: 'all pairs' | 'few pairs' = 'all pairs'): Promise<Callers> {
  const { people, jobs } = world;
  const by = (role: number): Person => people.find((person) => person.role === role && !person.admin) ?? fail();
  const all: Credential[] = [credential('nobody', { kind: 'none', people: [] }, undefined)];
  const twins: [Credential, Credential][] = [];
  for (const person of people) {
    const job = jobs.get(person.name) ?? fail();
    const user = credential(`token of ${person.name}`, { kind: 'user', people: [person] }, person.token);
    const pass = { kind: 'full', people: [person], home: 'own' } as const;
    const full = credential(`full pass of ${person.name}`, pass, await world.pass('full', [person], { job }));
    twins.push([user, full]);
    all.push(user, full);
  }
  for (const [one, two] of choice === 'all pairs' ? pairs : pairs.filter(([_one, two]) => two === 50 || two === 30)) {
    const both = [by(one), by(two)];
    const token = await world.pass('full', both);
    all.push(credential(`full pass of w${one} and w${two}`, { kind: 'full', people: both, home: 'own' }, token));
  }
  const admin = people.find((person) => person.admin) ?? fail();
  const mixed = await world.pass('full', [admin, by(20)]);
  all.push(credential('full pass of wadmin and w20', { kind: 'full', people: [admin, by(20)], home: 'own' }, mixed));
  for (const role of [0, 20, 50]) {
    const person = by(role);
    const job = jobs.get(person.name) ?? fail();
    const token = { 'job-token': job.token };
    all.push({ ...credential(`job token of w${role}`, { kind: 'job', people: [person], home: 'own' }, job.token), headers: token });
    all.push(
      credential(`fetch pass of w${role}`, { kind: 'fetch', people: [person], home: 'own' }, await world.pass('fetch', [person], { job })),
    );
    const elsewhere = await world.pass('full', [person], { job: world.foreignJob });
    all.push(credential(`foreign pass of w${role}`, { kind: 'full', people: [person], home: 'elsewhere' }, elsewhere));
  }
  const narrowed = await world.pass('narrowed', [by(50)]);
  all.push(credential('narrowed pass without a right', { kind: 'narrowed', people: [by(50)], home: 'own' }, narrowed));
  const limits = [
    { what: 'that reads', permissions: ['*:read'], limit: { permissions: /:read$/ } },
    { what: 'for code', permissions: ['code:*', 'branch:write'], limit: { permissions: /^(?:code:.*|branch:write)$/ } },
    { what: 'for one project', permissions: ['*'], key: 'private', limit: { permissions: /./, keys: ['private'] } },
  ] as const;
  for (const one of limits) {
    const places = 'key' in one ? { projectIds: [world.projectId(one.key)], groupIds: [] } : null;
    const limit = { by: 'the walk', rule: 'R9', permissions: one.permissions, places } as const;
    const token = await world.pass('narrowed', [by(50)], { limits: [limit] });
    all.push(credential(`narrowed pass ${one.what}`, { kind: 'narrowed', people: [by(50)], home: 'own', limit: one.limit }, token));
  }
  for (const state of ['expired', 'revoked'] as const)
    all.push(credential(`${state} pass of w50`, { kind: 'dead', people: [] }, await world.pass('full', [by(50)], { [state]: true })));
  return { all, twins };
}

/** Who makes a difference where the roles were tried elsewhere already: the person's own token and full pass, with little, some and all. */
export function tellsOfState({ caller: { kind, people } }: Credential, roles: readonly number[]): boolean {
  return (kind === 'none' || kind === 'user' || kind === 'full') && people.length <= 1 && people.every(({ role }) => roles.includes(role));
}

function credential(name: string, caller: Caller, token: string | undefined): Credential {
  if (token === undefined) return { name, caller, token, headers: {}, basic: {} };
  const basic = { authorization: `Basic ${Buffer.from(`git:${token}`).toString('base64')}` };
  return { name, caller, token, headers: { 'private-token': token }, basic };
}

function fail(): never {
  throw new Error('nobody of that name');
}
