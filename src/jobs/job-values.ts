import { JobpassError } from '../base/errors.ts';
import { isProtected } from '../base/refs.ts';
import type { Commit } from '../forge/forge.ts';
import { newBudget } from '../base/budget.ts';
import { tierOf } from '../pipeline/environment-tier.ts';
import { expanderOf, type Given, type GivenVariable, secretIn } from '../pipeline/given.ts';
import type { PlanJob } from '../pipeline/plan.ts';
import { type Expander, type Layer, layerOver } from '../pipeline/variables.ts';
import type { ProjectFacts, UserFacts } from '../ports/directory.ts';
import type { JobRecord, PipelineRecord, PipelineVariable } from '../ports/jobs.ts';
import type { JobsDeps } from './deps.ts';
import { environmentSlug } from './environment-slug.ts';
import { givenKept, type KeptVariable, keptVariables, unopened } from './kept-variables.ts';
import { jobVariables, pipelineVariables } from './predefined.ts';
import type { StoredPlan } from './stored-plan.ts';
import { asSystem } from './system.ts';

export interface JobValueFacts {
  readonly project: ProjectFacts;
  readonly user: UserFacts;
  readonly pipeline: PipelineRecord;
  readonly job: JobRecord;
  readonly plan: PlanJob;
  readonly globals: Readonly<Record<string, string>>;
  readonly rawGlobals: readonly string[];
  readonly predefined: ReadonlyMap<string, string>;
  /** What jobs reported (dotenv). */
  readonly reported: readonly (readonly [string, string])[];
  /** What is kept for the project, its groups and the instance. */
  readonly kept: readonly KeptVariable[];
}

/** Values for what the keywords of a job say. */
export interface JobValues extends Expander {
  /** The masked variable that would become part of a text. */
  secretIn(text: string): string | undefined;
}

/** The variables of a job as its late keywords know them, in the order of `jobVariablesOf`. */
export function givenToJob(deps: Pick<JobsDeps, 'instance'>, facts: JobValueFacts): { readonly given: Given; readonly layer: Layer } {
  const { project, pipeline, job, plan, globals, rawGlobals } = facts;
  const open = (key: string, value: string, raw: boolean): GivenVariable => ({ key, value, raw, secret: false });
  return {
    given: {
      predefined: new Map([...facts.predefined, ...jobVariables(deps.instance, project, pipeline, job), ...environmentFacts(plan)]),
      over: [
        ...facts.reported.map(([key, value]) => open(key, value, true)),
        ...facts.kept.map(givenKept),
        ...[...pipeline.variables, ...job.variables].map(({ key, value }) => open(key, value, false)),
      ],
    },
    layer: layerOver({ variables: globals, rawVariables: rawGlobals }, plan),
  };
}

/** Puts values in what the keywords of a job say that are read late: where it deploys to, what it triggers. */
export function jobValues(deps: Pick<JobsDeps, 'instance'>, facts: JobValueFacts): JobValues {
  const { given, layer } = givenToJob(deps, facts);
  return { ...expanderOf(given, layer, newBudget()), secretIn: (text) => secretIn(given, layer, text) };
}

function environmentFacts({ environment }: PlanJob): readonly (readonly [string, string])[] {
  if (environment === undefined) return [];
  return [
    ['CI_ENVIRONMENT_NAME', environment.name],
    ['CI_ENVIRONMENT_SLUG', environmentSlug(environment.name)],
    ['CI_ENVIRONMENT_ACTION', environment.action],
    ['CI_ENVIRONMENT_TIER', environment.tier ?? tierOf(environment.name)],
  ];
}

/** What a job is told of where it deploys to. @see GitLab CI/CD, "Predefined variables" */
export function environmentVariables(plan: PlanJob, values: Expander): readonly (readonly [string, string])[] {
  const { environment } = plan;
  if (environment === undefined) return [];
  return [
    ...environmentFacts(plan),
    ...(environment.url === undefined ? [] : ([['CI_ENVIRONMENT_URL', values.text(environment.url)]] as const)),
  ];
}

/** The predefined variables of a job's pipeline, as they are now. Reads git. */
export async function predefinedOf(
  deps: JobsDeps,
  project: ProjectFacts,
  user: UserFacts,
  pipeline: PipelineRecord,
  job: JobRecord,
): Promise<ReadonlyMap<string, string>> {
  const { ref, tag, sha } = job;
  const rules = await deps.directory.protectedRefs(null, project.id);
  const commit: Commit | undefined = await asSystem(deps, 'job_payload', project.id, `job-${job.id}`, (grant) =>
    deps.forge.repository.commit(grant, project.id, sha),
  );
  return pipelineVariables(deps.instance, {
    project,
    user,
    ref,
    tag,
    sha,
    beforeSha: pipeline.beforeSha,
    source: pipeline.source,
    protected: isProtected(rules, tag ? 'tag' : 'branch', ref),
    commit,
    sourceVariables: pipeline.sourceVariables,
  });
}

/** The address that a job's deployment has, with what the job itself reported; null = it names none, or none that a browser may open. */
export async function deployedUrl(deps: JobsDeps, job: JobRecord, reported: readonly PipelineVariable[]): Promise<string | null> {
  const { job: plan, globals, rawGlobals = [] }: StoredPlan = JSON.parse(job.plan);
  const url = plan.environment?.url;
  if (url === undefined) return null;
  const project = await deps.directory.project(null, job.projectId);
  const pipeline = await deps.jobs.pipeline(null, job.pipelineId);
  const user = (await deps.directory.users(null, [job.userId])).get(job.userId);
  if (project === undefined || pipeline === undefined || user === undefined) return null;
  const predefined = await predefinedOf(deps, project, user, pipeline, job);
  const at = { protected: predefined.get('CI_COMMIT_REF_PROTECTED') === 'true', environment: plan.environment?.name };
  const kept = await keptVariables(deps, project.id, at).catch(unopened);
  if (kept instanceof JobpassError) {
    deps.log.error('environment.no_url', { job: job.id }, kept);
    return null;
  }
  const facts = { project, user, pipeline, job, plan, globals, rawGlobals, predefined, kept };
  const values = jobValues(deps, { ...facts, reported: reported.map(({ key, value }) => [key, value] as const) });
  // A job that names one is not started; this one was masked since.
  if (values.secretIn(url) !== undefined) return null;
  return addressOf(values.text(url));
}

/** Where the repository cannot be read, it has none: the job is over all the same. */
export function noAddress({ log }: Pick<JobsDeps, 'log'>, { id }: Pick<JobRecord, 'id'>): (error: unknown) => null {
  return (error) => {
    log.error('environment.no_url', { job: id }, error);
    return null;
  };
}

/** What a browser may open; null = the text is no such address. */
export function addressOf(text: string): string | null {
  return /^https?:\/\/[^\s]{1,255}$/.test(text) ? text : null;
}
