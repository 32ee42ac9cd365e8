import type { Oid, ProjectId, RefName, UserId } from './ids.ts';

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
  /** Who answers for the write beside those whom the grant names (R3). */
  readonly pushers?: readonly UserId[];
}

/**
 * How a forge asks while the new objects are still in quarantine.
 * @param again asked once more at the moment of effect, when they were decided before: rules and roles may have changed meanwhile (R2)
 */
export type DecideRefs = (changes: readonly RefChange[], again?: 'again') => Promise<readonly RefDecision[]>;

/** GitLab's wildcards: `*` stands for any characters, also slashes; everything else for itself; the whole name must match. */
export function matchesPattern(pattern: string, name: string): boolean {
  const parts = pattern.split('*');
  const [first = '', ...rest] = parts;
  if (rest.length === 0) return pattern === name;
  const last = rest.pop() ?? '';
  if (name.length < first.length + last.length || !name.startsWith(first) || !name.endsWith(last)) return false;
  let at = first.length;
  for (const part of rest) {
    const found = name.indexOf(part, at);
    if (found < 0 || found + part.length > name.length - last.length) return false;
    at = found + part.length;
  }
  return at <= name.length - last.length;
}

/** `refs/merge-requests/7/head`, as a pipeline of the merge request 7 names its ref; no branch can have that name. @returns 7 */
export function mergeRequestOf(ref: string): number | undefined {
  const iid = /^refs\/merge-requests\/([1-9]\d{0,14})\/head$/.exec(ref)?.[1];
  return iid === undefined ? undefined : Number(iid);
}

/** True where some rule of that kind covers the name. */
export function isProtected(
  rules: readonly { readonly kind: 'branch' | 'tag'; readonly pattern: string }[],
  kind: 'branch' | 'tag',
  name: string,
): boolean {
  // A full name is no branch's: `refs/merge-requests/7/head` is what a pattern like `*` does not mean.
  return !name.startsWith('refs/') && rules.some((rule) => rule.kind === kind && matchesPattern(rule.pattern, name));
}
