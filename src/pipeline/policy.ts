import type { Budget } from '../base/budget.ts';
import type { CiRule } from './ci-file.ts';
import { type Expression, type Pattern, searches } from './expression.ts';
import type { Given } from './given.ts';

/** A branch or tag, a kind of pipeline, or a pattern; after `@` the one project that it is for. */
export interface PolicyRef {
  readonly matches: string | Pattern;
  readonly project?: string;
}

/** `only` or `except`, older words for what `rules` say. @see GitLab, "Deprecated keywords" */
export interface Policy {
  readonly refs?: readonly PolicyRef[];
  readonly variables?: readonly Expression[];
  /** Patterns of files, as of `rules:changes`. */
  readonly changes?: readonly string[];
}

/** What `only` comes to where it says nothing of refs, and where neither it nor `rules` is there. */
const byDefault: Policy = { refs: [{ matches: 'branches' }, { matches: 'tags' }] };

/** Whether one of the rules holds. */
type Holds = (rules: readonly CiRule[]) => boolean;

/**
 * Whether a job without `rules` is for this pipeline: all parts of `only` want it, and no part of `except` does not.
 * @param defaults false where the workflow has rules: then there is no default, and without `only` every pipeline gets the job
 */
export function isChosen(
  { only, except }: { readonly only?: Policy; readonly except?: Policy },
  given: Given,
  holds: Holds,
  budget: Budget,
  defaults: boolean,
): boolean {
  const wanted = only === undefined ? (defaults ? byDefault : {}) : { ...byDefault, ...only };
  return (
    partsOf(wanted, given, holds, budget).every((part) => part()) && !partsOf(except ?? {}, given, holds, budget).some((part) => part())
  );
}

function partsOf({ refs, variables, changes }: Policy, given: Given, holds: Holds, budget: Budget): readonly (() => boolean)[] {
  return [
    ...(refs === undefined ? [] : [() => refs.some((ref) => isOf(ref, given, budget))]),
    ...(variables === undefined ? [] : [() => holds(variables.map((expression) => ({ if: expression, variables: {} })))]),
    ...(changes === undefined ? [] : [() => holds([changesRule(changes)])]),
  ];
}

/** What a policy asks of the repository, as a rule does. */
export function policyRules(...policies: readonly (Policy | undefined)[]): readonly CiRule[] {
  return policies.flatMap((policy) => (policy?.changes === undefined ? [] : [changesRule(policy.changes)]));
}

function changesRule(paths: readonly string[]): CiRule {
  return { changes: { paths }, variables: {} };
}

/** Of what the server knows itself: a variable that somebody gives is no kind of pipeline. */
function isOf({ matches, project }: PolicyRef, { predefined }: Given, budget: Budget): boolean {
  if (project !== undefined && project !== predefined.get('CI_PROJECT_PATH')) return false;
  const source = predefined.get('CI_PIPELINE_SOURCE')?.replace(/_event$/, '');
  const kind = predefined.has('CI_COMMIT_TAG') ? 'tags' : source === 'merge_request' ? undefined : 'branches';
  const ref = predefined.get('CI_COMMIT_REF_NAME');
  if (typeof matches === 'string') {
    if (matches === kind || (source !== undefined && [source, pluralOf(source)].includes(matches))) return true;
    return kind !== undefined && matches === ref;
  }
  // The pipeline of a merge request has no branch.
  return kind !== undefined && ref !== undefined && searches(matches, ref, budget);
}

function pluralOf(source: string): string {
  return source.endsWith('h') ? `${source}es` : `${source}s`;
}
