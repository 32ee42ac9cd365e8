import type { GroupId, JobId, ProjectId, UserId } from '../base/ids.ts';
import type { AccessLevel, Visibility } from '../base/levels.ts';
import type { GatheredCeiling } from './ceiling.ts';
import type { Permission } from './permissions.ts';

/** A user whose rights count in a decision, as the directory has it now. */
export interface PrincipalFacts {
  readonly id: UserId;
  readonly username: string;
  readonly active: boolean;
  /** Counts for the user's own token only, never for a job or a pass (R1). */
  readonly admin: boolean;
  /** Sees nothing because it is internal: as somebody from outside. */
  readonly external?: boolean;
  /** Who last wrote to the job's protected ref: asked only outside the top-level group of the job's project (R3). */
  readonly outsideOnly?: boolean;
}

/** Who asks, with everything about it that a decision needs. */
export type Asker =
  | { readonly kind: 'anonymous' }
  | { readonly kind: 'system'; readonly permissions: readonly Permission[] }
  | { readonly kind: 'runner' }
  /** Everybody behind a pipeline, for reading what its file includes; `pass` where one started it. */
  | { readonly kind: 'creators'; readonly principals: readonly PrincipalFacts[]; readonly pass?: PassAsker }
  | { readonly kind: 'user'; readonly principal: PrincipalFacts; readonly scopes: readonly string[] }
  | {
      readonly kind: 'job';
      readonly principal: PrincipalFacts;
      readonly jobId: JobId;
      readonly projectId: ProjectId;
      /** Its fetch pass, where its runner is assisted. */
      readonly assist?: PassAsker;
    }
  | PassAsker;

export interface PassAsker {
  readonly kind: 'pass';
  readonly passKind: 'full' | 'fetch' | 'narrowed';
  readonly principals: readonly PrincipalFacts[];
  readonly projectId: ProjectId;
  /** Top-level group of that project; undefined = unknown, so everything is outside. */
  readonly homeGroupId?: GroupId | undefined;
  readonly ownProjectOnly: boolean;
  /** All must hold what is asked for (R4, R9). */
  readonly ceilings?: readonly GatheredCeiling[];
}

/** A resource as it is now. `levels` has every principal that holds a role there. */
export type ResourceFacts =
  | {
      readonly kind: 'project';
      readonly id: ProjectId;
      readonly path: string;
      readonly visibility: Visibility;
      readonly archived: boolean;
      /** What only those with a role may do, though the project is public or internal. */
      readonly membersOnly?: ReadonlySet<Permission>;
      readonly rootGroupId?: GroupId;
      readonly levels: ReadonlyMap<UserId, AccessLevel>;
    }
  | {
      readonly kind: 'group';
      readonly id: GroupId;
      readonly path: string;
      readonly visibility: Visibility;
      readonly rootGroupId?: GroupId;
      readonly levels: ReadonlyMap<UserId, AccessLevel>;
    }
  | { readonly kind: 'user'; readonly id: UserId }
  | { readonly kind: 'job'; readonly id: JobId }
  | { readonly kind: 'instance' }
  /** Asked for, but there is no such thing. */
  | { readonly kind: 'absent'; readonly what: 'Project' | 'Group' | 'User' };

/** One access with its resource looked up. */
export interface AskedAccess {
  readonly permission: Permission;
  readonly resource: ResourceFacts;
}

export type DenyCode = 'credential_missing' | 'access_denied' | 'not_found' | 'never_allowed' | 'scope_insufficient';

/** The answer, with the rule that gave it. `message` may be shown to the asker; `reason` is for the audit trail. */
export type Decision =
  | { readonly allow: true; readonly rule: string; readonly reason: string }
  | {
      readonly allow: false;
      readonly code: DenyCode;
      readonly rule: string;
      readonly reason: string;
      readonly message: string;
      readonly what?: string;
    };
