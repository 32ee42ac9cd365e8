import { limits } from '../base/limits.ts';
import { type Budget, newBudget } from '../base/budget.ts';
import { cachesOf } from './cache-policy.ts';
import { inheritedDefaults, inheritedVariables } from './defaults.ts';
import { inItsPlace, oddPlaces, placed } from './environments.ts';
import { expanderOf, type Given, givenOf, secretIn, secretText, shownGiven } from './given.ts';
import { circleIn } from './graph.ts';
import type { CiFile, CiJob, CiNeed, CiRule } from './ci-file.ts';
import type { CiError, Plan, PlanCache, PlanJob } from './plan.ts';
import { isChosen } from './policy.ts';
import { matchingRule, noFacts, type RuleFacts } from './rule-facts.ts';
import { type Expander, type Layer, layerOver } from './variables.ts';

export type Planned =
  | { readonly ok: true; readonly plan: Plan }
  | {
      readonly ok: false;
      readonly errors: readonly CiError[];
      /** The file's own will (`workflow:rules`, or the rules of every job), not a mistake in it. */
      readonly filtered?: true;
    };

const maxErrors = 20;
/** GitLab's, of a pipeline's name. */
const longestName = 255;

/** The first of the rules that holds. */
type Look = (rules: readonly CiRule[], variables: Expander) => CiRule | undefined;
const noJobs =
  'Pipeline will not run for the selected trigger. The rules configuration prevented any jobs from being added to the pipeline.';

/**
 * Decides which jobs run and what each is. Pure.
 * @param known what is below the file's variables and over them; a plain map is over them, as it stands
 * @param facts what `wantedFacts` of its rules asks for
 */
export function planPipeline(written: CiFile, known: Given | ReadonlyMap<string, string>, facts: RuleFacts = noFacts): Planned {
  const budget = newBudget();
  const given = givenOf(known);
  const shown = shownGiven(given);
  const look: Look = (rules, variables) => matchingRule(rules, variables, shown, facts, budget);
  const file = throughWorkflow(written, expanderOf(given, written, budget), look);
  if (budget.left < 0) return failure([{ message: 'workflow: evaluating the rules takes too long' }]);
  if (file === undefined) return { ok: false, errors: [{ message: 'Pipeline filtered out by workflow rules.' }], filtered: true };
  const chosen = new Map<string, PlanJob>();
  const needs = new Map<string, CiJob>();
  const masked: CiError[] = [];
  const odd: CiError[] = [];
  for (const job of file.jobs) {
    const inherited = { ...file, variables: inheritedVariables(file.variables, job.inherit?.variables) };
    const layer = layerOver(inherited, job);
    const plain = { ...given, predefined: new Map([...given.predefined, ['CI_JOB_NAME', job.name], ['CI_JOB_STAGE', job.stage]]) };
    const forJob = inItsPlace(job, plain, layer, budget);
    const variables = expanderOf(forJob, layer, budget);
    const holds = (rules: readonly CiRule[]): boolean => look(rules, variables) !== undefined;
    // Where neither the job nor the file says otherwise, a job is for branches and tags (GitLab).
    const chosenBy = job.rules !== undefined || isChosen(job, given, holds, budget, written.workflow?.rules === undefined);
    const decided = chosenBy ? decide(job, variables, look) : undefined;
    if (budget.left < 0) return failure([{ ...job.place, message: `job \`${job.name}\`: evaluating the rules takes too long` }]);
    if (decided === undefined) continue;
    const needing = decided.needs === undefined ? job : { ...job, needs: decided.needs };
    needs.set(job.name, needing);
    const decisive = layerOver(layer, decided.layer);
    const { tags = [], caches: asWritten = [] } = { ...inheritedDefaults(file.defaults, job.inherit), ...job };
    const expanded = expanderOf(plain, decisive, budget);
    const caches = cachesOf(asWritten, job, expanded);
    if ('error' in caches) odd.push(caches.error);
    masked.push(...secretsIn(job, tags, plain, decisive), ...secretUrl(job, forJob, decisive));
    chosen.set(job.name, planJob(file, needing, decided, expanded, 'error' in caches ? [] : caches));
  }
  return assembled(file, given, budget, { chosen, needs, masked, odd });
}

/** The jobs that were chosen, and what is wrong with them. */
interface Chosen {
  readonly chosen: ReadonlyMap<string, PlanJob>;
  /** As they were written, with the needs of the rules that decided. */
  readonly needs: ReadonlyMap<string, CiJob>;
  readonly masked: readonly CiError[];
  readonly odd: readonly CiError[];
}

function assembled(file: CiFile, given: Given, budget: Budget, { chosen, needs, masked, odd }: Chosen): Planned {
  // As GitLab: there would be nothing in it, or nothing but what stands around the work, so there is none.
  if ([...chosen.values()].every(({ stage }) => stage === '.pre' || stage === '.post'))
    return { ok: false, errors: [{ message: noJobs }], filtered: true };
  const secrets = [...masked, ...maskedName(file, given)];
  // Before any other mistake, which would show the value.
  if (secrets.length > 0) return failure(secrets);
  const errors = [
    ...[...needs.values()].flatMap((job) => lostNeeds(job, chosen)),
    ...circleIn([...needs.values()]),
    ...oddPlaces(file.jobs, chosen),
    ...emptyTags(file.jobs, chosen),
    ...odd,
  ];
  if (errors.length > 0) return failure(errors);
  const jobs = [...chosen.values()].map((job) => withoutLost(job, chosen));
  if (!fits(jobs, file.variables)) return failure([{ message: `the pipeline's jobs are larger than ${limits.planBytes} bytes together` }]);
  return {
    ok: true,
    plan: {
      stages: file.stages,
      ...nameOf(file, given, budget),
      variables: file.variables,
      ...(file.rawVariables === undefined ? {} : { rawVariables: file.rawVariables }),
      ...(file.autoCancel === undefined ? {} : { autoCancel: file.autoCancel }),
      jobs,
    },
  };
}

function nameOf(file: CiFile, given: Given, budget: Budget): Pick<Plan, 'name'> {
  if (file.workflow?.name === undefined) return {};
  const name = expanderOf(given, file, budget).text(file.workflow.name).trim();
  return name === '' ? {} : { name: name.slice(0, longestName) };
}

/** Left out, a masked value would leave a job without its group, or in another environment, and nobody would know. */
function secretsIn(
  { name, place, environment, resourceGroup }: CiJob,
  tags: readonly string[],
  given: Given,
  layer: Layer,
): readonly CiError[] {
  const parts = [
    ...tags.map((tag) => ['tags', tag] as const),
    ['environment', environment?.name],
    ['environment', environment?.autoStopIn],
    ['environment', environment?.tier],
    ['resource_group', resourceGroup],
  ] as const;
  return parts.flatMap(([keyword, text]) => {
    const secret = text === undefined ? undefined : secretIn(given, layer, text);
    return secret === undefined ? [] : [{ ...place, message: `job \`${name}\`: ${keyword}: ${secretText(secret)}` }];
  });
}

/** Unlike its name, its address may hold what is kept for the environment alone. */
function secretUrl({ name, place, environment }: CiJob, inPlace: Given, layer: Layer): readonly CiError[] {
  const secret = environment?.url === undefined ? undefined : secretIn(inPlace, layer, environment.url);
  return secret === undefined ? [] : [{ ...place, message: `job \`${name}\`: environment:url: ${secretText(secret)}` }];
}

function maskedName(file: CiFile, given: Given): readonly CiError[] {
  const secret = file.workflow?.name === undefined ? undefined : secretIn(given, file, file.workflow.name);
  return secret === undefined ? [] : [{ message: `workflow: name: ${secretText(secret)}` }];
}

function failure(errors: readonly CiError[]): Planned {
  return { ok: false, errors: errors.slice(0, maxErrors) };
}

/** The file with the variables of the workflow's rule that matches; undefined where there is to be no pipeline. */
function throughWorkflow(file: CiFile, variables: Expander, look: Look): CiFile | undefined {
  if (file.workflow?.rules === undefined) return file;
  const rule = look(file.workflow.rules, variables);
  if (rule === undefined || rule.when === 'never') return undefined;
  return { ...file, autoCancel: { ...file.autoCancel, ...rule.autoCancel }, ...layerOver(file, rule) };
}

interface Decided {
  readonly when: PlanJob['when'];
  readonly allowFailure: boolean;
  readonly layer: Layer;
  readonly startInSeconds?: number | undefined;
  readonly interruptible?: boolean | undefined;
  /** Of the rule, in place of the job's. */
  readonly needs?: readonly CiNeed[] | undefined;
}

/** The first rule that matches decides; no match and no job. */
function decide(job: CiJob, variables: Expander, look: Look): Decided | undefined {
  const own = job.when ?? 'on_success';
  const byRule = job.rules === undefined ? undefined : look(job.rules, variables);
  if (job.rules !== undefined && byRule === undefined) return undefined;
  const when = byRule?.when ?? own;
  if (when === 'never') return undefined;
  // A manual job outside rules holds nothing up (GitLab).
  const allowFailure = byRule?.allowFailure ?? job.allowFailure ?? (when === 'manual' && job.rules === undefined);
  const startInSeconds = when === 'delayed' ? (byRule?.startInSeconds ?? job.startInSeconds) : undefined;
  return {
    when,
    allowFailure,
    layer: byRule ?? { variables: {} },
    startInSeconds,
    interruptible: byRule?.interruptible,
    needs: byRule?.needs,
  };
}

function planJob(file: CiFile, job: CiJob, decided: Decided, variables: Expander, caches: readonly PlanCache[]): PlanJob {
  const {
    place: _place,
    rules: _rules,
    only: _only,
    except: _except,
    inherit,
    parallel: _parallel,
    needs,
    startInSeconds: _start,
    resourceGroup,
    environment,
    ...own
  } = job;
  // Where its variables come to nothing there is no group (GitLab).
  const group = variables.text(resourceGroup ?? '').slice(0, 255);
  const { services, tags = [], caches: written, ...merged } = { ...inheritedDefaults(file.defaults, inherit), ...own };
  return {
    beforeScript: [],
    afterScript: [],
    ...merged,
    tags: tags.map((tag) => variables.text(tag)),
    ...(written === undefined ? {} : { caches }),
    stageIndex: file.stages.indexOf(job.stage),
    ...(services === undefined || services.length === 0 ? {} : { services }),
    ...layerOver(job, decided.layer),
    ...(needs === undefined ? {} : { needs: needs.map(({ job: name, artifacts }) => ({ job: name, artifacts })) }),
    when: decided.when,
    ...(decided.startInSeconds === undefined ? {} : { startInSeconds: decided.startInSeconds }),
    ...(decided.interruptible === undefined ? {} : { interruptible: decided.interruptible }),
    ...(group === '' ? {} : { resourceGroup: group }),
    ...(environment === undefined ? {} : { environment: placed(environment, variables) }),
    allowFailure: decided.allowFailure,
    ...(inherit === undefined ? {} : { inheritVariables: inherit.variables }),
  };
}

/** Rules took away what the job cannot do without. */
function lostNeeds(job: CiJob, chosen: ReadonlyMap<string, PlanJob>): readonly CiError[] {
  const lost = (job.needs ?? []).filter((need) => !need.optional && !chosen.has(need.job));
  return lost.map((need) => ({
    ...job.place,
    message: `job \`${job.name}\` needs \`${need.job}\`, which the rules left out (\`optional: true\` makes do without it)`,
  }));
}

/** Any runner could take a job whose one tag came to nothing. */
function emptyTags(jobs: readonly CiJob[], chosen: ReadonlyMap<string, PlanJob>): readonly CiError[] {
  return jobs.flatMap(({ name, place }) =>
    chosen.get(name)?.tags.some((tag) => tag.trim() === '') === true
      ? [{ ...place, message: `job \`${name}\`: tags: a tag comes to nothing with its variables put in` }]
      : [],
  );
}

function withoutLost(job: PlanJob, chosen: ReadonlyMap<string, PlanJob>): PlanJob {
  const needs = job.needs?.filter((need) => chosen.has(need.job));
  const dependencies = job.dependencies?.filter((name) => chosen.has(name));
  return { ...job, ...(needs === undefined ? {} : { needs }), ...(dependencies === undefined ? {} : { dependencies }) };
}

/** Each job's row repeats the globals and defaults; a small file could fill the store. */
function fits(jobs: readonly PlanJob[], globals: Plan['variables']): boolean {
  const each = Buffer.byteLength(JSON.stringify(globals));
  let bytes = 0;
  return jobs.every((job) => {
    bytes += each + Buffer.byteLength(JSON.stringify(job));
    return bytes <= limits.planBytes;
  });
}
