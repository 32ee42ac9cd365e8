/** Where a keyword stands. */
export type KeywordPlace =
  | 'header'
  | 'spec'
  | 'spec_include'
  | 'inputs_file'
  | 'input'
  | 'input_rule'
  | 'top'
  | 'default'
  | 'job'
  | 'image'
  | 'service'
  | 'docker'
  | 'kubernetes'
  | 'artifacts'
  | 'variable'
  | 'need'
  | 'reports'
  | 'retry'
  | 'rule'
  | 'policy'
  | 'allow_failure'
  | 'parallel'
  | 'inherit'
  | 'changes'
  | 'exists'
  | 'include'
  | 'include_rule'
  | 'workflow'
  | 'workflow_rule'
  | 'auto_cancel'
  | 'cache'
  | 'cache_key'
  | 'hooks'
  | 'id_token'
  | 'release'
  | 'release_assets'
  | 'release_link'
  | 'bridge'
  | 'trigger'
  | 'trigger_include'
  | 'forward'
  | 'need_project'
  | 'need_pipeline'
  | 'need_upstream'
  | 'environment';

export interface Keyword {
  readonly status: 'supported' | 'refused';
  /** What an error says behind the keyword's name; empty for a supported one. */
  readonly reason: string;
}

/** As in GitLab: what a job of another pipeline makes is there, or is not. */
const elsewhere = { optional: 'it is for jobs of the same pipeline', parallel: 'it is for jobs of the same pipeline' };
const identity = "use `id_tokens` with the cloud's own workload identity";

/** GitLab's keywords, so that an error can tell one that is missing here from a typing mistake. @see GitLab, CI/CD YAML syntax reference */
export const keywords: Readonly<Record<KeywordPlace, ReadonlyMap<string, Keyword>>> = {
  header: table('spec'),
  spec: table('inputs include', { component: 'there is no component catalog' }),
  spec_include: table('local project file ref', {
    remote: 'the server asks no other address; put the file into a project',
    template: "GitLab's own templates are not part of jobpass; put the file into a project",
    component: 'there is no component catalog; put the file into a project',
    artifact: 'it stands below `trigger` only',
    rules: 'a header has no rules for what it includes',
    inputs: 'a file of inputs takes none',
  }),
  inputs_file: table('inputs'),
  input: table('type default description options regex rules'),
  input_rule: table('if options default'),
  // A name at the top that is not listed here is a job's: a job may be called `release` or `retry`.
  top: table('include stages default workflow variables image services before_script after_script cache', {
    spec: 'it stands in a header, above a line of `---`',
    types: 'use `stages`',
    pages: 'jobpass serves no pages; give the job another name and publish from its `script`',
  }),
  default: table('image services before_script after_script tags timeout artifacts retry interruptible cache hooks id_tokens', {
    identity,
  }),
  job: table(
    `stage script before_script after_script image services variables needs dependencies artifacts
     rules only except when tags allow_failure timeout retry extends parallel inherit
     start_in manual_confirmation interruptible resource_group trigger environment
     cache release hooks coverage id_tokens`,
    {
      type: 'use `stage`',
      identity,
      secrets: 'use `id_tokens` and fetch the secret in `script`, or a masked CI/CD variable',
      pages: 'jobpass serves no pages; publish from `script`',
      publish: 'jobpass serves no pages; publish from `script`',
      run: "it needs GitLab's step runner; use `script`",
      dast_configuration: "it names a profile that GitLab keeps; set the scanner's `variables`",
    },
  ),
  // A job with `trigger`.
  bridge: table(
    `stage variables needs rules only except when allow_failure extends parallel inherit start_in manual_confirmation interruptible resource_group trigger environment`,
    Object.fromEntries(
      `script before_script after_script image services artifacts dependencies tags timeout retry cache release hooks coverage id_tokens secrets
       identity pages publish run`
        .split(/\s+/)
        .map((name) => [name, 'a job with `trigger` or `needs:pipeline` runs nothing itself']),
    ),
  ),
  trigger: table('project branch include strategy forward inputs'),
  trigger_include: table('local artifact job project file ref inputs', {
    component: 'there is no component catalog; put the file into a project',
    remote: 'nobody of the project answers for it',
    template: 'jobpass has no templates',
  }),
  forward: table('yaml_variables pipeline_variables'),
  environment: table('name url action deployment_tier on_stop auto_stop_in', { kubernetes: 'there is no agent for Kubernetes' }),
  image: table('name entrypoint pull_policy docker kubernetes'),
  service: table('name alias entrypoint command variables pull_policy docker kubernetes'),
  kubernetes: table('user'),
  docker: table('user platform'),
  artifacts: table('paths exclude name expire_in when untracked reports public access', {
    expose_as: 'there is no merge request page to show it on; the API serves the archive',
  }),
  reports: table(
    `accessibility annotations api_fuzzing browser_performance cluster_image_scanning codequality container_scanning coverage_fuzzing
     coverage_report cyclonedx dast dependency_scanning dotenv junit load_performance lsif metrics repository_xray requirements sarif sast
     scip secret_detection terraform`,
    { cobertura: 'use `coverage_report`' },
  ),
  variable: table('value description options expand'),
  need: table('job artifacts optional parallel', {
    pipeline: "it stands in a job's own `needs`, not in those of a rule",
    project: "it stands in a job's own `needs`, not in those of a rule",
    ref: 'it goes with `project`',
  }),
  need_project: table('project ref job artifacts', elsewhere),
  need_upstream: table('pipeline'),
  need_pipeline: table('pipeline job artifacts', elsewhere),
  rule: table('if changes exists when allow_failure variables needs interruptible start_in'),
  policy: table('refs variables changes', { kubernetes: 'there are no clusters' }),
  changes: table('paths compare_to'),
  exists: table('paths project ref'),
  include: table('local project file ref rules inputs', {
    cache: 'it is for `remote`, which is not there',
    integrity: 'it is for `remote`, which is not there',
    remote: 'the server asks no other address; put the file into a project',
    template: "GitLab's own templates are not part of jobpass; put the file into a project",
    component: 'there is no component catalog; put the file into a project',
    artifact: 'it stands below `trigger` only',
  }),
  include_rule: table('if changes exists when'),
  retry: table('max when exit_codes'),
  allow_failure: table('exit_codes'),
  parallel: table('matrix'),
  inherit: table('default variables'),
  workflow: table('name rules auto_cancel'),
  workflow_rule: table('if changes exists when variables auto_cancel'),
  auto_cancel: table('on_new_commit on_job_failure'),
  cache: table('key paths untracked policy when unprotect fallback_keys'),
  cache_key: table('files files_commits prefix'),
  hooks: table('pre_get_sources_script'),
  id_token: table('aud'),
  release: table('tag_name tag_message name description ref released_at assets', { milestones: 'there are no milestones' }),
  release_assets: table('links'),
  release_link: table('name url filepath link_type'),
};

function table(supported: string, refused: Readonly<Record<string, string>> = {}): ReadonlyMap<string, Keyword> {
  const words = (text: string): readonly string[] => text.split(/\s+/).filter((word) => word !== '');
  return new Map<string, Keyword>([
    ...words(supported).map((name) => [name, { status: 'supported', reason: '' }] as const),
    ...Object.entries(refused).map(([name, why]) => [name, { status: 'refused', reason: `is not supported: ${why}` }] as const),
  ]);
}
