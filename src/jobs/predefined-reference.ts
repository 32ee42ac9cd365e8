/** GitLab's predefined variables, and where each stands here. @see GitLab CI/CD, "Predefined CI/CD variables reference" */
export interface PredefinedVariable {
  /** `pipeline` = known when a pipeline is planned, so in rules, too; `job` = in jobs only; `runner` = the runner's own word; `absent` = there is none. */
  readonly known: 'pipeline' | 'job' | 'runner' | 'absent';
  /** Its value where its name does not say it; for an absent one, why. */
  readonly note: string;
}

const absent = (note: string, ...names: readonly string[]) => names.map((name) => [name, { known: 'absent', note }] as const);
const rows = (known: 'pipeline' | 'job' | 'runner', notes: Readonly<Record<string, string>>) =>
  Object.entries(notes).map(([name, note]) => [name, { known, note }] as const);

const forRequests = 'in pipelines of merge requests';

export const predefinedVariables: ReadonlyMap<string, PredefinedVariable> = new Map<string, PredefinedVariable>([
  ...rows('pipeline', {
    CI: '`true`',
    GITLAB_CI: '`true`',
    CI_API_V4_URL: '',
    CI_COMMIT_AUTHOR: '`Name <email>`, as git has it: not proof of who it was',
    CI_COMMIT_BEFORE_SHA: '',
    CI_COMMIT_BRANCH: 'for branches',
    CI_COMMIT_DESCRIPTION: '',
    CI_COMMIT_MESSAGE: '',
    CI_COMMIT_REF_NAME: '',
    CI_COMMIT_REF_PROTECTED: '`true` or `false`',
    CI_COMMIT_REF_SLUG: '',
    CI_COMMIT_SHA: '',
    CI_COMMIT_SHORT_SHA: '8 characters',
    CI_COMMIT_TAG: 'for tags',
    CI_COMMIT_TIMESTAMP: "with the committer's offset",
    CI_COMMIT_TITLE: '',
    CI_CONFIG_PATH: '`.gitlab-ci.yml`',
    CI_DEFAULT_BRANCH: '',
    CI_ENVIRONMENT_ACTION: 'with `environment`',
    CI_ENVIRONMENT_NAME: 'with `environment`',
    CI_ENVIRONMENT_TIER: 'with `environment`',
    CI_ENVIRONMENT_URL: 'with `environment:url`',
    CI_JOB_NAME: '',
    CI_JOB_STAGE: '',
    CI_MERGE_REQUEST_ASSIGNEES: forRequests,
    CI_MERGE_REQUEST_DESCRIPTION: `${forRequests}, the first 2,700 characters`,
    CI_MERGE_REQUEST_DESCRIPTION_IS_TRUNCATED: forRequests,
    CI_MERGE_REQUEST_DRAFT: `${forRequests}; not in those of a fork`,
    CI_MERGE_REQUEST_EVENT_TYPE: `${forRequests}: \`detached\``,
    CI_MERGE_REQUEST_ID: forRequests,
    CI_MERGE_REQUEST_IID: forRequests,
    CI_MERGE_REQUEST_LABELS: forRequests,
    CI_MERGE_REQUEST_PROJECT_ID: forRequests,
    CI_MERGE_REQUEST_PROJECT_PATH: forRequests,
    CI_MERGE_REQUEST_PROJECT_URL: forRequests,
    CI_MERGE_REQUEST_REF_PATH: forRequests,
    CI_MERGE_REQUEST_SOURCE_BRANCH_NAME: forRequests,
    CI_MERGE_REQUEST_SOURCE_BRANCH_PROTECTED: forRequests,
    CI_MERGE_REQUEST_SOURCE_BRANCH_SHA: `${forRequests}, empty as in GitLab's`,
    CI_MERGE_REQUEST_SOURCE_PROJECT_ID: forRequests,
    CI_MERGE_REQUEST_SOURCE_PROJECT_PATH: forRequests,
    CI_MERGE_REQUEST_SOURCE_PROJECT_URL: forRequests,
    CI_MERGE_REQUEST_SQUASH_ON_MERGE: forRequests,
    CI_MERGE_REQUEST_TARGET_BRANCH_NAME: forRequests,
    CI_MERGE_REQUEST_TARGET_BRANCH_PROTECTED: forRequests,
    CI_MERGE_REQUEST_TARGET_BRANCH_SHA: `${forRequests}, empty as in GitLab's`,
    CI_MERGE_REQUEST_TITLE: forRequests,
    CI_NODE_INDEX: 'with `parallel`',
    CI_OPEN_MERGE_REQUESTS: 'where the branch has some; at most four',
    CI_PIPELINE_SCHEDULE_DESCRIPTION: 'of a schedule',
    CI_PIPELINE_SOURCE: '',
    CI_PIPELINE_TRIGGERED: '`true` for a trigger token',
    CI_PROJECT_ID: '',
    CI_PROJECT_NAME: '',
    CI_PROJECT_NAMESPACE: '',
    CI_PROJECT_NAMESPACE_ID: '',
    CI_PROJECT_PATH: '',
    CI_PROJECT_PATH_SLUG: '',
    CI_PROJECT_ROOT_NAMESPACE: '',
    CI_PROJECT_TITLE: 'the same as `CI_PROJECT_NAME`',
    CI_PROJECT_URL: '',
    CI_PROJECT_VISIBILITY: '',
    CI_REGISTRY: '`host[:port]`',
    CI_REGISTRY_IMAGE: '',
    CI_SERVER: '`yes`',
    CI_SERVER_FQDN: '',
    CI_SERVER_HOST: '',
    CI_SERVER_NAME: '`jobpass`',
    CI_SERVER_PORT: '',
    CI_SERVER_PROTOCOL: '',
    CI_SERVER_URL: '',
    CI_SERVER_VERSION: "jobpass's own",
    CI_SERVER_VERSION_MAJOR: '',
    CI_SERVER_VERSION_MINOR: '',
    CI_SERVER_VERSION_PATCH: '',
    GITLAB_USER_EMAIL: 'an address that is no mailbox',
    GITLAB_USER_ID: 'who started the job',
    GITLAB_USER_LOGIN: '',
    GITLAB_USER_NAME: '',
  }),
  ...rows('job', {
    CI_EXTENDED_JOB_TOKEN: 'ours: the pass, only where the job asks for it and everybody allows it',
    CI_ENVIRONMENT_SLUG: 'with `environment`',
    CI_JOB_GROUP_NAME: 'the name without its place in `parallel`',
    CI_JOB_ID: '',
    CI_JOB_MANUAL: '`true` for `when: manual`',
    CI_JOB_NAME_SLUG: '',
    CI_JOB_STARTED_AT: '',
    CI_JOB_TIMEOUT: 'in seconds',
    CI_JOB_TOKEN: '',
    CI_JOB_URL: '',
    CI_NODE_TOTAL: '`1` without `parallel`',
    CI_PIPELINE_CREATED_AT: '',
    CI_PIPELINE_ID: '',
    CI_PIPELINE_IID: '',
    CI_PIPELINE_NAME: 'with `workflow:name`',
    CI_PIPELINE_URL: '',
    CI_REGISTRY_PASSWORD: 'the job token',
    CI_REGISTRY_USER: '`gitlab-ci-token`',
    CI_REPOSITORY_URL: 'with the job token',
    CI_RUNNER_DESCRIPTION: '',
    CI_RUNNER_ID: '',
    CI_RUNNER_TAGS: 'a JSON list',
  }),
  ...rows('runner', {
    CI_BUILDS_DIR: '',
    CI_CONCURRENT_ID: '',
    CI_CONCURRENT_PROJECT_ID: '',
    CI_DISPOSABLE_ENVIRONMENT: '',
    CI_JOB_IMAGE: 'where it runs in one',
    CI_JOB_STATUS: '',
    CI_PROJECT_DIR: '',
    CI_RUNNER_EXECUTABLE_ARCH: '',
    CI_RUNNER_REVISION: 'by gitlab-runner',
    CI_RUNNER_VERSION: '',
    CI_SERVER_TLS_CA_FILE: 'where the runner has one',
    CI_SERVER_TLS_CERT_FILE: 'by gitlab-runner',
    CI_SERVER_TLS_KEY_FILE: 'by gitlab-runner',
    CI_SHARED_ENVIRONMENT: '',
  }),
  ...absent('there is no ChatOps', 'CHAT_CHANNEL', 'CHAT_INPUT', 'CHAT_USER_ID'),
  ...absent('there is no GraphQL', 'CI_API_GRAPHQL_URL'),
  ...absent('tag messages and releases are not read for it', 'CI_COMMIT_TAG_MESSAGE', 'CI_RELEASE_DESCRIPTION'),
  ...absent('whoever wants it sets it', 'CI_DEBUG_TRACE', 'CI_DEBUG_SERVICES'),
  ...absent(
    'there is no dependency proxy',
    'CI_DEPENDENCY_PROXY_DIRECT_GROUP_IMAGE_PREFIX',
    'CI_DEPENDENCY_PROXY_GROUP_IMAGE_PREFIX',
    'CI_DEPENDENCY_PROXY_PASSWORD',
    'CI_DEPENDENCY_PROXY_SERVER',
    'CI_DEPENDENCY_PROXY_USER',
  ),
  ...absent('there are no deploy freezes', 'CI_DEPLOY_FREEZE'),
  ...absent('there are no deploy tokens', 'CI_DEPLOY_PASSWORD', 'CI_DEPLOY_USER'),
  ...absent('there is no such mode', 'CI_GITLAB_FIPS_MODE'),
  ...absent('there are no requirements', 'CI_HAS_OPEN_REQUIREMENTS'),
  ...absent('there are no clusters', 'CI_KUBERNETES_ACTIVE', 'KUBECONFIG'),
  ...absent('there are no pages', 'CI_PAGES_DOMAIN', 'CI_PAGES_URL'),
  ...absent('there are no such labels', 'CI_PROJECT_CLASSIFICATION_LABEL'),
  ...absent('it is not read for each job', 'CI_PROJECT_DESCRIPTION', 'CI_PROJECT_REPOSITORY_LANGUAGES'),
  ...absent('it would be a part of a secret', 'CI_RUNNER_SHORT_TOKEN', 'CI_TRIGGER_SHORT_TOKEN'),
  ...absent('a package has a version and no revision', 'CI_SERVER_REVISION'),
  ...absent('there is no git over SSH', 'CI_SERVER_SHELL_SSH_HOST', 'CI_SERVER_SHELL_SSH_PORT'),
  ...absent("GitLab's templates are not part of jobpass", 'CI_TEMPLATE_REGISTRY_HOST'),
  ...absent('there are no approvals', 'CI_MERGE_REQUEST_APPROVED'),
  ...absent('`git merge-base` finds it in the job', 'CI_MERGE_REQUEST_DIFF_BASE_SHA'),
  ...absent('there are no versions of a request', 'CI_MERGE_REQUEST_DIFF_ID'),
  ...absent('there are no milestones', 'CI_MERGE_REQUEST_MILESTONE'),
  ...absent(
    'there are no pull requests of other forges',
    'CI_EXTERNAL_PULL_REQUEST_IID',
    'CI_EXTERNAL_PULL_REQUEST_SOURCE_BRANCH_NAME',
    'CI_EXTERNAL_PULL_REQUEST_SOURCE_BRANCH_SHA',
    'CI_EXTERNAL_PULL_REQUEST_SOURCE_REPOSITORY',
    'CI_EXTERNAL_PULL_REQUEST_TARGET_BRANCH_NAME',
    'CI_EXTERNAL_PULL_REQUEST_TARGET_BRANCH_SHA',
    'CI_EXTERNAL_PULL_REQUEST_TARGET_REPOSITORY',
  ),
  ...absent('nothing is licensed', 'GITLAB_FEATURES'),
  ...absent('a trigger takes variables, no payload', 'TRIGGER_PAYLOAD'),
]);

const head = `# Variables of a job

Of one name the later counts: predefined, \`variables\` of the file, of the job and its rule, dotenv reports, the instance's, the groups' from outside in, the project's, and what came with the pipeline, the schedule or the play (GitLab's precedence).
Rules see the same but dotenv reports; those of a job with an \`environment\` also what is kept for that one, and \`CI_ENVIRONMENT_NAME\`, \`_ACTION\`, \`_TIER\`, \`_URL\`. Values may name other variables; \`expand: false\` and \`raw\` keep a \`$\`, a circle stays as it stands.

## Kept variables

\`/projects/:id/variables\`, \`/groups/:id/variables\`, \`/admin/ci/variables\` are GitLab's API: \`variable_type\` (\`env_var\`, \`file\`), \`protected\` (jobs on protected refs only), \`masked\`, \`masked_and_hidden\` (never shown again), \`raw\`, \`environment_scope\` (a
name, \`*\` for any text; what says more of the name wins), \`description\`. A key may begin with no digit; a value has at most 10,000 characters, and an owner 1,000 variables of 1 MiB together.

- **At rest** sealed with \`seal.key\` of the data folder, each bound to its owner and key. Keep the key apart from copies of the database; with another key the values are lost, and jobs that need them fail.
- **Whoever set one last** is a principal of the jobs that get it, outside the project's top-level group (R3, [decision 0008](decisions/0008-who-set-a-variable-is-a-principal.md)); an administrator is none.
- **A pass** writes none (R5), and reads those of other projects only where a ceiling names \`variable:read\` ([ceilings.md](ceilings.md)).
- **Rules** may look at masked values; they become part of nothing that is kept or shown: an environment's name or \`url\`, a resource group, a pipeline's name, an \`include\`, a \`trigger\`. There they are an error, as where a bridge would hand one to another project (a protected one, too, outside its group); a child pipeline is given the name, and finds the value itself.
- **\`JOBPASS_EXPOSE\`, \`JOBPASS_PERMISSIONS\`, \`JOBPASS_PROJECTS\`** as kept variables narrow what the file asks for, and never widen it (A50).

## Predefined variables

Printed from \`src/jobs/predefined-reference.ts\` by \`node scripts/variables-doc.mjs\`.
`;

const titles = {
  pipeline: 'Known when a pipeline is planned, so in rules, too',
  job: 'In jobs only',
  runner: "The runner's own word",
  absent: 'Not there, and why',
} as const;

/** docs/variables.md. */
export function variableReference(): string {
  const parts = (['pipeline', 'job', 'runner', 'absent'] as const).map((known) => {
    const lines = [...predefinedVariables]
      .filter(([, one]) => one.known === known)
      .toSorted(([one], [other]) => (one < other ? -1 : 1))
      .map(([name, { note }]) => `| \`${name}\` | ${note} |`);
    return `\n### ${titles[known]}\n\n| variable | |\n|---|---|\n${lines.join('\n')}\n`;
  });
  return head + parts.join('');
}
