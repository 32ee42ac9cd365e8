import type { Budget } from '../base/budget.ts';
import type { CiFile, CiRule } from './ci-file.ts';
import { evaluateExpression } from './expression.ts';
import { hiddenIn, secretText } from './given.ts';
import { isGlob, matchesGlob, readGlob } from '../base/glob.ts';
import { policyRules } from './policy.ts';
import { type Expander, expandVariables } from './variables.ts';

/** What rules ask of the repository; gathered beforehand, and only where a rule asks. */
export interface RuleFacts {
  /** Every file of the commit. */
  readonly paths: ReadonlySet<string>;
  /** By what is compared to, empty for the push itself: files that differ; `always` = there is nothing to compare to, so every rule matches. */
  readonly changed: ReadonlyMap<string, readonly string[] | 'always'>;
  /** By `elsewhereKey`: every file of other projects. */
  readonly elsewhere: ReadonlyMap<string, ReadonlySet<string>>;
}

/** Another project that a rule looks into; without a ref at its default branch. */
export interface Elsewhere {
  readonly project: string;
  readonly ref?: string;
}

export interface WantedFacts {
  readonly paths: boolean;
  /** As the keys of `changed`. */
  readonly compareTo: readonly string[];
  readonly elsewhere: readonly Elsewhere[];
}

export const noFacts: RuleFacts = { paths: new Set(), changed: new Map(), elsewhere: new Map() };

/** GitLab ends a check with patterns here, and takes it for a match. @see GitLab, CI/CD YAML syntax reference: `rules:exists`, `rules:changes` */
const mostChecks = 50_000;

/** What the rules need to know. @param given predefined variables and those of the pipeline, for `compare_to` */
export function wantedFacts(rules: readonly CiRule[], given: ReadonlyMap<string, string>): WantedFacts {
  const compareTo = rules.flatMap(({ changes }) => (changes === undefined ? [] : [comparedTo(changes, given)]));
  const places = rules.flatMap(({ exists }) => (exists === undefined ? [] : (lookedInto(exists, given) ?? [])));
  return {
    paths: rules.some(({ exists }) => exists !== undefined && exists.project === undefined),
    compareTo: [...new Set(compareTo)],
    elsewhere: [...new Map(places.map((place) => [elsewhereKey(place), place])).values()],
  };
}

/** Names the place in `RuleFacts`. */
export function elsewhereKey({ project, ref }: Elsewhere): string {
  return JSON.stringify([project, ref]);
}

function lookedInto(exists: NonNullable<CiRule['exists']>, given: ReadonlyMap<string, string>): Elsewhere | undefined {
  if (exists.project === undefined) return undefined;
  const ref = exists.ref === undefined ? {} : { ref: expandVariables(exists.ref, given) };
  return { project: expandVariables(exists.project, given), ...ref };
}

/** Why a comparison has nothing to compare to: it would name what is masked. @param inRules as `shown`, with secrets */
export function hiddenComparison(
  rules: readonly CiRule[],
  shown: ReadonlyMap<string, string>,
  inRules: ReadonlyMap<string, string>,
): string | undefined {
  for (const { changes, exists } of rules) {
    const [compared, looked] = [changes?.compareTo ?? '', `${exists?.project ?? ''} ${exists?.ref ?? ''}`].map((text) =>
      hiddenIn(text, shown, inRules),
    );
    if (compared !== undefined) return `rules:changes: \`compare_to\`: ${secretText(compared)}`;
    if (looked !== undefined) return `rules:exists: ${secretText(looked)}`;
  }
  return undefined;
}

/** Every rule of the file. */
export function allRules(file: CiFile): readonly CiRule[] {
  return [
    ...(file.workflow?.rules ?? []),
    ...file.jobs.flatMap(({ rules = [], only, except }) => [...rules, ...policyRules(only, except)]),
  ];
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
      (rule.exists === undefined || exists(rule.exists, variables, given, facts, budget)),
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
  const wanted = changes.paths.map((pattern) => variables.known(pattern));
  if (wanted.filter(isGlob).length * paths.length > mostChecks) return true;
  return wanted.some((pattern) => {
    const glob = readGlob(pattern);
    return paths.some((path) => matchesGlob(glob, path, budget));
  });
}

function exists(
  asked: NonNullable<CiRule['exists']>,
  variables: Expander,
  given: ReadonlyMap<string, string>,
  facts: RuleFacts,
  budget: Budget,
): boolean {
  const place = lookedInto(asked, given);
  const paths = place === undefined ? facts.paths : (facts.elsewhere.get(elsewhereKey(place)) ?? new Set<string>());
  const wanted = asked.paths.map((pattern) => variables.known(pattern));
  const globs = wanted.filter(isGlob);
  if (wanted.some((path) => !isGlob(path) && (path.endsWith('/') ? isFolder(path, paths, budget) : paths.has(path)))) return true;
  if (globs.length > 0 && globs.length * paths.size > mostChecks) return true;
  return globs.some((pattern) => {
    const glob = readGlob(pattern);
    for (const path of paths) if (matchesGlob(glob, path, budget)) return true;
    return false;
  });
}

/** Git has no folders but those that something is in. @param path ends with `/` */
function isFolder(path: string, paths: ReadonlySet<string>, budget: Budget): boolean {
  budget.left -= paths.size;
  for (const one of paths) if (one.startsWith(path)) return true;
  return false;
}
