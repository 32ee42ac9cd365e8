import type { Budget } from './budget.ts';
import type { CiFile, CiRule } from './ci-file.ts';
import { evaluateExpression } from './expression.ts';
import { hiddenIn, secretText } from './given.ts';
import { isGlob, matchesGlob, readGlob } from './glob.ts';
import { type Expander, expandVariables } from './variables.ts';

/** What rules ask of the repository; gathered beforehand, and only where a rule asks. */
export interface RuleFacts {
  /** Every file of the commit. */
  readonly paths: ReadonlySet<string>;
  /** By what is compared to, empty for the push itself: files that differ; `always` = there is nothing to compare to, so every rule matches. */
  readonly changed: ReadonlyMap<string, readonly string[] | 'always'>;
}

export interface WantedFacts {
  readonly paths: boolean;
  /** As the keys of `changed`. */
  readonly compareTo: readonly string[];
}

export const noFacts: RuleFacts = { paths: new Set(), changed: new Map() };

/** GitLab ends a check with patterns here, and takes it for a match. @see GitLab, CI/CD YAML syntax reference: `rules:exists` */
const mostChecks = 50_000;

/** What the rules need to know. @param given predefined variables and those of the pipeline, for `compare_to` */
export function wantedFacts(rules: readonly CiRule[], given: ReadonlyMap<string, string>): WantedFacts {
  const compareTo = rules.flatMap(({ changes }) => (changes === undefined ? [] : [comparedTo(changes, given)]));
  return { paths: rules.some(({ exists }) => exists !== undefined), compareTo: [...new Set(compareTo)] };
}

/** Why a comparison has nothing to compare to: it would name what is masked. @param inRules as `shown`, with secrets */
export function hiddenComparison(
  rules: readonly CiRule[],
  shown: ReadonlyMap<string, string>,
  inRules: ReadonlyMap<string, string>,
): string | undefined {
  const hidden = rules.flatMap(({ changes }) => hiddenIn(changes?.compareTo ?? '', shown, inRules) ?? [])[0];
  return hidden === undefined ? undefined : `rules:changes: \`compare_to\`: ${secretText(hidden)}`;
}

/** Every rule of the file. */
export function allRules(file: CiFile): readonly CiRule[] {
  return [...(file.workflow?.rules ?? []), ...file.jobs.flatMap(({ rules }) => rules ?? [])];
}

/** The first rule that holds, with all of its clauses. */
export function matchingRule<Rule extends Pick<CiRule, 'if' | 'changes' | 'exists'>>(
  rules: readonly Rule[],
  variables: Expander,
  given: ReadonlyMap<string, string>,
  facts: RuleFacts,
  budget: Budget,
): Rule | undefined {
  return rules.find(
    (rule) =>
      (rule.if === undefined || evaluateExpression(rule.if, variables, budget)) &&
      (rule.changes === undefined || changed(rule.changes, variables, given, facts, budget)) &&
      (rule.exists === undefined || exists(rule.exists, variables, facts, budget)),
  );
}

function comparedTo(changes: NonNullable<CiRule['changes']>, given: ReadonlyMap<string, string>): string {
  return changes.compareTo === undefined ? '' : expandVariables(changes.compareTo, given);
}

function changed(
  changes: NonNullable<CiRule['changes']>,
  variables: Expander,
  given: ReadonlyMap<string, string>,
  facts: RuleFacts,
  budget: Budget,
): boolean {
  const paths = facts.changed.get(comparedTo(changes, given)) ?? [];
  if (paths === 'always') return true;
  return changes.paths.some((pattern) => {
    const glob = readGlob(variables.text(pattern));
    return paths.some((path) => matchesGlob(glob, path, budget));
  });
}

function exists(patterns: readonly string[], variables: Expander, { paths }: RuleFacts, budget: Budget): boolean {
  const wanted = patterns.map((pattern) => variables.text(pattern));
  const globs = wanted.filter(isGlob);
  if (wanted.some((path) => !isGlob(path) && paths.has(path))) return true;
  if (globs.length > 0 && globs.length * paths.size > mostChecks) return true;
  return globs.some((pattern) => {
    const glob = readGlob(pattern);
    for (const path of paths) if (matchesGlob(glob, path, budget)) return true;
    return false;
  });
}
