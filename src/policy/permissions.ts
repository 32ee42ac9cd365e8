import type { AccessLevel } from '../base/levels.ts';

/**
 * What a pass may do with a permission: `yes` = as its principals may; `never` = R5's list, no override;
 * `own` = only in the job's own project, unless a ceiling names it there (`named` in ceiling.ts).
 */
export type PassRule = 'yes' | 'own' | 'never';
/** What the ordinary job token may do with it: nothing, or in its own project. */
export type JobTokenRule = 'none' | 'own';

export interface PermissionRule {
  readonly on: 'project' | 'group' | 'user' | 'instance' | 'job';
  /** Lowest role on the project or group; `self` = the user itself; `signed_in`; `anyone`; `admin`. */
  readonly role: AccessLevel | 'self' | 'signed_in' | 'anyone' | 'admin';
  /** Whether public visibility (anyone) and internal visibility (signed-in users) suffice. */
  readonly visible: boolean;
  /** Changes something; needs scope `api` (or `write_repository` for code). */
  readonly write: boolean;
  /** Refused while the project is archived. */
  readonly frozenByArchive: boolean;
  readonly pass: PassRule;
  readonly jobToken: JobTokenRule;
}

const read = { write: false, frozenByArchive: false, pass: 'yes', jobToken: 'none' } as const;
const write = { write: true, frozenByArchive: true, pass: 'yes', jobToken: 'none', visible: false } as const;
const never = { pass: 'never', jobToken: 'none', visible: false, frozenByArchive: false } as const;

/** Every permission, with GitLab's role table (`Project members permissions`) as data. */
export const permissions = {
  'metadata:read': { on: 'instance', role: 'signed_in', visible: false, ...read },
  'user:read': { on: 'user', role: 'signed_in', visible: false, ...read },
  'user:list': { on: 'instance', role: 'signed_in', visible: false, ...read },
  /** Routes about the caller itself: `GET /user`. Exempt from the intersection (R3). */
  'self:read': { on: 'instance', role: 'signed_in', visible: false, ...read },
  'project:list': { on: 'instance', role: 'anyone', visible: true, ...read },
  'project:read': { on: 'project', role: 10, visible: true, ...read },
  'group:list': { on: 'instance', role: 'anyone', visible: true, ...read },
  'group:read': { on: 'group', role: 10, visible: true, ...read },
  'member:read': { on: 'project', role: 10, visible: true, ...read },
  'group_member:read': { on: 'group', role: 10, visible: true, ...read },
  'code:download': { on: 'project', role: 15, visible: true, ...read, jobToken: 'own' },
  /** Takes another user's LFS lock away. */
  'lfs_lock:force': { on: 'project', role: 40, ...write },
  'code:push': { on: 'project', role: 30, ...write },
  'repository:read': { on: 'project', role: 15, visible: true, ...read },
  'repository:write': { on: 'project', role: 30, ...write },
  'commit:read': { on: 'project', role: 15, visible: true, ...read },
  'commit:create': { on: 'project', role: 30, ...write },
  'branch:read': { on: 'project', role: 15, visible: true, ...read },
  'branch:write': { on: 'project', role: 30, ...write },
  'tag:read': { on: 'project', role: 15, visible: true, ...read },
  'tag:write': { on: 'project', role: 30, ...write },
  'release:read': { on: 'project', role: 10, visible: true, ...read, jobToken: 'own' },
  'release:write': { on: 'project', role: 30, ...write, jobToken: 'own' },
  'pipeline:read': { on: 'project', role: 20, visible: true, ...read },
  'pipeline:create': { on: 'project', role: 30, ...write, jobToken: 'own' },
  'pipeline:update': { on: 'project', role: 30, ...write },
  'pipeline:delete': { on: 'project', role: 50, ...write },
  'schedule:read': { on: 'project', role: 20, visible: true, ...read },
  /** What stands in the repository, in one piece. */
  'ci_config:read': { on: 'project', role: 15, visible: true, ...read },
  /** What the caller sends: it is judged as a pipeline of theirs would be, and nothing is made. */
  'ci_config:lint': { on: 'project', role: 30, ...write },
  'job:read': { on: 'project', role: 20, visible: true, ...read },
  'job:run': { on: 'project', role: 30, ...write },
  'job:update': { on: 'project', role: 30, ...write },
  'job:erase': { on: 'project', role: 40, ...write },
  'artifact:read': { on: 'project', role: 20, visible: true, ...read, jobToken: 'own' },
  'environment:read': { on: 'project', role: 20, visible: false, ...read },
  'environment:write': { on: 'project', role: 30, ...write },
  'deployment:read': { on: 'project', role: 20, visible: false, ...read },
  /** Archives of jobs that say so (`artifacts:access`). */
  'artifact:read_developer': { on: 'project', role: 30, visible: false, ...read },
  'artifact:read_maintainer': { on: 'project', role: 40, visible: false, ...read },
  'container:read': { on: 'project', role: 20, visible: true, ...read, jobToken: 'own' },
  'container:push': { on: 'project', role: 30, ...write, jobToken: 'own' },
  'container:delete': { on: 'project', role: 30, ...write },
  /** `delete` and `*` of a registry token. */
  'container:admin': { on: 'project', role: 40, ...write },
  /** `docker login`, without a scope. Exempt from the intersection (R3). */
  'registry:login': { on: 'instance', role: 'signed_in', visible: false, ...read, jobToken: 'own' },
  'merge_request:read': { on: 'project', role: 15, visible: true, ...read },
  'merge_request:create': { on: 'project', role: 30, ...write },
  'merge_request:update': { on: 'project', role: 30, ...write },
  'merge_request:approve': { on: 'project', role: 30, ...write },
  'merge_request:merge': { on: 'project', role: 30, ...write },
  /** Issues and their notes, milestones, labels. */
  'work_item:read': { on: 'project', role: 10, visible: true, ...read },
  'work_item:write': { on: 'project', role: 20, ...write },
  'upload:create': { on: 'project', role: 20, ...write },
  'package:read': { on: 'project', role: 20, visible: true, ...read, jobToken: 'own' },
  'package:write': { on: 'project', role: 30, ...write, jobToken: 'own' },
  'package:delete': { on: 'project', role: 40, ...write },
  'commit_status:create': { on: 'project', role: 30, ...write },
  'protection:read': { on: 'project', role: 40, visible: false, ...read },
  /** Values of CI/CD variables: long-lived secrets. Outside the job's own project a pass needs a ceiling that names it (R5). */
  'variable:read': { on: 'project', role: 40, visible: false, ...read, pass: 'own' },
  'group_variable:read': { on: 'group', role: 50, visible: false, ...read, pass: 'own' },
  /** The job that asks, about itself: `GET /job`, artifacts that it depends on. Exempt from the intersection (R3). */
  'job:self': { on: 'instance', role: 'self', visible: false, ...read, jobToken: 'own' },
  /** A pass about itself: introspect, give back. Exempt from the intersection and from R5's list. */
  'pass:self': { on: 'instance', role: 'self', visible: false, ...read },
  /** The runner's own calls. */
  'runner:self': { on: 'instance', role: 'self', visible: false, ...read, pass: 'never' },
  'job:report': { on: 'job', role: 'self', visible: false, ...read, write: true, pass: 'never', jobToken: 'own' },

  // Never for a pass (R5): credentials, members, roles, runners, settings, protections, deletion.
  'user:create': { on: 'instance', role: 'admin', write: true, ...never },
  'user:update': { on: 'user', role: 'admin', write: true, ...never },
  'token:read': { on: 'instance', role: 'signed_in', write: false, ...never },
  /** What the user itself bounds for its own jobs. */
  'self:settings': { on: 'instance', role: 'signed_in', write: true, ...never },
  'token:create': { on: 'instance', role: 'signed_in', write: true, ...never },
  'token:revoke': { on: 'instance', role: 'signed_in', write: true, ...never },
  'group:create': { on: 'instance', role: 'signed_in', write: true, ...never },
  'subgroup:create': { on: 'group', role: 40, write: true, ...never },
  'project:create': { on: 'group', role: 30, write: true, ...never },
  'group:settings': { on: 'group', role: 50, write: true, ...never },
  'project:settings': { on: 'project', role: 40, write: true, ...never },
  /** Copies a project that one may read; a project of one's own outlives the job. */
  'project:fork': { on: 'project', role: 20, write: true, ...never, visible: true },
  'project:delete': { on: 'project', role: 50, write: true, ...never },
  'member:write': { on: 'project', role: 40, write: true, ...never },
  'group_member:write': { on: 'group', role: 50, write: true, ...never },
  'schedule:write': { on: 'project', role: 30, write: true, ...never, frozenByArchive: true },
  'trigger:read': { on: 'project', role: 40, write: false, ...never },
  'trigger:write': { on: 'project', role: 40, write: true, ...never, frozenByArchive: true },
  'protection:write': { on: 'project', role: 40, write: true, ...never },
  'variable:write': { on: 'project', role: 40, write: true, ...never },
  'group_variable:write': { on: 'group', role: 50, write: true, ...never },
  'runner:read': { on: 'instance', role: 'admin', write: false, ...never },
  'runner:write': { on: 'instance', role: 'admin', write: true, ...never },
  'resource_group:write': { on: 'project', role: 30, write: true, ...never },
  'project_runner:write': { on: 'project', role: 40, write: true, ...never },
  'group_runner:write': { on: 'group', role: 50, write: true, ...never },
  'instance:settings': { on: 'instance', role: 'admin', write: true, ...never },
  'audit:read': { on: 'instance', role: 'admin', write: false, ...never },
} as const satisfies Record<string, PermissionRule>;

export type Permission = keyof typeof permissions;

/** The rule of a permission, with its union type widened. */
export function permissionRule(permission: Permission): PermissionRule {
  return permissions[permission];
}
