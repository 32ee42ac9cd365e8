import { JobpassError } from '../../base/errors.ts';
import type { JobVariable } from '../../wire/runner.ts';
import type { BuildPlace } from '../executors/executor.ts';
import type { ExposureDecision } from './exposure.ts';
import type { Job } from './payload.ts';

/** A job's variables after expansion; the last of a name wins. */
export interface Variables {
  get(key: string): string | undefined;
  readonly all: ReadonlyMap<string, JobVariable>;
}

const nameShape = /^[A-Za-z_]\w*$/;

/**
 * Everything the job sees. The payload's own `token` is never changed by an exposure, so the runner's reports stay the job token's (R7).
 * @param environment the operator's, which the job's own replace
 * @param own the runner's word about itself
 * @param place where the build is; undefined = only what the runner itself reads
 */
export function variablesOf(
  job: Job,
  place: BuildPlace | undefined,
  exposure: ExposureDecision['exposure'],
  environment: ReadonlyMap<string, string>,
  own: readonly JobVariable[] = [],
): Variables {
  const given = new Map<string, JobVariable>();
  for (const [key, value] of environment) given.set(key, { key, value, public: true, masked: false });
  for (const variable of job.variables) if (nameShape.test(variable.key)) given.set(variable.key, variable);
  const add = (key: string, value: string, masked = false): void => {
    given.set(key, { key, value, public: !masked, masked, raw: true });
  };
  if (place !== undefined) {
    add('CI_BUILDS_DIR', place.seen.slotDir);
    add('CI_PROJECT_DIR', place.seen.buildDir);
  }
  for (const variable of own) given.set(variable.key, variable);
  add('CI_SERVER', 'yes');
  add(place?.disposable === true ? 'CI_DISPOSABLE_ENVIRONMENT' : 'CI_SHARED_ENVIRONMENT', 'true');
  expose(job, exposure, given, add);
  const all = new Map<string, JobVariable>();
  const expand = expander(given);
  for (const variable of given.values())
    all.set(variable.key, variable.raw === true ? variable : { ...variable, value: expand(variable.value) });
  return { all, get: (key) => all.get(key)?.value };
}

function expose(
  job: Job,
  exposure: ExposureDecision['exposure'],
  given: ReadonlyMap<string, JobVariable>,
  add: (key: string, value: string, masked?: boolean) => void,
): void {
  const pass = job.extended_job_token?.token;
  // A job cannot be made to take another's word for its pass.
  if (pass === undefined || exposure === 'withhold') return;
  if (exposure === 'variable') return add('CI_EXTENDED_JOB_TOKEN', pass, true);
  for (const key of ['CI_JOB_TOKEN', 'CI_REGISTRY_PASSWORD']) if (given.has(key)) add(key, pass, true);
  const url = given.get('CI_REPOSITORY_URL')?.value;
  if (url !== undefined && URL.canParse(url)) {
    const parsed = new URL(url);
    parsed.username = 'gitlab-ci-token';
    parsed.password = pass;
    add('CI_REPOSITORY_URL', parsed.href, true);
  }
}

/** GIT_CLONE_PATH as it reads with this CI_BUILDS_DIR, before there is a place; undefined where there is none. */
export function clonePathOf(job: Job, buildsDir: string): string | undefined {
  const given = new Map(job.variables.map((one) => [one.key, one]));
  const asked = given.get('GIT_CLONE_PATH')?.value ?? '';
  given.set('CI_BUILDS_DIR', { key: 'CI_BUILDS_DIR', value: buildsDir, public: true, masked: false });
  return asked === '' ? undefined : expander(given)(asked);
}

/** Of what stands in the place of names, over all texts of one expander: no process could be given as much. */
const mostExpanded = 4 * 1024 * 1024;

/**
 * Replaces `$NAME`, `${NAME}` and `$$`, once, with the others' values as given (gitlab-runner expands one level). A short text may name a long value a thousand
 * times, so what all calls bring is bounded: one job's memory is that of all.
 * @returns a function that @throws too_large
 */
export function expander(given: ReadonlyMap<string, JobVariable>): (text: string) => string {
  let left = mostExpanded;
  return (text) =>
    text.replaceAll(/\$(?:\$|([A-Za-z_]\w*)|\{([A-Za-z_]\w*)\})/g, (whole: string, plain?: string, braced?: string) => {
      if (whole === '$$') return '$';
      const value = given.get(plain ?? braced ?? '')?.value ?? '';
      left -= value.length;
      if (left < 0) throw new JobpassError('too_large', 'The variables of the job are too long when their names are replaced.');
      return value;
    });
}

const fromRunner = ['PATH', 'LANG', 'LC_ALL', 'TZ'];

/** The environment of a job's script in a container: the job's variables. File variables hold their file's path. */
export function containerEnvironment(variables: Variables, place: BuildPlace, status: string): Record<string, string> {
  const env: Record<string, string> = {};
  for (const { key, value, file } of variables.all.values()) env[key] = file === true ? `${place.seen.tmpDir}/${key}` : value;
  env['CI_JOB_STATUS'] = status;
  return env;
}

/** As `containerEnvironment`, on this machine: nothing of the runner's own beyond what a shell needs (A26). */
export function environmentOf(variables: Variables, place: BuildPlace, cookie: string, status: string): Record<string, string> {
  const env: Record<string, string> = {};
  for (const name of fromRunner) {
    const value = process.env[name];
    if (value !== undefined) env[name] = value;
  }
  env['SHELL'] = '/bin/sh';
  env['USER'] = place.uid === undefined ? (process.env['USER'] ?? 'gitlab-runner') : `job${place.uid}`;
  env['LOGNAME'] = env['USER'];
  env['HOME'] = `${place.tmpDir}/home`;
  env['TMPDIR'] = `${place.tmpDir}/tmp`;
  Object.assign(env, containerEnvironment(variables, place, status));
  env['JOBPASS_JOB'] = cookie;
  return env;
}

/** Where a file variable's value lies. */
export function fileOf(place: BuildPlace, key: string): string {
  return `${place.tmpDir}/${key}`;
}
