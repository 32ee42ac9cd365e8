import type { Oid, ProjectId, RefName } from './ids.ts';

/** A ref that a push or an API write wants to move, with the facts that its decision needs. */
export interface RefChange {
  readonly projectId: ProjectId;
  readonly ref: RefName;
  readonly oldOid: Oid;
  readonly newOid: Oid;
  readonly kind: 'create' | 'update' | 'delete';
  /** An update whose old tip is not an ancestor of the new one. */
  readonly forced: boolean;
  /** Some commit that is new to the repository, or the difference of the tips, touches `.jobpass/` (R4). */
  readonly touchesJobpass: boolean;
}

export interface RefDecision {
  readonly ref: RefName;
  readonly allowed: boolean;
  /** For people, without the `GitLab: ` prefix; empty when allowed. */
  readonly message: string;
}

/** How a forge asks while the new objects are still in quarantine. */
export type DecideRefs = (changes: readonly RefChange[]) => Promise<readonly RefDecision[]>;
