import type { AccessLevel } from '../base/levels.ts';
import { matchesPattern, type RefChange, type RefDecision } from '../base/refs.ts';

/** A protection rule; mirrors what the directory tells. */
export interface RefRule {
  readonly kind: 'branch' | 'tag';
  readonly pattern: string;
  readonly pushLevel: AccessLevel;
  /** Left out = as pushLevel. */
  readonly mergeLevel?: AccessLevel;
  readonly allowForcePush: boolean;
}

export interface RefFacts {
  readonly rules: readonly RefRule[];
  readonly defaultBranch: string;
  readonly archived: boolean;
  /** Lowest level over all principals: every one of them must be allowed (R3). */
  readonly lowestLevel: AccessLevel;
  /** The same where the ref is protected, for a job's ordinary token: over everybody whose hands are in the job. Left out = as lowestLevel. */
  readonly guardedLevel?: AccessLevel;
  /** Username of the principal who has that level, where it is not the first (R11). */
  readonly heldBackBy?: string;
  /** True where a pass writes: it never touches `.jobpass/` (R4). */
  readonly byPass: boolean;
  /** True for the merge of a merge request: who may merge to a protected branch need not be allowed to push to it. */
  readonly merging?: boolean;
}

/**
 * May this ref move? Asked for every ref of a push and every write over the API, from the facts in quarantine. Pure.
 * The texts are GitLab's, so that people and scripts find what they know.
 */
export function decideRef(change: RefChange, facts: RefFacts): RefDecision {
  const objected = objection(change, facts);
  const whose =
    objected !== '' && facts.heldBackBy !== undefined
      ? ` (The pass has no more rights here than ${facts.heldBackBy}, who is one of its principals.)`
      : '';
  const { guardedLevel = facts.lowestLevel } = facts;
  const hands =
    objected !== '' && guardedLevel < facts.lowestLevel
      ? ' (A job token moves a protected branch or tag only where everybody whose hands are in the job may, R3.)'
      : '';
  const message = objected + whose + hands;
  return { ref: change.ref, allowed: message === '', message };
}

function objection(change: RefChange, facts: RefFacts): string {
  if (facts.archived) return 'You cannot push to an archived project.';
  if (facts.byPass && change.touchesJobpass) return 'A pass may not change anything below .jobpass/ (R4).';
  if (change.ref.startsWith('refs/heads/')) return branchObjection(change, facts, change.ref.slice('refs/heads/'.length));
  if (change.ref.startsWith('refs/tags/')) return tagObjection(change, facts, change.ref.slice('refs/tags/'.length));
  // No pipeline runs there, and nothing protects it: who may push code may move it, as in GitLab. semantic-release keeps its channels there.
  if (change.ref.startsWith('refs/notes/')) return facts.lowestLevel >= 30 ? '' : 'You are not allowed to push code to this project.';
  return `You may push to refs/heads/, refs/tags/ and refs/notes/ only, not to ${change.ref}.`;
}

/** A name that reads as a commit's would stand in for it wherever either is taken. */
const shaLike = /^(?:[0-9a-fA-F]{40}|[0-9a-fA-F]{64})(?:$|[-/])/;

function branchObjection(change: RefChange, facts: RefFacts, name: string): string {
  if (change.kind === 'create' && shaLike.test(name)) return 'You cannot create a branch with a SHA-1 or SHA-256 branch name.';
  const rules = facts.rules.filter((rule) => rule.kind === 'branch' && matchesPattern(rule.pattern, name));
  if (change.kind === 'delete' && name === facts.defaultBranch) return 'The default branch of a project cannot be deleted.';
  if (rules.length === 0) return facts.lowestLevel >= 30 ? '' : 'You are not allowed to push code to this project.';
  if (change.kind === 'delete') return 'You cannot delete protected branches from this project by pushing.';
  // Several rules may match: as in GitLab the most permissive one counts.
  const levels = (rule: RefRule): readonly AccessLevel[] =>
    facts.merging === true ? [rule.pushLevel, rule.mergeLevel ?? 0] : [rule.pushLevel];
  const enough = rules.filter((rule) =>
    levels(rule).some((level) => level > 0 && (facts.guardedLevel ?? facts.lowestLevel) >= Math.max(level, 30)),
  );
  if (enough.length === 0) return 'You are not allowed to push code to protected branches on this project.';
  if (change.forced && !enough.some((rule) => rule.allowForcePush))
    return 'You are not allowed to force push code to a protected branch on this project.';
  return '';
}

function tagObjection(change: RefChange, facts: RefFacts, name: string): string {
  if (change.kind === 'create' && shaLike.test(name)) return 'You cannot create a tag with a SHA-1 or SHA-256 tag name.';
  if (change.kind === 'create' && name === facts.defaultBranch) return 'You cannot use default branch name to create a tag';
  const rules = facts.rules.filter((rule) => rule.kind === 'tag' && matchesPattern(rule.pattern, name));
  if (rules.length === 0) {
    if (facts.lowestLevel >= 30) return '';
    return change.kind === 'create'
      ? 'You are not allowed to create tags on this project.'
      : 'You are not allowed to change existing tags on this project.';
  }
  if (change.kind === 'delete') return 'You cannot delete protected tags by pushing.';
  if (change.kind === 'update') return 'Protected tags cannot be updated.';
  const allowed = rules.some((rule) => rule.pushLevel > 0 && (facts.guardedLevel ?? facts.lowestLevel) >= Math.max(rule.pushLevel, 30));
  return allowed ? '' : 'You are not allowed to create this tag as it is protected.';
}
