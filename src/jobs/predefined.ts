import type { Commit } from '../forge/forge.ts';
import type { ProjectFacts, UserFacts } from '../ports/directory.ts';
import type { JobRecord, PipelineRecord } from '../ports/jobs.ts';
import type { InstanceSettings } from './deps.ts';

/** Everything that is known of a pipeline before it has a row. */
export interface PipelineFacts {
  readonly project: ProjectFacts;
  readonly user: UserFacts;
  readonly ref: string;
  readonly tag: boolean;
  readonly sha: string;
  readonly beforeSha: string;
  readonly source: PipelineRecord['source'];
  readonly protected: boolean;
  readonly commit: Commit | undefined;
  /** What only its source knows. */
  readonly sourceVariables?: Readonly<Record<string, string>> | undefined;
}

/** `CI_COMMIT_REF_SLUG`: lower case, letters, digits and dashes, at most 63. */
export function slug(text: string): string {
  return text
    .toLowerCase()
    .replaceAll(/[^a-z0-9]/g, '-')
    .slice(0, 63)
    .replaceAll(/^-+|-+$/g, '');
}

/** GitLab's predefined variables of a pipeline; only those that have an honest value here. @see GitLab CI/CD, "Predefined variables" */
export function pipelineVariables(instance: InstanceSettings, facts: PipelineFacts): Map<string, string> {
  const { project, user, ref, sha, commit } = facts;
  const server = new URL(instance.addresses.url);
  const namespace = project.path.split('/').slice(0, -1).join('/');
  const name = project.path.split('/').at(-1) ?? '';
  return new Map<string, string>([
    ['CI', 'true'],
    ['GITLAB_CI', 'true'],
    ['CI_SERVER', 'yes'],
    ['CI_SERVER_NAME', 'jobpass'],
    ['CI_SERVER_URL', instance.addresses.url],
    ['CI_SERVER_HOST', server.hostname],
    ['CI_SERVER_FQDN', server.host],
    ['CI_SERVER_PORT', server.port === '' ? (server.protocol === 'https:' ? '443' : '80') : server.port],
    ['CI_SERVER_PROTOCOL', server.protocol.replace(':', '')],
    ['CI_SERVER_VERSION', instance.version],
    ...versionParts(instance.version),
    ['CI_API_V4_URL', `${instance.addresses.url}/api/v4`],
    ['CI_PROJECT_ID', String(project.id)],
    ['CI_PROJECT_NAME', name],
    ['CI_PROJECT_TITLE', name],
    ['CI_PROJECT_PATH', project.path],
    ['CI_PROJECT_PATH_SLUG', slug(project.path)],
    ['CI_PROJECT_NAMESPACE', namespace],
    ['CI_PROJECT_NAMESPACE_ID', String(project.namespaceId)],
    ['CI_PROJECT_ROOT_NAMESPACE', namespace.split('/')[0] ?? ''],
    ['CI_PROJECT_URL', `${instance.addresses.url}/${project.path}`],
    ['CI_PROJECT_VISIBILITY', project.visibility],
    ['CI_DEFAULT_BRANCH', project.defaultBranch],
    ['CI_REGISTRY', instance.addresses.registry],
    ['CI_REGISTRY_IMAGE', `${instance.addresses.registry}/${project.path.toLowerCase()}`],
    ['CI_PIPELINE_SOURCE', facts.source],
    ['CI_CONFIG_PATH', '.gitlab-ci.yml'],
    ['CI_COMMIT_SHA', sha],
    ['CI_COMMIT_SHORT_SHA', sha.slice(0, 8)],
    ['CI_COMMIT_BEFORE_SHA', facts.beforeSha],
    ['CI_COMMIT_REF_NAME', ref],
    ['CI_COMMIT_REF_SLUG', slug(ref)],
    ['CI_COMMIT_REF_PROTECTED', String(facts.protected)],
    ...refVariables(facts),
    ...(commit === undefined
      ? []
      : ([
          ['CI_COMMIT_MESSAGE', commit.message],
          ['CI_COMMIT_TITLE', commit.title],
          ['CI_COMMIT_DESCRIPTION', commit.message.split('\n').slice(1).join('\n').trim()],
          ['CI_COMMIT_TIMESTAMP', commit.committedDate],
          ['CI_COMMIT_AUTHOR', `${commit.authorName} <${commit.authorEmail}>`],
        ] as const)),
    ['GITLAB_USER_ID', String(user.id)],
    ['GITLAB_USER_LOGIN', user.username],
    ['GITLAB_USER_NAME', user.name],
    ['GITLAB_USER_EMAIL', emailOf(instance, user)],
    ...Object.entries(facts.sourceVariables ?? {}),
  ]);
}

/** An address that is the user's and nobody's mailbox: jobs, and whoever reads what they print, do not learn the real one. */
export function emailOf(instance: InstanceSettings, { id, username }: UserFacts): string {
  return `${id}-${username}@users.noreply.${new URL(instance.addresses.url).hostname}`;
}

/** Three numbers, where it has them. */
function versionParts(version: string): readonly (readonly [string, string])[] {
  const [, ...numbers] = /^(\d+)\.(\d+)\.(\d+)/.exec(version) ?? [];
  return numbers.map((number, index) => [`CI_SERVER_VERSION_${['MAJOR', 'MINOR', 'PATCH'][index] ?? ''}`, number]);
}

/** A merge request's pipeline is neither a branch's nor a tag's. */
function refVariables({ tag, ref, source }: PipelineFacts): readonly (readonly [string, string])[] {
  if (tag) return [['CI_COMMIT_TAG', ref]];
  return source === 'merge_request_event' ? [] : [['CI_COMMIT_BRANCH', ref]];
}

/** What the job's own row adds. */
export function jobVariables(
  instance: InstanceSettings,
  project: ProjectFacts,
  pipeline: PipelineRecord,
  job: JobRecord,
): Map<string, string> {
  return new Map<string, string>([
    ['CI_PIPELINE_ID', String(pipeline.id)],
    ['CI_PIPELINE_IID', String(pipeline.iid)],
    ['CI_PIPELINE_URL', `${instance.addresses.url}/${project.path}/-/pipelines/${pipeline.id}`],
    ['CI_PIPELINE_CREATED_AT', new Date(pipeline.createdAt).toISOString()],
    ['CI_JOB_ID', String(job.id)],
    ['CI_JOB_NAME', job.name],
    ['CI_JOB_NAME_SLUG', slug(job.name)],
    ['CI_JOB_STAGE', job.stage],
    ['CI_JOB_URL', `${instance.addresses.url}/${project.path}/-/jobs/${job.id}`],
    ['CI_JOB_TIMEOUT', String(job.timeoutSeconds)],
    ['CI_JOB_GROUP_NAME', job.name.replace(/(?: \d+\/\d+|: \[.*\])$/, '')],
    ['CI_NODE_TOTAL', '1'],
    ...(job.when === 'manual' ? [['CI_JOB_MANUAL', 'true'] as const] : []),
    ...(job.startedAt === null ? [] : [['CI_JOB_STARTED_AT', new Date(job.startedAt).toISOString()] as const]),
    ...(pipeline.name === null || pipeline.name === undefined ? [] : [['CI_PIPELINE_NAME', pipeline.name] as const]),
  ]);
}
