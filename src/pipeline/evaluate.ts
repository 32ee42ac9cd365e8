import type { CiFile, CiJob } from './parse.ts';
import { evaluateExpression } from './expression.ts';
import type { CiError, Plan, PlanJob } from './plan.ts';

export type Planned = { readonly ok: true; readonly plan: Plan } | { readonly ok: false; readonly errors: readonly CiError[] };

/**
 * Decides which jobs run: rules, needs, dependencies. Pure.
 * @param given predefined variables and those given at the pipeline's creation; they win over the file's (GitLab: variable precedence)
 */
export function planPipeline(file: CiFile, given: ReadonlyMap<string, string>): Planned {
  const errors: CiError[] = [];
  const chosen: PlanJob[] = [];
  const optional = new Map<string, ReadonlySet<string>>();
  for (const job of file.jobs) {
    const decided = decide(job, new Map([...Object.entries(file.variables), ...Object.entries(job.variables), ...given]));
    if (decided === undefined) continue;
    optional.set(job.name, new Set((job.needs ?? []).filter((need) => need.optional).map((need) => need.job)));
    chosen.push(planJob(file, job, decided));
  }
  if (chosen.length === 0) {
    return {
      ok: false,
      errors: [
        {
          message:
            'Pipeline will not run for the selected trigger. The rules configuration prevented any jobs from being added to the pipeline.',
        },
      ],
    };
  }
  const byName = new Map(chosen.map((job) => [job.name, job]));
  const jobs = chosen.map((job) =>
    checkNeeds(job, byName, new Set(file.jobs.map((one) => one.name)), optional.get(job.name) ?? new Set(), lineOf(file, job.name), errors),
  );
  findCycle(jobs, file, errors);
  return errors.length > 0 ? { ok: false, errors } : { ok: true, plan: { stages: file.stages, variables: file.variables, jobs } };
}

interface Decided {
  readonly when: PlanJob['when'];
  readonly allowFailure: boolean;
  readonly variables: Readonly<Record<string, string>>;
}

/** The first rule that matches decides; no match and no job. */
function decide(job: CiJob, variables: ReadonlyMap<string, string>): Decided | undefined {
  const own = job.when ?? 'on_success';
  const byRule = job.rules?.find((rule) => rule.if === undefined || evaluateExpression(rule.if, variables));
  if (job.rules !== undefined && byRule === undefined) return undefined;
  const when = byRule?.when ?? own;
  if (when === 'never') return undefined;
  // A manual job outside rules holds nothing up (GitLab).
  const allowFailure = byRule?.allowFailure ?? job.allowFailure ?? (when === 'manual' && job.rules === undefined);
  return { when, allowFailure, variables: byRule?.variables ?? {} };
}

function planJob(file: CiFile, job: CiJob, decided: Decided): PlanJob {
  const { defaults } = file;
  const image = job.image ?? defaults.image;
  const artifacts = job.artifacts ?? defaults.artifacts;
  const timeoutSeconds = job.timeoutSeconds ?? defaults.timeoutSeconds;
  return {
    name: job.name,
    stage: job.stage,
    stageIndex: file.stages.indexOf(job.stage),
    script: job.script,
    beforeScript: job.beforeScript ?? defaults.beforeScript ?? [],
    afterScript: job.afterScript ?? defaults.afterScript ?? [],
    ...(image === undefined ? {} : { image }),
    variables: { ...job.variables, ...decided.variables },
    ...(job.needs === undefined ? {} : { needs: job.needs.map(({ job: name, artifacts: fetch }) => ({ job: name, artifacts: fetch })) }),
    ...(job.dependencies === undefined ? {} : { dependencies: job.dependencies }),
    ...(artifacts === undefined ? {} : { artifacts }),
    when: decided.when,
    allowFailure: decided.allowFailure,
    allowFailureExitCodes: job.allowFailureExitCodes,
    tags: job.tags ?? defaults.tags ?? [],
    ...(timeoutSeconds === undefined ? {} : { timeoutSeconds }),
  };
}

function checkNeeds(
  job: PlanJob,
  byName: ReadonlyMap<string, PlanJob>,
  inFile: ReadonlySet<string>,
  optional: ReadonlySet<string>,
  line: number,
  errors: CiError[],
): PlanJob {
  const where = `job \`${job.name}\``;
  const needs = job.needs?.filter((need) => {
    const target = byName.get(need.job);
    if (target === undefined) {
      if (optional.has(need.job)) return false;
      errors.push({
        line,
        message: inFile.has(need.job)
          ? `${where} needs \`${need.job}\`, which the rules left out (make it \`optional: true\`)`
          : `${where} needs \`${need.job}\`, which does not exist`,
      });
      return false;
    }
    if (target.stageIndex > job.stageIndex) errors.push({ line, message: `${where} needs \`${need.job}\`, which runs in a later stage` });
    return true;
  });
  for (const name of job.dependencies ?? []) {
    const target = byName.get(name);
    if (target === undefined) errors.push({ line, message: `${where} depends on \`${name}\`, which does not exist in this pipeline` });
    else if (needs === undefined ? target.stageIndex >= job.stageIndex : !needs.some((need) => need.job === name)) {
      errors.push({
        line,
        message: `${where} depends on \`${name}\`, which ${needs === undefined ? 'is not in an earlier stage' : 'is not among its `needs`'}`,
      });
    }
  }
  return needs === undefined ? job : { ...job, needs };
}

/** needs must not go round in a circle. */
function findCycle(jobs: readonly PlanJob[], file: CiFile, errors: CiError[]): void {
  const waiting = new Map(jobs.map((job) => [job.name, new Set((job.needs ?? []).map((need) => need.job))]));
  let progress = true;
  while (progress) {
    progress = false;
    for (const [name, needs] of waiting) {
      if ([...needs].some((need) => waiting.has(need))) continue;
      waiting.delete(name);
      progress = true;
    }
  }
  const [first] = waiting.keys();
  if (first !== undefined)
    errors.push({ line: lineOf(file, first), message: `\`needs\` goes round in a circle: ${[...waiting.keys()].slice(0, 10).join(', ')}` });
}

function lineOf(file: CiFile, name: string): number {
  return file.jobs.find((job) => job.name === name)?.line ?? 1;
}
