import { type Permission, permissions } from '../../src/policy/permissions.ts';

/** Somebody with one role on everything that is not hidden, or an administrator with none. */
export interface Person {
  readonly name: string;
  readonly id: number;
  readonly token: string;
  readonly role: number;
  readonly admin: boolean;
}

/** What an access is asked on, as the world was built: nothing here is looked up in the server. */
export type Place = { readonly kind: 'instance' | 'user' | 'absent' } | ScopedPlace;
export interface ScopedPlace {
  readonly kind: 'project' | 'group';
  readonly key: string;
  readonly visibility: 'private' | 'internal' | 'public';
  readonly archived: boolean;
  readonly levelOf: (person: Person) => number;
}

/** `home` is the key of the project of the job that holds the credential. */
export interface Caller {
  readonly kind: 'none' | 'dead' | 'user' | 'job' | 'full' | 'fetch' | 'narrowed';
  /** One for a user or a job, the principals for a pass. */
  readonly people: readonly Person[];
  readonly home?: string;
  /** What a narrowed pass names: permissions, and keys of places where it names any. */
  readonly limit?: { readonly permissions: RegExp; readonly keys?: readonly string[] };
}

export type Answer = 'ok' | 'unauthenticated' | 'forbidden' | 'missing';
export type Ask = readonly [Permission, Place];

const rights = permissions as Readonly<
  Record<string, { role: number | string; visible: boolean; write: boolean; frozenByArchive: boolean; jobToken: string }>
>;
const rightsOf = (permission: Permission) =>
  rights[permission] ?? { role: 99, visible: false, write: true, frozenByArchive: true, jobToken: 'none' };

/** R5, in words of its own: what no pass does, whoever stands behind it. */
const never =
  /^(?:user:(?:create|update)|token:.*|self:settings|(?:sub)?group:create|project:(?:create|fork|settings|delete)|(?:group_)?member:write|protection:write|(?:group_)?variable:write|schedule:write|resource_group:write|trigger:(?:read|write)|(?:project_|group_)?runner:(?:read|write)|audit:read|runner:self|job:report|(?:instance|group):settings)$/;
/** R5: values that are long-lived secrets; no ceiling of the walk names them. */
const ownOnly = new Set<Permission>(['variable:read', 'group_variable:read']);
const aboutItself = new Set<Permission>(['pass:self', 'job:self', 'registry:login']);
const fetching = new Set<Permission>(['code:download', 'container:read', 'registry:login']);

/** What the rules (DESIGN R1-R11) say to accesses that are asked together: the first refusal counts. Written without looking at `src/policy/decide.ts`. */
export function expected(caller: Caller, asks: readonly Ask[]): Answer {
  for (const [permission, place] of asks) {
    const answer = answerTo(caller, permission, place);
    if (answer !== 'ok') return answer;
  }
  return 'ok';
}

export function sees(person: Person, place: Place, asUser: boolean): boolean {
  if (place.kind !== 'project' && place.kind !== 'group') return true;
  return place.visibility !== 'private' || place.levelOf(person) >= 10 || (asUser && person.admin);
}

function answerTo(caller: Caller, permission: Permission, place: Place): Answer {
  if (caller.kind === 'dead') return 'unauthenticated';
  const right = rightsOf(permission);
  if (caller.kind === 'none') {
    if (right.role === 'anyone') return 'ok';
    if (place.kind === 'absent') return 'missing';
    if (place.kind !== 'project' && place.kind !== 'group') return 'unauthenticated';
    if (place.visibility !== 'public') return 'missing';
    return right.visible ? 'ok' : 'unauthenticated';
  }
  if (place.kind === 'absent') return 'missing';
  const [first] = caller.people;
  if (first === undefined) throw new Error(`nobody stands behind this ${caller.kind}`);
  if (caller.kind === 'user') return personMay(first, permission, place, true);
  if (aboutItself.has(permission) && (caller.kind !== 'job' || right.jobToken === 'own')) return 'ok';
  const home = place.kind === 'project' && place.key === caller.home;
  if (caller.kind === 'job') return jobMay(first, permission, place, home);
  // The job's own sources, as with the ordinary job token (R3).
  if (home && permission === 'code:download' && caller.kind !== 'narrowed') return 'ok';
  if (!caller.people.every((person) => sees(person, place, false))) return 'missing';
  if (never.test(permission)) return 'forbidden';
  if (caller.kind === 'fetch' && !fetching.has(permission)) return 'forbidden';
  const answers = caller.people.map((person) => personMay(person, permission, place, false));
  const refused = answers.find((answer) => answer !== 'ok');
  if (refused !== undefined) return refused;
  if (ownOnly.has(permission) && !home) return 'forbidden';
  if (caller.kind !== 'narrowed') return 'ok';
  return names(caller, permission, place) ? 'ok' : 'forbidden';
}

/** R9: a child may what it names, where it names it. */
function names({ limit }: Caller, permission: Permission, place: Place): boolean {
  if (limit === undefined || !limit.permissions.test(permission)) return false;
  if (limit.keys === undefined || (place.kind !== 'project' && place.kind !== 'group')) return true;
  return place.kind === 'project' && limit.keys.includes(place.key);
}

/** The ordinary job token: its own project and little more. */
function jobMay(person: Person, permission: Permission, place: Place, home: boolean): Answer {
  const right = rightsOf(permission);
  if (home && right.jobToken === 'own') return right.write ? personMay(person, permission, place, false) : 'ok';
  if (place.kind === 'project' && place.visibility === 'public' && permission === 'code:download') return 'ok';
  return sees(person, place, false) ? 'forbidden' : 'missing';
}

function personMay(person: Person, permission: Permission, place: Place, asUser: boolean): Answer {
  const right = rightsOf(permission);
  const admin = asUser && person.admin;
  if (right.role === 'admin') return admin ? 'ok' : 'forbidden';
  if (right.role === 'self') return 'forbidden';
  if (right.role === 'signed_in' || right.role === 'anyone') return 'ok';
  if (place.kind !== 'project' && place.kind !== 'group') return 'forbidden';
  if (!sees(person, place, asUser)) return 'missing';
  if (right.frozenByArchive && place.archived) return 'forbidden';
  if (admin || place.levelOf(person) >= Number(right.role)) return 'ok';
  return right.visible && place.visibility !== 'private' ? 'ok' : 'forbidden';
}
