import { limits } from '../base/limits.ts';
import { isFields, quoteHint, variableText } from './fields.ts';
import type { CiJob, CiNeed } from './ci-file.ts';
import type { CiError } from './plan.ts';
import type { PartReader } from './reader.ts';

/** One of a job's several: ` 1/3`, or `: [linux, amd64]`, behind its name. */
export interface Instance {
  readonly suffix: string;
  readonly variables: Readonly<Record<string, string>>;
}

/** GitLab's. */
const mostInstances = 200;
const longestName = 255;

/** A number, or a map with `matrix`. @see GitLab, CI/CD YAML syntax reference: `parallel` */
export function readParallel(value: unknown, path: readonly string[], reader: PartReader): readonly Instance[] {
  if (isFields(value)) {
    reader.within('parallel').checkKeys(value, 'parallel', path);
    return readMatrix(value['matrix'], [...path, 'matrix'], reader);
  }
  if (typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= mostInstances)
    return Array.from({ length: value }, (_, index) => ({ suffix: ` ${index + 1}/${value}`, variables: {} }));
  reader.error(path, `\`parallel\` must be a number from 1 to ${mostInstances}, or a map with \`matrix\``);
  return [];
}

/** Every combination of each entry's values, the first variable changing slowest. */
function readMatrix(value: unknown, path: readonly string[], reader: PartReader): readonly Instance[] {
  const entries: readonly unknown[] = Array.isArray(value) ? value : [];
  if (JSON.stringify(entries).includes('$[[ matrix.')) {
    reader.error(path, '`$[[ matrix.… ]]` is not supported: write the values');
    return [];
  }
  const combinations: (readonly (readonly [string, string])[])[] = [];
  for (const entry of entries) {
    const made = isFields(entry) ? product(Object.entries(entry)) : undefined;
    if (made === undefined) {
      reader.error(
        path,
        `\`parallel:matrix\` must be a list of maps of variables, each with a text or a whole number, or a list of them ${quoteHint}`,
      );
      return [];
    }
    combinations.push(...made);
    if (combinations.length > mostInstances) break;
  }
  if (combinations.length === 0 || combinations.length > mostInstances) {
    reader.error(path, `\`parallel:matrix\` must come to 1 to ${mostInstances} jobs`);
    return [];
  }
  return combinations.map((variables) => ({
    suffix: `: [${variables.map(([, text]) => text).join(', ')}]`,
    variables: Object.fromEntries(variables),
  }));
}

/** @returns undefined for what is no matrix; no more than one combination too many */
function product(variables: readonly (readonly [string, unknown])[]): (readonly (readonly [string, string])[])[] | undefined {
  let combinations: (readonly (readonly [string, string])[])[] = [[]];
  if (variables.length === 0) return undefined;
  for (const [name, given] of variables) {
    const values: readonly unknown[] = Array.isArray(given) ? given : [given];
    const texts = values.flatMap((text) => (text === null ? [] : (variableText(text) ?? [])));
    if (texts.length === 0 || texts.length < values.length || !/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) return undefined;
    combinations = combinations.flatMap((one) => texts.map((text) => [...one, [name, text] as const])).slice(0, mostInstances + 1);
  }
  return combinations;
}

/**
 * Puts a job's instances in its place, and in the place of its name where other jobs need it or depend on it.
 * @param jobs with needs and dependencies that were found to exist
 */
export function expandParallel(jobs: readonly CiJob[]): { readonly jobs: readonly CiJob[]; readonly errors: readonly CiError[] } {
  const errors: CiError[] = [];
  const instances = new Map(jobs.map((job) => [job.name, job.parallel?.map(({ suffix }) => job.name + suffix) ?? [job.name]]));
  const total = [...instances.values()].reduce((sum, names) => sum + names.length, 0);
  if (total > limits.jobsPerPipeline) return { jobs, errors: [{ message: `the file has more than ${limits.jobsPerPipeline} jobs` }] };
  const expanded = jobs.flatMap((job) => {
    const report = (what: string): void => void errors.push({ ...job.place, message: `job \`${job.name}\` ${what}` });
    const put = (given: readonly CiNeed[]): readonly CiNeed[] =>
      once(given).flatMap(({ instances: chosen, ...need }) => {
        const names = instances.get(need.job) ?? [need.job];
        const wanted = chosen?.map(({ suffix }) => need.job + suffix) ?? names;
        for (const name of wanted) if (!need.optional && !names.includes(name)) report(`needs \`${name}\`, which does not exist`);
        return wanted.map((name) => ({ ...need, job: name }));
      });
    const rules = job.rules?.map((rule) => (rule.needs === undefined ? rule : { ...rule, needs: put(rule.needs) }));
    const dependencies = job.dependencies && [...new Set(job.dependencies)].flatMap((name) => instances.get(name) ?? [name]);
    const { parallel, ...rest } = {
      ...job,
      ...(job.needs === undefined ? {} : { needs: put(job.needs) }),
      ...(rules === undefined ? {} : { rules }),
      ...(dependencies === undefined ? {} : { dependencies }),
    };
    if (parallel === undefined) return [rest];
    const names = parallel.map(({ suffix }) => job.name + suffix);
    if (new Set(names).size < names.length) report('has the same values twice in `parallel:matrix`');
    if (names.some((name) => name.length > longestName))
      report(`has values in \`parallel:matrix\` that make a name of more than ${longestName} characters`);
    return parallel.map(({ suffix, variables }, index) => ({
      ...rest,
      name: job.name + suffix,
      variables: { ...job.variables, ...variables, CI_NODE_INDEX: String(index + 1), CI_NODE_TOTAL: String(parallel.length) },
    }));
  });
  return { jobs: expanded, errors };
}

/** Twice the same need is once: each would become two hundred. */
function once(needs: readonly CiNeed[]): readonly CiNeed[] {
  const whole = new Map(needs.flatMap((need) => (need.instances === undefined ? [[need.job, need] as const] : [])));
  return [...whole.values(), ...needs.filter((need) => need.instances !== undefined)];
}
