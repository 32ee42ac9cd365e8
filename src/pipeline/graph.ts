import type { CiError, CiPlace } from './plan.ts';

/** What the order of a file's jobs hangs on. */
export interface GraphJob {
  readonly name: string;
  readonly place: CiPlace;
  readonly stage: string;
  readonly needs?: readonly { readonly job: string; readonly optional: boolean }[];
  readonly dependencies?: readonly string[];
  readonly rules?: readonly { readonly needs?: readonly { readonly job: string; readonly optional: boolean }[] }[];
}

/** Mistakes in `needs` and `dependencies` that no rule can mend; names are unique, stages known. */
export function checkGraph(stages: readonly string[], jobs: readonly GraphJob[]): readonly CiError[] {
  const byName = new Map(jobs.map((job) => [job.name, job]));
  const order = new Map(stages.map((stage, index) => [stage, index]));
  const stageOf = (job: GraphJob): number => order.get(job.stage) ?? 0;
  const errors: CiError[] = [];
  for (const job of jobs) {
    const report = (what: string): void => void errors.push({ ...job.place, message: `job \`${job.name}\` ${what}` });
    const ruled = job.rules?.flatMap((rule) => rule.needs ?? []) ?? [];
    for (const need of [...(job.needs ?? []), ...ruled]) {
      const target = byName.get(need.job);
      if (target === undefined && !need.optional) report(`needs \`${need.job}\`, which does not exist`);
      if (target !== undefined && stageOf(target) > stageOf(job)) report(`needs \`${need.job}\`, which runs in a later stage`);
    }
    const needed = job.needs && new Set([...job.needs, ...ruled].map((need) => need.job));
    for (const name of job.dependencies ?? []) {
      const target = byName.get(name);
      if (target === undefined) report(`depends on \`${name}\`, which does not exist`);
      else if (needed !== undefined && !needed.has(name)) report(`depends on \`${name}\`, which is not among its \`needs\``);
      else if (needed === undefined && stageOf(target) >= stageOf(job)) report(`depends on \`${name}\`, which is not in an earlier stage`);
    }
  }
  return [...errors, ...circleIn(jobs)];
}

/** Rules may bring needs of their own: then this is asked once more when they are known. */
export function circleIn(jobs: readonly GraphJob[]): readonly CiError[] {
  const byName = new Map(jobs.map((job) => [job.name, job]));
  const circle = findCircle(byName);
  const [first = ''] = circle ?? [];
  if (circle === undefined) return [];
  const shown = circle.length > 10 ? [...circle.slice(0, 10), '…'] : [...circle, first];
  return [{ ...byName.get(first)?.place, message: `\`needs\` goes round in a circle: ${shown.join(' → ')}` }];
}

/** The jobs of one circle, each needing the next. Depth first, with a stack of its own. */
function findCircle(jobs: ReadonlyMap<string, GraphJob>): readonly string[] | undefined {
  const done = new Set<string>();
  for (const start of jobs.keys()) {
    const path: { readonly name: string; readonly rest: string[] }[] = [];
    const onPath = new Set<string>();
    const enter = (name: string): void => {
      path.push({ name, rest: (jobs.get(name)?.needs ?? []).map((need) => need.job) });
      onPath.add(name);
    };
    if (!done.has(start)) enter(start);
    for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
      const next = top.rest.pop();
      if (next === undefined) {
        done.add(top.name);
        onPath.delete(top.name);
        path.pop();
      } else if (onPath.has(next)) {
        return path.slice(path.findIndex((step) => step.name === next)).map((step) => step.name);
      } else if (!done.has(next)) enter(next);
    }
  }
  return undefined;
}
