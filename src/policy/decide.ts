import type { AccessLevel } from '../base/levels.ts';
import type { Asker, AskedAccess, Decision, DenyCode, PassAsker, PrincipalFacts, ResourceFacts } from './facts.ts';
import { beyond, named } from './ceiling.ts';
import { type Permission, permissionRule, type PermissionRule } from './permissions.ts';

/** Everything that the runner's fetch pass can do (R8); every other kind of pass can do it too. */
const fetchPermissions: ReadonlySet<Permission> = new Set(['code:download', 'container:read', 'registry:login', 'pass:self', 'job:self']);

/** Routes about the pass or the job itself: no principal is asked (R3). */
const selfPermissions: ReadonlySet<Permission> = new Set(['pass:self', 'job:self', 'registry:login']);

/** What a registration token is for. */
const runnerPermissions: ReadonlySet<Permission> = new Set(['runner:write', 'project_runner:write', 'group_runner:write']);

/** Said where an older runner meets it in a clone or a pull, which has no pass to use. */
const forOlderRunners = ' An older runner fetches where an administrator sets its `assist` to fetch.';

const levelNames: Readonly<Record<AccessLevel, string>> = {
  0: 'no role',
  5: 'minimal access',
  10: 'guest',
  15: 'planner',
  20: 'reporter',
  30: 'developer',
  40: 'maintainer',
  50: 'owner',
};

/**
 * Decides accesses that are asked together: allowed only when each of them is (DESIGN §4). Pure.
 * @returns the first refusal, or an allow
 */
export function decide(asker: Asker, accesses: readonly AskedAccess[]): Decision {
  if (accesses.length === 0) return deny('access_denied', 'R13', 'nothing was asked', 'Nothing was asked for.');
  for (const access of accesses) {
    const decision = decideOne(asker, access);
    if (!decision.allow) return decision;
  }
  return { allow: true, rule: ruleOf(asker), reason: 'allowed' };
}

function ruleOf(asker: Asker): string {
  if (asker.kind === 'job' && asker.assist !== undefined) return 'R8';
  return asker.kind === 'pass' && asker.principals.length > 1 ? 'R3' : 'R1';
}

function decideOne(asker: Asker, access: AskedAccess): Decision {
  const rule = permissionRule(access.permission);
  const { resource } = access;
  if (resource.kind !== 'absent' && resource.kind !== rule.on)
    return deny(
      'access_denied',
      'R13',
      `${access.permission} does not apply to a ${resource.kind}`,
      'This permission does not apply here.',
    );
  switch (asker.kind) {
    case 'system':
      if (resource.kind === 'absent') return hidden(resource.what);
      return asker.permissions.includes(access.permission)
        ? allow('R13')
        : deny('access_denied', 'R13', 'not on the list of this system subject', 'Not on the list.');
    case 'runner':
      return access.permission === 'runner:self'
        ? allow('R7')
        : deny('access_denied', 'R7', 'a runner token serves the Runner API only', 'A runner token serves the Runner API only.');
    case 'anonymous':
      return decideAnonymous(rule, resource);
    case 'creators':
      return decideCreators(asker, access.permission, rule, resource);
    case 'user':
      return decideUser(asker.principal, asker.scopes, access.permission, rule, resource);
    case 'job': {
      const own = decideJob(asker, access.permission, rule, resource);
      if (own.allow || asker.assist === undefined) return own;
      // What the token may not do by itself, the fetch pass may (DESIGN §3, `assist`).
      const lent = decidePass(asker.assist, access.permission, rule, resource);
      return lent.allow ? lent : own;
    }
    case 'pass':
      return decidePass(asker, access.permission, rule, resource);
  }
}

// Whether a thing exists must not show (A41): in each function below, what is absent is answered at the same place as what is hidden.

function decideAnonymous(rule: PermissionRule, resource: ResourceFacts): Decision {
  if (rule.role === 'anyone') return allow('R1');
  if (resource.kind === 'absent' && resource.what !== 'User') return hidden(resource.what);
  if (isScoped(resource) && resource.visibility === 'public' && rule.visible) return allow('R1');
  if (isScoped(resource) && resource.visibility !== 'public') return hidden(whatOf(resource));
  return deny('credential_missing', 'R1', 'anonymous', 'Sign in: this needs a token.');
}

function decideUser(
  principal: PrincipalFacts,
  scopes: readonly string[],
  permission: Permission,
  rule: PermissionRule,
  resource: ResourceFacts,
): Decision {
  const missing = missingScope(scopes, permission, rule);
  if (missing !== undefined) return missing;
  if (resource.kind === 'absent') return hidden(resource.what);
  return decidePrincipal(principal, principal.admin, permission, rule, resource, 'You');
}

function decideJob(
  asker: Extract<Asker, { kind: 'job' }>,
  permission: Permission,
  rule: PermissionRule,
  resource: ResourceFacts,
): Decision {
  const { principal } = asker;
  if (!principal.active) return blockedUser(principal);
  if (resource.kind === 'absent') return hidden(resource.what);
  if (selfPermissions.has(permission) && rule.jobToken === 'own') return allow('R1');
  if (permission === 'job:report') {
    return resource.kind === 'job' && resource.id === asker.jobId
      ? allow('R2')
      : deny('not_found', 'R2', 'another job', 'There is no such job.');
  }
  const own = resource.kind === 'project' && resource.id === asker.projectId;
  if (own && rule.jobToken === 'own') {
    // Reading the own project is the job's due; writing still needs the user's role there.
    return rule.write ? decidePrincipal(principal, false, permission, rule, resource, principal.username) : allow('R3');
  }
  if (isOpen(principal, permission, rule, resource) && resource.visibility === 'public' && !rule.write && permission === 'code:download')
    return allow('R1');
  if (isScoped(resource) && !seenBy(principal, false, resource)) return hidden(whatOf(resource));
  return deny(
    'access_denied',
    'R1',
    'a job token reaches its own project only',
    `The job token does not reach this (${permission}); use the job's pass.${fetchPermissions.has(permission) ? forOlderRunners : ''}`,
  );
}

/** Each of them must be able to read it; an administrator's power reads nothing here (R1, R3). */
function decideCreators(
  { principals, pass }: Extract<Asker, { kind: 'creators' }>,
  permission: Permission,
  rule: PermissionRule,
  resource: ResourceFacts,
): Decision {
  if (permission !== 'repository:read') return deny('access_denied', 'R13', 'for reading includes only', 'For reading includes only.');
  if (principals.length === 0) return deny('access_denied', 'R3', 'no principal', 'Nobody stands behind this pipeline.');
  if (resource.kind === 'absent') return hidden(resource.what);
  const refused = firstRefusal(principals, permission, rule, resource);
  if (refused !== undefined) return refused;
  return pass === undefined ? allow('R3') : decidePass(pass, permission, rule, resource);
}

function decidePass(asker: PassAsker, permission: Permission, rule: PermissionRule, resource: ResourceFacts): Decision {
  const principals = asker.principals.filter((principal) => principal.outsideOnly !== true || !atHome(asker, resource));
  if (principals.length === 0) return deny('access_denied', 'R3', 'no principal', 'Nobody stands behind this pass.');
  const blocked = principals.find((principal) => !principal.active);
  if (blocked !== undefined) return blockedUser(blocked);
  if (resource.kind === 'absent') return hidden(resource.what);
  if (selfPermissions.has(permission)) return allow('R3');
  const own = resource.kind === 'project' && resource.id === asker.projectId;
  if (own && permission === 'code:download' && asker.passKind !== 'narrowed') return allow('R3');

  if (isScoped(resource) && principals.some((principal) => !seenBy(principal, false, resource))) return hidden(whatOf(resource));
  if (rule.pass === 'never')
    return deny('never_allowed', 'R5', `${permission} is never for a pass`, `No pass may do this (${permission}); a person has to.`);
  if (asker.passKind === 'fetch' && !fetchPermissions.has(permission)) {
    return deny('access_denied', 'R8', 'a fetch pass fetches only', `A fetch pass may not do this: it lacks ${permission}${on(resource)}.`);
  }
  if (asker.ownProjectOnly && !(own && fetchPermissions.has(permission))) {
    return deny(
      'access_denied',
      'R3',
      'principals are too many or not provable',
      `This pass only fetches its own project, because it could not be told whose rights it intersects; it lacks ${permission}${on(resource)}.`,
    );
  }
  const refused = firstRefusal(principals, permission, rule, resource);
  if (refused !== undefined) return refused;
  const users = principals.map(({ id }) => id);
  if (rule.pass === 'own' && !own && !named(asker.ceilings ?? [], users, permission, resource))
    return deny(
      'access_denied',
      'R5',
      `${permission} outside the own project, and no ceiling names it`,
      `${permission}${on(resource)} is missing: outside its own project a pass needs it named by a ceiling of the instance, its groups or its project, or of each user behind it.`,
    );
  // Last: a ceiling is told of only to those who could do it without (R11).
  return overCeiling(asker, permission, resource) ?? allow('R3');
}

/** Every one of them must be allowed (R3), by a role alone: never by admin power (R1). */
function firstRefusal(
  principals: readonly PrincipalFacts[],
  permission: Permission,
  rule: PermissionRule,
  resource: ResourceFacts,
): Decision | undefined {
  for (const principal of principals) {
    const decision = decidePrincipal(principal, false, permission, rule, resource, principal.username);
    if (!decision.allow) return decision;
  }
  return undefined;
}

/** The first ceiling that does not hold the access, with what would have to stand in it. */
function overCeiling(asker: PassAsker, permission: Permission, resource: ResourceFacts): Decision | undefined {
  // A narrowed pass without its limits would be its parent.
  if (asker.passKind === 'narrowed' && (asker.ceilings ?? []).every(({ rule }) => rule !== 'R9'))
    return deny('access_denied', 'R9', 'a narrowed pass without limits', 'This narrowed pass carries nothing.');
  for (const one of asker.ceilings ?? []) {
    const missing = beyond(one, permission, resource);
    if (missing === undefined) continue;
    const what = `${permission}${on(resource)}`;
    const said =
      missing.what === 'unreadable'
        ? `${what} is refused: the ceiling of ${one.by} cannot be read; it has to be set again.`
        : missing.what === 'permission'
          ? `${what} is missing: the ceiling of ${one.by} does not name it; add ${JSON.stringify(permission)} to its permissions.`
          : `${what} is missing: the ceiling of ${one.by} does not name that place; add ${JSON.stringify(isScoped(resource) ? resource.path : '')} to its projects.`;
    return deny('access_denied', one.rule, `beyond the ceiling of ${one.by} (${missing.what})`, said);
  }
  return undefined;
}

/** Inside the top-level group of the job's own project. */
function atHome(asker: PassAsker, resource: ResourceFacts): boolean {
  return isScoped(resource) && asker.homeGroupId !== undefined && resource.rootGroupId === asker.homeGroupId;
}

function blockedUser({ id, username }: PrincipalFacts): Decision {
  return deny('access_denied', 'R1', `user ${id} is blocked`, `${username}, whose rights are needed here, is blocked.`);
}

/** One user's right, now. @param admin whether admin power counts */
function decidePrincipal(
  principal: PrincipalFacts,
  admin: boolean,
  permission: Permission,
  rule: PermissionRule,
  resource: ResourceFacts,
  name: string,
): Decision {
  if (!principal.active) return blockedUser(principal);
  if (rule.role === 'admin') {
    return admin ? allow('R1') : deny('access_denied', 'R1', 'needs an administrator', `This needs an administrator (${permission}).`);
  }
  if (rule.role === 'self')
    return deny('access_denied', 'R1', 'only for the job or runner itself', 'Only the job or runner itself may do this.');
  if (rule.role === 'signed_in' || rule.role === 'anyone') return allow('R1');
  if (!isScoped(resource)) return deny('access_denied', 'R13', 'a role needs a project or group', 'A role needs a project or group.');
  if (!seenBy(principal, admin, resource)) return hidden(whatOf(resource));
  if (rule.frozenByArchive && resource.kind === 'project' && resource.archived) {
    return deny('access_denied', 'R1', 'the project is archived', `${resource.path} is archived: it can only be read.`);
  }
  const level = admin ? 50 : (resource.levels.get(principal.id) ?? 0);
  if (level >= rule.role) return allow('R1');
  if (isOpen(principal, permission, rule, resource)) return allow('R1');
  return deny(
    'access_denied',
    'R1',
    `${permission} needs level ${rule.role}, user ${principal.id} has ${level}`,
    `${permission}${on(resource)} is missing: it needs ${levelNames[rule.role]}, and ${name} ${name === 'You' ? 'have' : 'has'} ${levelNames[level]}.`,
  );
}

/** GitLab's token scopes; an unknown scope gives nothing. */
function missingScope(scopes: readonly string[], permission: Permission, rule: PermissionRule): Decision | undefined {
  const fine =
    scopes.includes('api') ||
    (scopes.includes('create_runner') && runnerPermissions.has(permission)) ||
    (scopes.includes('trigger_pipeline') && permission === 'pipeline:create') ||
    (scopes.includes('read_api') && !rule.write) ||
    (permission === 'self:read' && scopes.includes('read_user')) ||
    (permission === 'code:download' && (scopes.includes('read_repository') || scopes.includes('write_repository'))) ||
    (permission === 'code:push' && scopes.includes('write_repository')) ||
    ((permission === 'container:read' || permission === 'registry:login') && scopes.includes('read_registry')) ||
    ((permission === 'container:push' || permission === 'registry:login') && scopes.includes('write_registry'));
  if (fine) return undefined;
  return deny(
    'scope_insufficient',
    'R1',
    `scope missing for ${permission}`,
    'The request requires higher privileges than provided by the access token.',
  );
}

type ScopedResource = Extract<ResourceFacts, { kind: 'project' | 'group' }>;

function isScoped(resource: ResourceFacts): resource is ScopedResource {
  return resource.kind === 'project' || resource.kind === 'group';
}

function seenBy(principal: PrincipalFacts, admin: boolean, resource: ScopedResource): boolean {
  return admin || isVisible(principal, resource) || (resource.levels.get(principal.id) ?? 0) >= 10;
}

function isVisible({ external }: PrincipalFacts, { visibility }: ScopedResource): boolean {
  return visibility === 'public' || (visibility === 'internal' && external !== true);
}

/** Whether somebody may do it without a role, because the thing is public or internal, and this part of it is not for members only. */
function isOpen(
  principal: PrincipalFacts,
  permission: Permission,
  rule: PermissionRule,
  resource: ResourceFacts,
): resource is ScopedResource {
  if (!isScoped(resource) || !rule.visible || !isVisible(principal, resource)) return false;
  return resource.kind !== 'project' || resource.membersOnly?.has(permission) !== true;
}

function whatOf(resource: ScopedResource): 'Project' | 'Group' {
  return resource.kind === 'project' ? 'Project' : 'Group';
}

function on(resource: ResourceFacts): string {
  return isScoped(resource) ? ` on ${resource.path}` : '';
}

function allow(rule: string): Decision {
  return { allow: true, rule, reason: 'allowed' };
}

function hidden(what: 'Project' | 'Group' | 'User'): Decision {
  return { allow: false, code: 'not_found', rule: 'R11', reason: `${what} is hidden or absent`, message: `404 ${what} Not Found`, what };
}

function deny(code: DenyCode, rule: string, reason: string, message: string): Decision {
  return { allow: false, code, rule, reason, message };
}
