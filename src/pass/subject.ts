import type { ErrorCode } from '../base/errors.ts';
import type { Secret } from '../base/secret.ts';
import type { PassId, ProjectId, RefName, UserId } from '../base/ids.ts';
import type { Access } from '../policy/access.ts';
import type { RefChange, RefDecision } from '../base/refs.ts';
import type { BridgeIdentity, Grant, SystemReason } from './grant.ts';

export type { Access, Resource } from '../policy/access.ts';
export type { Permission } from '../policy/permissions.ts';

/** Where a credential was found; passes are taken from `private_token`, `job_token`, `bearer`, `basic` and `oauth_form` only (DESIGN §3). */
export type Carrier =
  | 'private_token'
  | 'job_token'
  | 'bearer'
  | 'basic'
  | 'runner_token'
  | 'oauth_form'
  | 'body_token'
  | 'registration_token'
  | 'trigger_token';

/** Who asks, before anything is checked. */
export type Subject =
  | { readonly kind: 'secret'; readonly secret: Secret; readonly carrier: Carrier }
  | { readonly kind: 'anonymous' }
  | { readonly kind: 'system'; readonly reason: SystemReason }
  /** Everybody behind a pipeline whose file includes something of another project, and the pass where one started it. For reading only (A57). */
  | { readonly kind: 'creators'; readonly users: readonly UserId[]; readonly passId: PassId | null }
  /** Found out by the job queue (`jobs/bridge-rights.ts`), never by a door. */
  | BridgeIdentity;

/** What a door adds to a question. */
export interface AskContext {
  /** `api`, `git`, `runner`, `oauth`. */
  readonly door: string;
  /** The endpoint row: `METHOD path`. */
  readonly endpoint: string;
  readonly requestId: string;
  /** True over TLS, loopback or a unix socket, or where plain HTTP was allowed (R16). */
  readonly secure: boolean;
}

/** A refusal that a door turns into its protocol's answer (R11). */
export interface Refusal {
  readonly code: ErrorCode;
  /** For the caller: what is missing. Holds nothing that the caller may not know. */
  readonly message: string;
  /** `R1` … */
  readonly rule: string;
  /** GitLab's name of the hidden thing: `Project`, `Group`, `User`. */
  readonly what?: string;
}

/** `anonymous`: nobody stands behind the question, also where a token for nobody was sent; a door may ask for a credential. */
export type Admission =
  | { readonly ok: true; readonly grant: Grant }
  | { readonly ok: false; readonly refusal: Refusal; readonly anonymous?: true };

/** The port through which every door and the job queue ask (`pass/admit.ts` makes it). */
export interface Gatekeeper {
  /** The only maker of a grant. Never throws for an ordinary no. @throws audit_unavailable, store_unavailable */
  admit(subject: Subject, accesses: readonly Access[], context: AskContext): Promise<Admission>;
  /** Decides each ref of an admitted push or API write from the facts in quarantine, and audits each (DESIGN §4). */
  /** @param again at the moment of effect: an allow has its row already, and costs no quota */
  admitRefs(grant: Grant, changes: readonly RefChange[], again?: 'again'): Promise<readonly RefDecision[]>;
  /** What `admitRefs` would say of a merge into this branch, of what is known without the merge; nothing is decided by it, and it leaves no row. */
  mayMerge(grant: Grant, project: ProjectId, branch: RefName): Promise<boolean>;
  /** Writes the outcome of an admitted request. */
  settle(grant: Grant, outcome: 'done' | 'failed' | 'refused' | 'cut', detail?: string): Promise<void>;
}
