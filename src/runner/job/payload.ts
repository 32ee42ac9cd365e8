import { JobpassError } from '../../base/errors.ts';
import type {
  ExtendedJobToken,
  JobArtifact,
  JobCache,
  JobDependency,
  JobImage,
  JobPayload,
  JobService,
  JobStep,
  JobVariable,
} from '../../wire/runner.ts';
import { artifactFormats } from '../../wire/reports.ts';
import { flagIn, isTable, numberIn, type Table, tableIn, tablesIn, textIn, textsIn } from '../parsed.ts';

/** The parts of a job payload that this runner uses. */
export type Job = Pick<
  JobPayload,
  | 'id'
  | 'token'
  | 'allow_git_fetch'
  | 'job_info'
  | 'git_info'
  | 'runner_info'
  | 'variables'
  | 'steps'
  | 'image'
  | 'services'
  | 'artifacts'
  | 'dependencies'
  | 'cache'
> & {
  readonly features: { readonly trace_sections: boolean; readonly token_mask_prefixes: readonly string[] };
  /** `pre_get_sources_script` and `post_get_sources_script`. */
  readonly hooks: readonly { readonly name: string; readonly script: readonly string[] }[];
  readonly extended_job_token?: ExtendedJobToken;
};

/** @throws invalid_input where something is missing without which the job cannot run */
export function parsePayload(body: unknown): Job {
  if (!isTable(body)) throw bad('it is not an object');
  const info = tableIn(body, 'job_info') ?? {};
  const git = tableIn(body, 'git_info') ?? {};
  const extended = tableIn(body, 'extended_job_token');
  return {
    id: positive(body, 'id'),
    token: needed(body, 'token'),
    allow_git_fetch: flagIn(body, 'allow_git_fetch') ?? false,
    job_info: {
      id: numberIn(info, 'id') ?? 0,
      name: textIn(info, 'name') ?? '',
      stage: textIn(info, 'stage') ?? '',
      pipeline_id: numberIn(info, 'pipeline_id') ?? 0,
      project_id: numberIn(info, 'project_id') ?? 0,
      project_name: textIn(info, 'project_name') ?? '',
      project_full_path: textIn(info, 'project_full_path') ?? '',
      namespace_id: numberIn(info, 'namespace_id') ?? 0,
      root_namespace_id: numberIn(info, 'root_namespace_id') ?? 0,
      user_id: numberIn(info, 'user_id') ?? 0,
    },
    git_info: {
      repo_url: textIn(git, 'repo_url') ?? '',
      repo_object_format: 'sha1',
      ref: textIn(git, 'ref') ?? '',
      sha: textIn(git, 'sha') ?? '',
      before_sha: textIn(git, 'before_sha') ?? '',
      ref_type: textIn(git, 'ref_type') === 'tag' ? 'tag' : 'branch',
      refspecs: textsIn(git, 'refspecs'),
      depth: Math.max(0, Math.trunc(numberIn(git, 'depth') ?? 0)),
      protected: flagIn(git, 'protected') ?? false,
    },
    runner_info: { timeout: timeoutOf(tableIn(body, 'runner_info')) },
    variables: tablesIn(body, 'variables').map(variableOf),
    steps: tablesIn(body, 'steps').map(stepOf),
    image: imageOf(tableIn(body, 'image')),
    services: tablesIn(body, 'services').flatMap(serviceOf),
    artifacts: tablesIn(body, 'artifacts').map(artifactOf),
    dependencies: tablesIn(body, 'dependencies').map(dependencyOf),
    cache: tablesIn(body, 'cache').slice(0, maxCaches).map(cacheOf),
    hooks: tablesIn(body, 'hooks').map((hook) => ({ name: textIn(hook, 'name') ?? '', script: textsIn(hook, 'script') })),
    features: {
      trace_sections: flagIn(tableIn(body, 'features') ?? {}, 'trace_sections') ?? false,
      token_mask_prefixes: textsIn(tableIn(body, 'features') ?? {}, 'token_mask_prefixes'),
    },
    ...(extended === undefined ? {} : { extended_job_token: extendedOf(extended) }),
  };
}

function bad(why: string): JobpassError {
  return new JobpassError('invalid_input', `The job's payload is malformed: ${why}.`);
}

function needed(table: Table, key: string): string {
  const text = textIn(table, key);
  if (text === undefined || text === '') throw bad(`${key} is missing`);
  return text;
}

function positive(table: Table, key: string): number {
  const value = numberIn(table, key);
  if (value === undefined || !Number.isSafeInteger(value) || value <= 0) throw bad(`${key} is no id`);
  return value;
}

/** gitlab-runner takes two hours where there is none. */
function timeoutOf(info: Table | undefined): number {
  const seconds = info === undefined ? 0 : (numberIn(info, 'timeout') ?? 0);
  return seconds > 0 ? Math.min(seconds, 30 * 86_400) : 7200;
}

function variableOf(table: Table): JobVariable {
  return {
    key: textIn(table, 'key') ?? '',
    value: textIn(table, 'value') ?? '',
    public: flagIn(table, 'public') ?? false,
    masked: flagIn(table, 'masked') ?? false,
    raw: flagIn(table, 'raw') ?? false,
    file: flagIn(table, 'file') ?? false,
  };
}

function whenOf(table: Table): 'on_success' | 'always' | 'on_failure' {
  const when = textIn(table, 'when');
  return when === 'always' || when === 'on_failure' ? when : 'on_success';
}

function stepOf(table: Table): JobStep {
  return {
    name: textIn(table, 'name') ?? '',
    script: textsIn(table, 'script'),
    timeout: numberIn(table, 'timeout') ?? 0,
    when: whenOf(table),
    allow_failure: flagIn(table, 'allow_failure') ?? false,
  };
}

/** A server without `image:` sends null, or one without a name. */
function imageOf(table: Table | undefined): JobImage | null {
  const name = table === undefined ? '' : (textIn(table, 'name') ?? '');
  if (table === undefined || name === '') return null;
  const docker = tableIn(tableIn(table, 'executor_opts') ?? {}, 'docker') ?? {};
  const [user, platform] = [textIn(docker, 'user'), textIn(docker, 'platform')];
  const [entrypoint, policy] = [textsIn(table, 'entrypoint'), textsIn(table, 'pull_policy')];
  return {
    name,
    ...(entrypoint.length === 0 ? {} : { entrypoint }),
    ...(policy.length === 0 ? {} : { pull_policy: policy }),
    executor_opts: { docker: { ...(user === undefined ? {} : { user }), ...(platform === undefined ? {} : { platform }) } },
  };
}

function serviceOf(table: Table): readonly JobService[] {
  const image = imageOf(table);
  if (image === null) return [];
  const command = textsIn(table, 'command');
  const alias = textIn(table, 'alias');
  return [
    {
      ...image,
      ...(alias === undefined ? {} : { alias }),
      ...(command.length === 0 ? {} : { command }),
      variables: tablesIn(table, 'variables').map(variableOf),
    },
  ];
}

function artifactOf(table: Table): JobArtifact {
  return {
    name: textIn(table, 'name') ?? null,
    untracked: flagIn(table, 'untracked') ?? false,
    paths: textsIn(table, 'paths'),
    exclude: textsIn(table, 'exclude'),
    when: whenOf(table),
    artifact_type: textIn(table, 'artifact_type') ?? 'archive',
    artifact_format: artifactFormats.find((format) => format === textIn(table, 'artifact_format')) ?? 'zip',
    expire_in: textIn(table, 'expire_in') ?? null,
  };
}

/** Of one job; a server allows fewer. */
const maxCaches = 16;

function cacheOf(table: Table): JobCache {
  const policy = textIn(table, 'policy');
  return {
    key: textIn(table, 'key') ?? '',
    untracked: flagIn(table, 'untracked') ?? false,
    policy: policy === 'pull' || policy === 'push' ? policy : 'pull-push',
    paths: textsIn(table, 'paths'),
    when: whenOf(table),
    fallback_keys: textsIn(table, 'fallback_keys'),
  };
}

function dependencyOf(table: Table): JobDependency {
  const file = tableIn(table, 'artifacts_file');
  const filename = file === undefined ? undefined : textIn(file, 'filename');
  return {
    id: numberIn(table, 'id') ?? 0,
    token: textIn(table, 'token') ?? '',
    name: textIn(table, 'name') ?? '',
    ...(file === undefined || filename === undefined || filename === ''
      ? {}
      : { artifacts_file: { filename, size: numberIn(file, 'size') ?? 0 } }),
  };
}

function extendedOf(table: Table): ExtendedJobToken {
  const hosts = tableIn(table, 'hosts') ?? {};
  const token = textIn(table, 'token');
  const exposure = textIn(table, 'exposure');
  const inputs = textIn(table, 'inputs_key');
  return {
    ...(token === undefined ? {} : { token }),
    fetch_token: needed(table, 'fetch_token'),
    username: textIn(table, 'username') ?? 'gitlab-ci-token',
    expires_at: textIn(table, 'expires_at') ?? '',
    // An unknown word is no leave to show anything (R13).
    exposure: exposure === 'variable' || exposure === 'replace' ? exposure : 'withhold',
    notes: textsIn(table, 'notes').slice(0, 20),
    hosts: { api: textsIn(hosts, 'api'), git: textsIn(hosts, 'git'), registry: textsIn(hosts, 'registry') },
    // It becomes part of paths.
    ...(inputs !== undefined && /^[a-z0-9_-]{1,64}$/.test(inputs) ? { inputs_key: inputs } : {}),
  };
}
