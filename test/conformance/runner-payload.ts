/** Go types of the 201 payload: a wrong one fails the decode and loses the job. @see runner-protocol §3 */
type Shape = 'string' | 'int' | 'float' | 'bool' | readonly [Shape] | { readonly [field: string]: Shape };

const variable = { key: 'string', value: 'string', public: 'bool', file: 'bool', masked: 'bool', raw: 'bool' } as const;
const image = {
  name: 'string',
  alias: 'string',
  command: ['string'],
  entrypoint: ['string'],
  ports: [{ number: 'int', protocol: 'string', name: 'string' }],
  variables: [variable],
  pull_policy: ['string'],
  executor_opts: { docker: { platform: 'string', user: 'string' }, kubernetes: { user: 'string' } },
} as const;

const payload: Shape = {
  id: 'int',
  token: 'string',
  allow_git_fetch: 'bool',
  job_info: {
    name: 'string',
    stage: 'string',
    project_name: 'string',
    project_full_path: 'string',
    instance_id: 'string',
    instance_uuid: 'string',
    pipeline_id: 'int',
    project_id: 'int',
    namespace_id: 'int',
    root_namespace_id: 'int',
    organization_id: 'int',
    user_id: 'int',
    queue_size: 'int',
    queue_depth: 'int',
    scoped_user_id: 'int',
    time_in_queue_seconds: 'float',
    project_jobs_running_on_instance_runners_count: 'string',
  },
  git_info: {
    repo_url: 'string',
    repo_object_format: 'string',
    ref: 'string',
    sha: 'string',
    before_sha: 'string',
    ref_type: 'string',
    refspecs: ['string'],
    depth: 'int',
    protected: 'bool',
  },
  runner_info: { uuid: 'string', timeout: 'int' },
  variables: [variable],
  steps: [{ name: 'string', script: ['string'], timeout: 'int', when: 'string', allow_failure: 'bool' }],
  image,
  services: [image],
  artifacts: [
    {
      name: 'string',
      untracked: 'bool',
      paths: ['string'],
      exclude: ['string'],
      when: 'string',
      artifact_type: 'string',
      artifact_format: 'string',
      expire_in: 'string',
    },
  ],
  cache: [{ key: 'string', untracked: 'bool', policy: 'string', paths: ['string'], when: 'string', fallback_keys: ['string'] }],
  credentials: [{ type: 'string', url: 'string', username: 'string', password: 'string' }],
  dependencies: [{ id: 'int', token: 'string', name: 'string', artifacts_file: { filename: 'string', size: 'int' } }],
  features: { trace_sections: 'bool', token_mask_prefixes: ['string'], failure_reasons: ['string'] },
  hooks: [{ name: 'string', script: ['string'] }],
  run: 'string',
};

/** Where the payload would fail a typed decode: `job_info.pipeline_id: not int`. `null` and absent are zero values; unknown fields are ignored, but inside `executor_opts`. */
export function payloadErrors(value: unknown): readonly string[] {
  return [...errors(value, payload, '', false)];
}

function* errors(value: unknown, shape: Shape, path: string, strict: boolean): Generator<string> {
  if (value === undefined || value === null) return;
  if (typeof shape === 'string') {
    const right = {
      string: typeof value === 'string',
      int: Number.isSafeInteger(value),
      float: typeof value === 'number',
      bool: typeof value === 'boolean',
    }[shape];
    if (!right) yield `${path}: not ${shape}`;
    return;
  }
  if (isList(shape)) {
    if (!Array.isArray(value)) yield `${path}: not a list`;
    else for (const [index, one] of value.entries()) yield* errors(one, shape[0], `${path}[${index}]`, strict);
    return;
  }
  if (typeof value !== 'object' || Array.isArray(value)) return yield `${path}: not an object`;
  for (const [name, inner] of Object.entries(value)) {
    // Go matches keys without case: a field of ours must not be taken for one of theirs.
    const known = Object.keys(shape).find((field) => field.toLowerCase() === name.toLowerCase());
    const field = known === undefined ? undefined : shape[known];
    if (field !== undefined) yield* errors(inner, field, path === '' ? name : `${path}.${name}`, strict || name === 'executor_opts');
    else if (strict) yield `${path}.${name}: unknown here`;
  }
}

function isList(shape: Shape): shape is readonly [Shape] {
  return Array.isArray(shape);
}
