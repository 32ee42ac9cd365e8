import { isoTime, isoTimeOrNull } from '../../base/clock.ts';
import type {
  Commit,
  Group,
  MemberEntry,
  PersonalTokenEntry,
  Project,
  ProtectionRule,
  Release,
  ReleaseLinkEntry,
  User,
} from '../../forge/forge.ts';
import type { Branch, Tag } from '../../forge/repository.ts';
import type { AuditRow } from '../../ports/audit.ts';
import type { JobRecord, PipelineRecord } from '../../ports/jobs.ts';
import type { RunnerRecord, ManagerRecord } from '../../ports/runners.ts';

/** Our records as GitLab's JSON. `base` is the external address. Never `runners_token`, never a secret. */

export function userBrief(base: string, user: User) {
  return {
    id: user.id,
    username: user.username,
    name: user.name,
    state: user.state,
    avatar_url: null,
    web_url: `${base}/${user.username}`,
  };
}
export function userFull(base: string, user: User) {
  return { ...userBrief(base, user), created_at: isoTime(user.createdAt), bot: false };
}
export function userSelf(base: string, user: User) {
  return {
    ...userFull(base, user),
    email: user.email,
    public_email: null,
    commit_email: user.email,
    is_admin: user.isAdmin,
    namespace_id: user.namespaceId,
    can_create_group: true,
    can_create_project: true,
    two_factor_enabled: false,
    external: false,
  };
}

export function personalToken(token: PersonalTokenEntry, now: number) {
  const day = token.expiresAt === null ? null : isoTime(token.expiresAt).slice(0, 10);
  return {
    id: token.id,
    name: token.name,
    revoked: token.revoked,
    created_at: isoTime(token.createdAt),
    description: null,
    scopes: token.scopes,
    user_id: token.userId,
    last_used_at: isoTimeOrNull(token.lastUsedAt),
    active: !token.revoked && (token.expiresAt === null || now < token.expiresAt),
    expires_at: day,
  };
}

export function group(base: string, one: Group) {
  return {
    id: one.id,
    web_url: `${base}/groups/${one.path}`,
    name: one.name,
    path: one.slug,
    description: one.description,
    visibility: one.visibility,
    full_name: one.path.split('/').join(' / '),
    full_path: one.path,
    parent_id: one.parentId,
    created_at: isoTime(one.createdAt),
    avatar_url: null,
  };
}

/** Where the server is reached, for URLs and names in answers. */
export interface Places {
  readonly externalUrl: string;
  /** `host[:port]` by which images are named. */
  readonly registry: string;
}

export function project({ externalUrl: base, registry }: Places, one: Project) {
  const api = `${base}/api/v4/projects/${one.id}`;
  const host = new URL(base).hostname;
  return {
    id: one.id,
    description: one.description,
    name: one.name,
    name_with_namespace: `${one.namespace.name} / ${one.name}`,
    path: one.slug,
    path_with_namespace: one.path,
    created_at: isoTime(one.createdAt),
    default_branch: one.defaultBranch,
    tag_list: [],
    topics: [],
    ssh_url_to_repo: `git@${host}:${one.path}.git`,
    http_url_to_repo: `${base}/${one.path}.git`,
    web_url: `${base}/${one.path}`,
    readme_url: null,
    avatar_url: null,
    last_activity_at: isoTime(one.lastActivityAt),
    namespace: {
      id: one.namespace.id,
      name: one.namespace.name,
      path: one.namespace.slug,
      kind: one.namespace.kind,
      full_path: one.namespace.path,
      parent_id: one.namespace.parentId,
      web_url: `${base}/${one.namespace.kind === 'group' ? 'groups/' : ''}${one.namespace.path}`,
    },
    _links: { self: api, members: `${api}/members`, repo_branches: `${api}/repository/branches` },
    empty_repo: one.emptyRepo,
    archived: one.archived,
    visibility: one.visibility,
    merge_method: one.mergeMethod ?? 'merge',
    creator_id: one.creatorId,
    issues_enabled: false,
    merge_requests_enabled: true,
    merge_requests_access_level: 'enabled',
    issues_access_level: 'disabled',
    wiki_enabled: false,
    jobs_enabled: true,
    snippets_enabled: false,
    container_registry_enabled: true,
    container_registry_access_level: 'enabled',
    container_registry_image_prefix: `${registry}/${one.path.toLowerCase()}`,
    lfs_enabled: true,
    repository_access_level: 'enabled',
    builds_access_level: 'enabled',
    releases_access_level: 'enabled',
    forks_count: 0,
    star_count: 0,
  };
}

export function member(base: string, one: MemberEntry) {
  return {
    id: one.userId,
    username: one.username,
    name: one.name,
    state: one.state,
    avatar_url: null,
    web_url: `${base}/${one.username}`,
    access_level: one.accessLevel,
    created_at: isoTime(one.createdAt),
    expires_at: one.expiresAt === null ? null : isoTime(one.expiresAt).slice(0, 10),
    membership_state: 'active',
  };
}

export function protection(rule: ProtectionRule) {
  const level = (access_level: number) => [
    {
      access_level,
      access_level_description: access_level === 40 ? 'Maintainers' : access_level === 30 ? 'Developers + Maintainers' : 'No one',
    },
  ];
  return rule.kind === 'tag'
    ? { name: rule.pattern, create_access_levels: level(rule.pushLevel) }
    : {
        name: rule.pattern,
        push_access_levels: level(rule.pushLevel),
        merge_access_levels: level(rule.mergeLevel),
        allow_force_push: rule.allowForcePush,
      };
}

export function commit(web: string, one: Commit) {
  return {
    id: one.id,
    short_id: one.id.slice(0, 8),
    created_at: one.committedDate,
    parent_ids: one.parentIds,
    title: one.title,
    message: one.message,
    author_name: one.authorName,
    author_email: one.authorEmail,
    authored_date: one.authoredDate,
    committer_name: one.committerName,
    committer_email: one.committerEmail,
    committed_date: one.committedDate,
    trailers: {},
    web_url: `${web}/-/commit/${one.id}`,
  };
}

export function branch(web: string, one: Branch, canPush: boolean) {
  return {
    name: one.name,
    commit: commit(web, one.commit),
    merged: one.merged,
    protected: one.protected,
    developers_can_push: false,
    developers_can_merge: false,
    can_push: canPush,
    default: one.default,
    web_url: `${web}/-/tree/${encodeURIComponent(one.name)}`,
  };
}

export function tag(web: string, one: Tag, release: Release | undefined) {
  return {
    name: one.name,
    message: one.message,
    target: one.target,
    commit: commit(web, one.commit),
    release: release === undefined ? null : { tag_name: release.tag, description: release.description },
    protected: one.protected,
    created_at: one.message === '' ? null : one.commit.committedDate,
  };
}

/** @param path of the project. There are no pages: a link's own address is the API's, where a token is heard, too. */
export function releaseLink(base: string, path: string, tagName: string, link: ReleaseLinkEntry) {
  const root = `${base}/api/v4/projects/${encodeURIComponent(path)}/releases/${encodeURIComponent(tagName)}`;
  const direct = link.directAssetPath === null ? link.url : `${root}/downloads${link.directAssetPath}`;
  return { id: link.id, name: link.name, url: link.url, direct_asset_url: direct, link_type: link.linkType };
}

export function release(base: string, path: string, one: Release, now: number) {
  const web = `${base}/${path}`;
  const tagName = encodeURIComponent(one.tag);
  return {
    tag_name: one.tag,
    name: one.name,
    description: one.description,
    created_at: isoTime(one.createdAt),
    released_at: isoTime(one.releasedAt),
    upcoming_release: one.releasedAt > now,
    author: userBrief(base, one.author),
    commit: one.commit === null ? null : commit(web, one.commit),
    milestones: [],
    commit_path: `${new URL(web).pathname}/-/commit/${one.sha}`,
    tag_path: `${new URL(web).pathname}/-/tags/${tagName}`,
    assets: { count: one.links.length, sources: [], links: one.links.map((link) => releaseLink(base, path, one.tag, link)) },
    evidences: [],
    _links: { self: `${web}/-/releases/${tagName}`, edit_url: `${web}/-/releases/${tagName}/edit` },
  };
}

export function pipeline(web: string, one: PipelineRecord) {
  return {
    id: one.id,
    iid: one.iid,
    project_id: one.projectId,
    sha: one.sha,
    ref: one.ref,
    status: one.status,
    source: one.source,
    created_at: isoTime(one.createdAt),
    updated_at: isoTime(one.updatedAt),
    web_url: `${web}/-/pipelines/${one.id}`,
    name: one.name,
  };
}
export function pipelineFull(base: string, web: string, one: PipelineRecord, user: User, coverage: number | null) {
  const duration = one.startedAt !== null && one.finishedAt !== null ? Math.round((one.finishedAt - one.startedAt) / 1000) : null;
  return {
    ...pipeline(web, one),
    before_sha: one.beforeSha,
    tag: one.tag,
    yaml_errors: one.yamlErrors,
    user: userBrief(base, user),
    started_at: isoTimeOrNull(one.startedAt),
    finished_at: isoTimeOrNull(one.finishedAt),
    committed_at: null,
    duration,
    queued_duration: null,
    coverage: coverage === null ? null : coverage.toFixed(2),
    detailed_status: {
      text: one.status,
      label: one.status,
      group: one.status,
      icon: `status_${one.status}`,
      details_path: `${new URL(web).pathname}/-/pipelines/${one.id}`,
    },
  };
}

export function job(
  base: string,
  web: string,
  one: JobRecord,
  extra: { user: User; pipeline: PipelineRecord; commit: Commit | undefined },
) {
  const duration = one.startedAt === null || one.finishedAt === null ? null : (one.finishedAt - one.startedAt) / 1000;
  const artifacts =
    one.artifactsFile === null
      ? []
      : [{ file_type: 'archive', size: one.artifactsSizeBytes, filename: one.artifactsFile, file_format: 'zip' }];
  return {
    id: one.id,
    status: one.status,
    stage: one.stage,
    name: one.name,
    ref: one.ref,
    tag: one.tag,
    coverage: one.coverage,
    allow_failure: one.allowFailure,
    created_at: isoTime(one.createdAt),
    started_at: isoTimeOrNull(one.startedAt),
    finished_at: isoTimeOrNull(one.finishedAt),
    erased_at: isoTimeOrNull(one.erasedAt),
    duration,
    queued_duration: one.queuedAt === null || one.startedAt === null ? null : (one.startedAt - one.queuedAt) / 1000,
    user: userBrief(base, extra.user),
    commit: extra.commit === undefined ? null : commit(web, extra.commit),
    pipeline: pipeline(web, extra.pipeline),
    web_url: `${web}/-/jobs/${one.id}`,
    project: { ci_job_token_scope_enabled: true },
    artifacts,
    artifacts_file: artifacts[0] === undefined ? undefined : { filename: artifacts[0].filename, size: artifacts[0].size },
    artifacts_expire_at: isoTimeOrNull(one.artifactsExpireAt),
    runner: one.runnerId === null ? null : { id: one.runnerId },
    tag_list: one.tags,
    failure_reason: one.failureReason ?? undefined,
    // Ours for builds (GitLab has it for bridges): why it failed before a runner had a word in it.
    failure_message: one.failureText ?? undefined,
  };
}

export function runner(one: RunnerRecord) {
  return {
    id: one.id,
    description: one.description,
    runner_type: `${one.scope}_type`,
    active: !one.paused,
    paused: one.paused,
    is_shared: one.scope === 'instance',
    tag_list: one.tags,
    run_untagged: one.runUntagged,
    access_level: one.protectedOnly ? 'ref_protected' : 'not_protected',
    contacted_at: isoTimeOrNull(one.contactAt),
    version: one.version,
    online: one.contactAt !== null,
    trust: one.trust,
    unsafe_accepted: one.unsafeAccepted,
    signed: one.publicKey !== null,
    pinned_verdict: one.pinned?.verdict ?? null,
    pinned_reasons: one.pinned?.reasons ?? [],
    pinned_at: isoTimeOrNull(one.pinned?.at ?? null),
    responsible_user_id: one.responsibleId ?? one.creatorId,
    vouched: one.vouched,
    assist: one.assist,
    locked: one.locked,
    maximum_timeout: one.maximumTimeoutSeconds,
    maintenance_note: one.maintenanceNote,
    token_expires_at: isoTimeOrNull(one.tokenExpiresAt),
  };
}

export function manager(one: ManagerRecord) {
  return {
    id: one.id,
    system_id: one.systemId,
    version: one.version ?? '',
    revision: one.revision ?? '',
    platform: one.platform ?? '',
    architecture: one.architecture ?? '',
    created_at: isoTime(one.createdAt),
    contacted_at: isoTime(one.contactAt),
    ip_address: null,
  };
}

export function auditRow(one: AuditRow) {
  return {
    id: one.id,
    at: isoTime(one.at),
    decision: one.decision,
    subject: one.subject,
    pass_id: one.passId,
    pass_kind: one.passKind ?? '',
    job_id: one.jobId,
    pipeline_id: one.pipelineId,
    job_project_id: one.jobProjectId,
    principals: one.principals,
    accesses: one.accesses,
    door: one.door,
    endpoint: one.endpoint,
    rule: one.rule,
    reason: one.reason,
    request_id: one.requestId,
    count: one.count,
    outcome: one.outcome,
    outcome_at: isoTimeOrNull(one.outcomeAt),
    outcome_detail: one.outcomeDetail,
  };
}
