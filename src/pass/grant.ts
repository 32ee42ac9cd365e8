import { assert } from '../base/assert.ts';
import type { AuditId, GroupId, JobId, PassId, PipelineId, ProjectId, RunnerId, TokenId, UserId } from '../base/ids.ts';
import type { Access, Resource } from '../policy/access.ts';
import type { SetCeiling } from '../policy/ceiling.ts';
import type { Permission } from '../policy/permissions.ts';
import type { MaybeTx } from '../ports/tx.ts';

export type { Access, Resource, Permission };

/** Who stands behind a request, after its credential was checked. */
export type Identity =
  | { readonly kind: 'anonymous' }
  | { readonly kind: 'system'; readonly reason: SystemReason }
  | {
      readonly kind: 'creators';
      readonly userIds: readonly UserId[];
      /** Bounds what they read, also when it is dead by now (R5). */
      readonly pass?: PassIdentity;
    }
  | { readonly kind: 'user'; readonly userId: UserId; readonly tokenId: TokenId; readonly scopes: readonly string[] }
  | {
      readonly kind: 'job';
      readonly jobId: JobId;
      readonly projectId: ProjectId;
      readonly pipelineId: PipelineId;
      readonly userId: UserId;
      /** The fetch pass with whose rights its token is honoured where its runner fetches (DESIGN §3, `assist`). */
      readonly assist?: PassIdentity;
    }
  | { readonly kind: 'runner'; readonly runnerId: RunnerId }
  | PassIdentity
  | BridgeIdentity;

/** The job whose pass or ordinary token it is. */
export function jobBehind(identity: Identity): JobId | undefined {
  return identity.kind === 'pass' || identity.kind === 'job' ? identity.jobId : undefined;
}

/**
 * A job that the server itself acts for, where it triggers a pipeline or takes an artifact of another project: with the rights of all the
 * principals that a pass of it would intersect, never with the server's own (A6, A58).
 */
export interface BridgeIdentity {
  readonly kind: 'bridge';
  readonly jobId: JobId;
  readonly pipelineId: PipelineId;
  readonly projectId: ProjectId;
  /** Ordered; the first started the job. */
  readonly principals: readonly UserId[];
  readonly outsideOnly: readonly UserId[];
  /** Not everybody could be named: nothing outside the own project. */
  readonly ownProjectOnly: boolean;
  /** It stays in its project and at its commit, where ceilings, which bound what jobs reach, have nothing to say. */
  readonly inside: boolean;
  readonly limits: readonly SetCeiling[];
}

export interface PassIdentity {
  readonly kind: 'pass';
  readonly passId: PassId;
  readonly passKind: 'full' | 'fetch' | 'narrowed';
  readonly jobId: JobId;
  readonly pipelineId: PipelineId;
  readonly projectId: ProjectId;
  readonly sha: string;
  readonly chainDepth: number;
  /** Only fetching the own project is left (R3). */
  readonly ownProjectOnly: boolean;
  /** Ordered; the first started the job. */
  readonly principals: readonly UserId[];
  /** Those of them whose rights count only outside the top-level group of the job's project (R3). */
  readonly outsideOnly?: readonly UserId[];
  /** Ceilings that it carries itself: of its job, and of each parent. */
  readonly limits?: readonly SetCeiling[];
}

/** The closed list of what acts without a credential. */
export type SystemReason =
  | 'read_ci_file'
  | 'job_payload'
  | 'schedule'
  | 'reaper'
  | 'collection'
  | 'bootstrap'
  | 'push_recovery'
  | 'principals';

/** Who may see the rows of a list (R3): all of `principals`; none = anonymous. */
export interface ListFilter {
  readonly principals: readonly UserId[];
  /** Within all of these, where the caller is limited to places. */
  readonly within?: readonly { readonly projectIds: readonly ProjectId[]; readonly groupIds: readonly GroupId[] }[];
}

/** What `admit` says when it grants; the closure asks again at the moment of effect (R2). */
export interface GrantFacts {
  readonly identity: Identity;
  readonly accesses: readonly Access[];
  readonly auditId: AuditId;
  readonly requestId: string;
  /** For list accesses only. */
  readonly filter: ListFilter | null;
  /** Aborted when the pass behind it dies: streams in flight end with it (R2). */
  readonly signal: AbortSignal;
  /** @throws pass_dead, access_denied, not_found, store_unavailable */
  readonly confirm: (tx: MaybeTx) => Promise<void>;
}

const made = new WeakSet<Grant>();

/** Proof that its accesses were decided *allow* and written to the audit trail. A forge acts on nothing else. Never stored. */
export class Grant {
  readonly identity: Identity;
  readonly accesses: readonly Access[];
  readonly auditId: AuditId;
  readonly requestId: string;
  readonly filter: ListFilter | null;
  readonly signal: AbortSignal;
  readonly #confirm: (tx: MaybeTx) => Promise<void>;

  constructor(facts: GrantFacts) {
    this.identity = facts.identity;
    this.accesses = Object.freeze([...facts.accesses]);
    this.auditId = facts.auditId;
    this.requestId = facts.requestId;
    this.filter = facts.filter;
    this.signal = facts.signal;
    this.#confirm = facts.confirm;
    Object.freeze(this);
  }

  /**
   * Asks again whether the grant still holds. Every write calls it inside its own transaction, just before its effect (R2).
   * @throws pass_dead, access_denied, not_found, store_unavailable
   */
  confirm(tx: MaybeTx): Promise<void> {
    return this.#confirm(tx);
  }

  /** The users whose rights it was decided by; empty for anonymous, runners and the system. */
  get principals(): readonly UserId[] {
    const { identity } = this;
    if (identity.kind === 'pass' || identity.kind === 'bridge') return identity.principals;
    if (identity.kind === 'creators') return identity.userIds;
    return identity.kind === 'user' || identity.kind === 'job' ? [identity.userId] : [];
  }
}

/** Only `pass/admit.ts` may import this; the architecture test says so. */
export function makeGrant(facts: GrantFacts): Grant {
  const grant = new Grant(facts);
  made.add(grant);
  return grant;
}

/**
 * Stops a forge from acting without a decision: a forged object, another permission or another resource.
 * @throws internal
 */
export function verifyGrant(grant: Grant, permission: Permission, resource: Resource): void {
  assert(made.has(grant), 'a grant that admit did not make');
  const covered = grant.accesses.some((access) => access.permission === permission && sameResource(access.resource, resource));
  assert(covered, `grant does not cover ${permission}`);
}

function sameResource(one: Resource, other: Resource): boolean {
  return one.kind === other.kind && (one.kind === 'instance' || (other.kind !== 'instance' && one.id === other.id));
}
