import { limits } from '../base/limits.ts';
import { mergeRequestOf } from '../base/refs.ts';
import type { Secret } from '../base/secret.ts';
import type { PlanImage, PlanJob, PlanService } from '../pipeline/plan.ts';
import type { ProjectFacts } from '../ports/directory.ts';
import type { JobRecord, PipelineRecord } from '../ports/jobs.ts';
import type { RunnerRecord } from '../ports/runners.ts';
import {
  failureReasons,
  type ExtendedJobToken,
  type JobArtifact,
  type JobDependency,
  type JobImage,
  type JobPayload,
  type JobService,
  type JobVariable,
} from '../wire/runner.ts';
import type { InstanceSettings } from './deps.ts';
import { reportFormat, reportName } from '../wire/reports.ts';
import { type KeyedCache, sentCaches } from './job-caches.ts';
import { jobVariablesOf } from './job-variables.ts';
import type { KeptVariable } from './kept-variables.ts';
import { jobVariables } from './predefined.ts';
import { releaseStep } from './release-step.ts';

export interface PayloadParts {
  readonly instance: InstanceSettings;
  readonly project: ProjectFacts;
  readonly runner: Pick<RunnerRecord, 'id' | 'description' | 'tags'>;
  readonly pipeline: PipelineRecord;
  readonly job: JobRecord;
  readonly plan: PlanJob;
  readonly globals: Readonly<Record<string, string>>;
  readonly rawGlobals: readonly string[];
  readonly predefined: ReadonlyMap<string, string>;
  /** What is kept for the project, its groups and the instance. */
  readonly kept: readonly KeptVariable[];
  readonly idTokens: ReadonlyMap<string, Secret>;
  readonly caches: readonly KeyedCache[];
  /** What jobs that share a cache have in common (R15). */
  readonly inputsKey: string;
  readonly jobToken: Secret;
  readonly extended: ExtendedJobToken | undefined;
  /** `CI_ENVIRONMENT_*`. */
  readonly ofEnvironment: readonly (readonly [string, string])[];
  readonly dependencies: readonly JobRecord[];
  readonly protected: boolean;
  /** The full pass, where there is one, goes in a masked variable too, for a runner with `assist: expose` (DESIGN §3). */
  readonly inVariable: boolean;
}

/** Where a job finds a pass that it asked to see. */
const passVariable = 'CI_EXTENDED_JOB_TOKEN';

/** What a runner is sent for a job. But for `inVariable` no pass is in `variables`, `credentials` or a URL (R6): an older runner cannot expose what it does not know. */
export function buildPayload(parts: PayloadParts): JobPayload {
  const { instance, project, pipeline, job, plan } = parts;
  const token = parts.jobToken.reveal();
  const variables = variablesOf(parts, token);
  const value = (name: string): string | undefined => variables.findLast((variable) => variable.key === name)?.value;
  const depth = /^\d{1,6}$/.test(value('GIT_DEPTH') ?? '') ? Number(value('GIT_DEPTH')) : 20;
  const payload: JobPayload = {
    id: job.id,
    token,
    allow_git_fetch: true,
    job_info: {
      id: job.id,
      name: job.name,
      stage: job.stage,
      pipeline_id: pipeline.id,
      project_id: project.id,
      project_name: project.path.split('/').at(-1) ?? '',
      project_full_path: project.path,
      namespace_id: project.namespaceId,
      root_namespace_id: project.rootGroupId,
      user_id: job.userId,
    },
    git_info: {
      repo_url: withUser(`${instance.addresses.url}/${project.path}.git`, token),
      repo_object_format: 'sha1',
      ref: job.ref,
      sha: job.sha,
      before_sha: pipeline.beforeSha,
      ref_type: job.tag ? 'tag' : 'branch',
      refspecs: [refspecOf(job)],
      depth,
      protected: parts.protected,
    },
    runner_info: { timeout: job.timeoutSeconds },
    variables,
    steps: [
      {
        name: 'script',
        script: [...plan.beforeScript, ...plan.script],
        timeout: job.timeoutSeconds,
        when: 'on_success',
        allow_failure: false,
      },
      ...(plan.release === undefined ? [] : [releaseStep(plan.release, variables, job.timeoutSeconds)]),
      ...(plan.afterScript.length === 0
        ? []
        : ([{ name: 'after_script', script: [...plan.afterScript], timeout: 300, when: 'always', allow_failure: true }] as const)),
    ],
    image: plan.image === undefined ? null : containerOf(plan.image),
    services: (plan.services ?? []).map(serviceOf),
    artifacts: artifactsOf(plan),
    cache: sentCaches(parts.caches, parts.inputsKey),
    ...(plan.hooks === undefined || plan.hooks.preGetSources.length === 0
      ? {}
      : { hooks: [{ name: 'pre_get_sources_script', script: plan.hooks.preGetSources }] as const }),
    // For the images of its own project at any runner; with `assist` for those that its fetch pass reaches.
    credentials: [{ type: 'registry', url: instance.addresses.registry, username: 'gitlab-ci-token', password: token }],
    dependencies: parts.dependencies.flatMap(({ id, name, artifactsFile, artifactsSizeBytes }): JobDependency[] =>
      artifactsFile === null ? [] : [{ id, token, name, artifacts_file: { filename: artifactsFile, size: artifactsSizeBytes ?? 0 } }],
    ),
    features: { trace_sections: true, token_mask_prefixes: ['jpt_'], failure_reasons: failureReasons },
    ...(parts.extended === undefined ? {} : { extended_job_token: parts.extended }),
  };
  return payload;
}

function variablesOf(parts: PayloadParts, token: string): readonly JobVariable[] {
  const { instance, project, pipeline, job } = parts;
  const variables = jobVariablesOf({
    ...parts,
    predefined: [
      ...parts.predefined,
      ...jobVariables(instance, project, pipeline, job),
      ...runnerVariables(parts.runner),
      ...parts.ofEnvironment,
      ['CI_REGISTRY_USER', 'gitlab-ci-token'],
    ],
    secrets: [
      ['CI_JOB_TOKEN', token],
      ['CI_REPOSITORY_URL', withUser(`${instance.addresses.url}/${project.path}.git`, token)],
      ['CI_REGISTRY_PASSWORD', token],
      ...[...parts.idTokens].map(([name, secret]) => [name, secret.reveal()] as const),
    ],
  });
  const pass = parts.inVariable ? parts.extended?.token : undefined;
  if (pass === undefined) return variables;
  const others = variables.filter(({ key }) => key !== passVariable);
  return [...others, { key: passVariable, value: pass, public: false, masked: true, raw: true }];
}

/** What only the runner that took the job brings. @see GitLab CI/CD, "Predefined variables" */
function runnerVariables({ id, description, tags }: PayloadParts['runner']): readonly (readonly [string, string])[] {
  return [
    ['CI_RUNNER_ID', String(id)],
    ['CI_RUNNER_DESCRIPTION', description],
    ['CI_RUNNER_TAGS', JSON.stringify(tags)],
  ];
}

function refspecOf({ ref, tag }: JobRecord): string {
  if (tag) return `+refs/tags/${ref}:refs/tags/${ref}`;
  return mergeRequestOf(ref) === undefined ? `+refs/heads/${ref}:refs/remotes/origin/${ref}` : `+${ref}:${ref}`;
}

/** GitLab's form; the runner strips it again. Only ever the ordinary job token. */
function withUser(address: string, token: string): string {
  return address.replace('://', `://gitlab-ci-token:${token}@`);
}

function containerOf(image: PlanImage): JobImage {
  return {
    name: image.name,
    ...(image.entrypoint === undefined ? {} : { entrypoint: image.entrypoint }),
    ...(image.pullPolicy === undefined ? {} : { pull_policy: image.pullPolicy }),
    ...executorOptions(image),
  };
}

function executorOptions({ docker, kubernetes }: PlanImage): Pick<JobImage, 'executor_opts'> {
  if (docker === undefined && kubernetes === undefined) return {};
  return { executor_opts: { ...(docker === undefined ? {} : { docker }), ...(kubernetes === undefined ? {} : { kubernetes }) } };
}

function serviceOf(service: PlanService): JobService {
  const variables = Object.entries(service.variables ?? {});
  return {
    ...containerOf(service),
    ...(service.alias === '' ? {} : { alias: service.alias }),
    ...(service.command === undefined ? {} : { command: service.command }),
    ...(variables.length === 0 ? {} : { variables: variables.map(([key, value]) => ({ key, value, public: true, masked: false })) }),
  };
}

/** The archive, and each report in the form of its type. */
function artifactsOf({ artifacts }: PlanJob): readonly JobArtifact[] {
  if (artifacts === undefined) return [];
  const { paths, untracked, exclude, when, reports = {} } = artifacts;
  const expire_in = artifacts.expireIn ?? null;
  const name = artifacts.name ?? null;
  const archive: JobArtifact = { name, untracked, paths, exclude, when, expire_in, artifact_type: 'archive', artifact_format: 'zip' };
  const rest = Object.entries(reports).flatMap(([type, files]): JobArtifact[] => {
    const artifact_format = reportFormat(type);
    if (artifact_format === undefined) return [];
    // Whatever became of the job: a test report is wanted most after a failure (GitLab: artifacts:reports).
    const always = { untracked: false, exclude: [], when: 'always', expire_in } as const;
    return [{ ...always, name: reportName(type), paths: files, artifact_type: type, artifact_format }];
  });
  return paths.length === 0 && !untracked ? rest : [archive, ...rest];
}

/**
 * A wrong type loses the job at a stock runner without a word, so it is checked here.
 * @param inVariable the one exception of R6: the masked variable of `assist: expose`
 * @returns what is wrong
 */
export function payloadProblem(payload: JobPayload, inVariable = false): string | undefined {
  if (!/^[0-9a-f]{40,64}$/.test(payload.git_info.sha)) return 'the sha is malformed';
  if (payload.steps[0] === undefined || payload.steps[0].script.length === 0) return 'there is no script';
  const bytes = payload.variables.reduce((sum, { value }) => sum + value.length, 0);
  if (bytes > limits.payloadVariableCharacters)
    return `its variables have more than ${limits.payloadVariableCharacters} characters together`;
  if (!payload.variables.every(({ key, value }) => typeof key === 'string' && typeof value === 'string')) return 'a variable is not a text';
  if (
    ![payload.id, payload.job_info.project_id, payload.job_info.pipeline_id, payload.runner_info.timeout].every(
      (number) => Number.isSafeInteger(number) && number > 0,
    )
  )
    return 'a number is not a positive integer';
  const { extended_job_token: extended, ...others } = payload;
  const lent = ({ key, value, masked, public: open }: JobVariable): boolean =>
    inVariable && key === passVariable && value === extended?.token && masked && !open;
  const rest = { ...others, variables: others.variables.filter((variable) => !lent(variable)) };
  // R6: whatever else changes here, a pass stays in its own field.
  if (extended !== undefined && /jpt_[xfn][0-9A-Za-z]{36}/.test(JSON.stringify(rest))) return 'a pass is outside its field';
  return undefined;
}
