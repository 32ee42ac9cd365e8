import type { Permission } from './permissions.ts';

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/**
 * Where the resource of an endpoint's permissions comes from. `:id` = the first path parameter (number or URL-encoded path).
 * `self` = the instance, asked about the caller. `body:namespace_id` etc. = the handler resolves it from the body before it admits.
 */
export type ResourceFrom = 'project' | 'group' | 'user' | 'job' | 'instance' | 'body';

export interface Endpoint {
  readonly method: Method;
  /** Route pattern with `:name` parameters and at most one final `*`. */
  readonly path: string;
  readonly permissions: readonly Permission[];
  readonly from: ResourceFrom;
  /** Answers a list that is filtered by every principal (R3). */
  readonly list?: true;
  /** What is answered depends on who asks in more than the permissions (internal notes, confidential issues, `artifacts:access`): not for several principals. */
  readonly personal?: true;
  /** Anonymous callers are not even looked at: 401. */
  readonly signedIn?: true;
  /** More accesses are admitted by the handler, together with these, when the body asks for them. */
  readonly more?: readonly Permission[];
}

const P = '/api/v4/projects/:id';
const G = '/api/v4/groups/:id';
const row = (
  method: Method,
  path: string,
  from: ResourceFrom,
  permissions: readonly Permission[],
  rest: Partial<Endpoint> = {},
): Endpoint => ({ method, path, from, permissions, ...rest });

/**
 * Endpoint → accesses, as data; for both forges and every door. HEAD is GET. What stands in no row and not in `never.ts` is refused (R13).
 * @see GitLab REST API pages of the same names
 */
export const endpoints: readonly Endpoint[] = [
  // Identity and instance
  row('GET', '/api/v4/version', 'instance', ['metadata:read']),
  row('GET', '/api/v4/metadata', 'instance', ['metadata:read']),
  row('GET', '/api/v4/user', 'instance', ['self:read']),
  row('GET', '/api/v4/users', 'instance', ['user:list']),
  row('POST', '/api/v4/users', 'instance', ['user:create']),
  row('GET', '/api/v4/users/:id', 'user', ['user:read']),
  row('POST', '/api/v4/users/:id/block', 'user', ['user:update']),
  row('POST', '/api/v4/users/:id/unblock', 'user', ['user:update']),
  row('POST', '/api/v4/users/:id/personal_access_tokens', 'user', ['user:update']),
  row('GET', '/api/v4/users/:id/impersonation_tokens', 'user', ['user:update']),
  row('POST', '/api/v4/users/:id/impersonation_tokens', 'user', ['user:update']),
  row('DELETE', '/api/v4/users/:id/impersonation_tokens/:token_id', 'user', ['user:update']),
  row('POST', '/api/v4/user/personal_access_tokens', 'instance', ['token:create']),
  row('GET', '/api/v4/personal_access_tokens', 'instance', ['token:read']),
  row('GET', '/api/v4/personal_access_tokens/self', 'instance', ['self:read']),
  row('DELETE', '/api/v4/personal_access_tokens/self', 'instance', ['token:revoke']),
  row('DELETE', '/api/v4/personal_access_tokens/:id', 'instance', ['token:revoke']),
  row('GET', '/api/v4/job', 'instance', ['job:self']),

  // Groups
  row('GET', '/api/v4/groups', 'instance', ['group:list'], { list: true }),
  row('POST', '/api/v4/groups', 'body', ['group:create'], { more: ['subgroup:create'] }),
  row('GET', G, 'group', ['group:read']),
  row('GET', `${G}/projects`, 'group', ['group:read'], { list: true }),
  row('GET', `${G}/subgroups`, 'group', ['group:read'], { list: true }),
  row('GET', `${G}/members`, 'group', ['group_member:read']),
  row('GET', `${G}/members/all`, 'group', ['group_member:read']),
  row('GET', `${G}/members/:user_id`, 'group', ['group_member:read']),
  row('GET', `${G}/members/all/:user_id`, 'group', ['group_member:read']),
  row('POST', `${G}/members`, 'group', ['group_member:write']),
  row('PUT', `${G}/members/:user_id`, 'group', ['group_member:write'], { more: ['group_member:read'] }),
  row('DELETE', `${G}/members/:user_id`, 'group', ['group_member:write']),

  // Projects
  row('GET', '/api/v4/projects', 'instance', ['project:list'], { list: true }),
  row('POST', '/api/v4/projects', 'body', ['project:create'], { more: ['commit:create'] }),
  row('GET', P, 'project', ['project:read']),
  row('PUT', P, 'project', ['project:settings']),
  row('DELETE', P, 'project', ['project:delete']),
  row('POST', `${P}/fork`, 'project', ['project:fork'], { more: ['self:read', 'project:create'] }),
  row('GET', `${P}/forks`, 'project', ['project:read'], { list: true }),
  row('POST', `${P}/archive`, 'project', ['project:delete']),
  row('POST', `${P}/unarchive`, 'project', ['project:delete']),
  row('GET', `${P}/members`, 'project', ['member:read']),
  row('GET', `${P}/members/all`, 'project', ['member:read']),
  row('GET', `${P}/members/:user_id`, 'project', ['member:read']),
  row('GET', `${P}/members/all/:user_id`, 'project', ['member:read']),
  row('POST', `${P}/members`, 'project', ['member:write']),
  row('PUT', `${P}/members/:user_id`, 'project', ['member:write'], { more: ['member:read'] }),
  row('DELETE', `${P}/members/:user_id`, 'project', ['member:write']),
  row('GET', `${P}/protected_branches`, 'project', ['protection:read']),
  row('GET', `${P}/protected_branches/:name`, 'project', ['protection:read']),
  row('POST', `${P}/protected_branches`, 'project', ['protection:write']),
  row('DELETE', `${P}/protected_branches/:name`, 'project', ['protection:write']),
  row('GET', `${P}/protected_tags`, 'project', ['protection:read']),
  row('GET', `${P}/protected_tags/:name`, 'project', ['protection:read']),
  row('POST', `${P}/protected_tags`, 'project', ['protection:write']),
  row('DELETE', `${P}/protected_tags/:name`, 'project', ['protection:write']),

  // Repository
  row('GET', `${P}/repository/tree`, 'project', ['repository:read']),
  row('GET', `${P}/repository/files/:file_path`, 'project', ['repository:read']),
  row('GET', `${P}/repository/files/:file_path/raw`, 'project', ['repository:read']),
  row('POST', `${P}/repository/files/:file_path`, 'project', ['repository:write']),
  row('PUT', `${P}/repository/files/:file_path`, 'project', ['repository:write']),
  row('DELETE', `${P}/repository/files/:file_path`, 'project', ['repository:write']),
  row('GET', `${P}/repository/branches`, 'project', ['branch:read']),
  row('POST', `${P}/repository/branches`, 'project', ['branch:write']),
  row('GET', `${P}/repository/branches/:branch`, 'project', ['branch:read']),
  row('DELETE', `${P}/repository/branches/:branch`, 'project', ['branch:write']),
  row('GET', `${P}/repository/tags`, 'project', ['tag:read']),
  row('POST', `${P}/repository/tags`, 'project', ['tag:write']),
  row('GET', `${P}/repository/tags/:tag_name`, 'project', ['tag:read']),
  row('DELETE', `${P}/repository/tags/:tag_name`, 'project', ['tag:write']),
  row('GET', `${P}/repository/commits`, 'project', ['commit:read']),
  row('POST', `${P}/repository/commits`, 'project', ['commit:create']),
  row('GET', `${P}/repository/commits/:sha`, 'project', ['commit:read'], { more: ['pipeline:read'] }),
  row('GET', `${P}/repository/commits/:sha/refs`, 'project', ['commit:read']),
  row('GET', `${P}/repository/commits/:sha/statuses`, 'project', ['commit:read', 'pipeline:read']),
  row('POST', `${P}/statuses/:sha`, 'project', ['commit_status:create']),
  row('GET', `${P}/repository/commits/:sha/diff`, 'project', ['commit:read']),
  row('GET', `${P}/repository/compare`, 'project', ['repository:read']),
  row('GET', `${P}/repository/merge_base`, 'project', ['repository:read']),
  row('GET', `${P}/repository/archive`, 'project', ['code:download']),
  row('GET', `${P}/repository/archive.tar.gz`, 'project', ['code:download']),
  row('GET', `${P}/repository/archive.zip`, 'project', ['code:download']),
  row('GET', `${P}/events`, 'project', ['commit:read'], { personal: true }),

  // Releases
  row('GET', `${P}/releases`, 'project', ['release:read']),
  row('POST', `${P}/releases`, 'project', ['release:write'], { more: ['tag:write', 'project:read'] }),
  row('GET', `${P}/releases/:tag_name`, 'project', ['release:read']),
  row('PUT', `${P}/releases/:tag_name`, 'project', ['release:write']),
  row('DELETE', `${P}/releases/:tag_name`, 'project', ['release:write']),
  row('GET', `${P}/releases/permalink/latest`, 'project', ['release:read']),
  row('GET', `${P}/releases/:tag_name/downloads/*`, 'project', ['release:read']),
  row('GET', `${P}/releases/:tag_name/assets/links`, 'project', ['release:read']),
  row('POST', `${P}/releases/:tag_name/assets/links`, 'project', ['release:write'], { more: ['project:read'] }),
  row('GET', `${P}/releases/:tag_name/assets/links/:link_id`, 'project', ['release:read']),
  row('PUT', `${P}/releases/:tag_name/assets/links/:link_id`, 'project', ['release:write'], { more: ['project:read'] }),
  row('DELETE', `${P}/releases/:tag_name/assets/links/:link_id`, 'project', ['release:write']),

  // Merge requests
  row('GET', `${P}/merge_requests`, 'project', ['merge_request:read']),
  row('POST', `${P}/merge_requests`, 'project', ['merge_request:create'], { more: ['merge_request:read', 'code:download'] }),
  row('GET', `${P}/merge_requests/:iid`, 'project', ['merge_request:read']),
  row('PUT', `${P}/merge_requests/:iid`, 'project', ['merge_request:update']),
  row('PUT', `${P}/merge_requests/:iid/merge`, 'project', ['merge_request:merge'], { more: ['branch:write'] }),
  row('GET', `${P}/merge_requests/:iid/commits`, 'project', ['merge_request:read']),
  row('GET', `${P}/merge_requests/:iid/closes_issues`, 'project', ['merge_request:read', 'work_item:read'], { personal: true }),
  row('GET', `${P}/merge_requests/:iid/changes`, 'project', ['merge_request:read']),
  row('GET', `${P}/merge_requests/:iid/versions`, 'project', ['merge_request:read']),
  row('GET', `${P}/merge_requests/:iid/versions/:version_id`, 'project', ['merge_request:read']),
  row('GET', `${P}/merge_requests/:iid/approvals`, 'project', ['merge_request:read']),
  row('GET', `${P}/merge_requests/:iid/discussions`, 'project', ['merge_request:read'], { personal: true }),
  row('GET', `${P}/issues`, 'project', ['work_item:read'], { personal: true }),
  row('GET', `${P}/merge_requests/:iid/diffs`, 'project', ['merge_request:read']),
  row('GET', `${P}/merge_requests/:iid/notes`, 'project', ['merge_request:read'], { personal: true }),
  row('POST', `${P}/merge_requests/:iid/notes`, 'project', ['merge_request:update']),
  row('GET', `${P}/merge_requests/:iid/notes/:note_id`, 'project', ['merge_request:read'], { personal: true }),
  row('PUT', `${P}/merge_requests/:iid/notes/:note_id`, 'project', ['merge_request:update']),
  row('DELETE', `${P}/merge_requests/:iid/notes/:note_id`, 'project', ['merge_request:update']),
  row('GET', `${P}/merge_requests/:iid/pipelines`, 'project', ['merge_request:read', 'pipeline:read']),
  row('POST', `${P}/merge_requests/:iid/pipelines`, 'project', ['merge_request:read', 'pipeline:create']),
  row('GET', `${P}/repository/commits/:sha/merge_requests`, 'project', ['commit:read', 'merge_request:read']),

  // Packages and uploads
  row('GET', `${P}/packages`, 'project', ['package:read']),
  row('GET', `${P}/packages/:package_id`, 'project', ['package:read']),
  row('GET', `${P}/packages/:package_id/package_files`, 'project', ['package:read']),
  row('DELETE', `${P}/packages/:package_id`, 'project', ['package:delete']),
  row('GET', `${P}/packages/generic/:package_name/:package_version/*`, 'project', ['package:read']),
  row('PUT', `${P}/packages/generic/:package_name/:package_version/*`, 'project', ['package:write']),
  row('POST', `${P}/uploads`, 'project', ['upload:create']),
  row('GET', `${P}/uploads/:secret/:filename`, 'project', ['project:read']),
  row('GET', '/-/project/:id/uploads/:secret/:filename', 'project', ['project:read']),

  // Pipelines and jobs
  row('POST', `${P}/pipeline`, 'project', ['pipeline:create']),
  row('GET', `${P}/ci/lint`, 'project', ['ci_config:read'], { signedIn: true }),
  row('POST', `${P}/ci/lint`, 'project', ['ci_config:lint']),
  row('GET', `${P}/pipelines`, 'project', ['pipeline:read']),
  row('GET', `${P}/pipelines/latest`, 'project', ['pipeline:read']),
  row('GET', `${P}/pipelines/:pipeline_id`, 'project', ['pipeline:read']),
  row('GET', `${P}/pipelines/:pipeline_id/jobs`, 'project', ['job:read']),
  row('GET', `${P}/pipelines/:pipeline_id/bridges`, 'project', ['job:read'], { more: ['pipeline:read'] }),
  row('GET', `${P}/pipelines/:pipeline_id/variables`, 'project', ['pipeline:update']),
  row('POST', `${P}/pipelines/:pipeline_id/cancel`, 'project', ['pipeline:update']),
  row('POST', `${P}/pipelines/:pipeline_id/retry`, 'project', ['pipeline:update'], { more: ['pipeline:update'] }),
  row('DELETE', `${P}/pipelines/:pipeline_id`, 'project', ['pipeline:delete']),
  row('PUT', `${P}/pipelines/:pipeline_id/metadata`, 'project', ['pipeline:update']),
  row('GET', `${P}/resource_groups`, 'project', ['job:read']),
  row('GET', `${P}/resource_groups/:key`, 'project', ['job:read']),
  row('GET', `${P}/resource_groups/:key/current_job`, 'project', ['job:read']),
  row('GET', `${P}/resource_groups/:key/upcoming_jobs`, 'project', ['job:read']),
  row('PUT', `${P}/resource_groups/:key`, 'project', ['resource_group:write']),
  row('GET', `${P}/environments`, 'project', ['environment:read']),
  row('GET', `${P}/environments/:environment_id`, 'project', ['environment:read']),
  row('POST', `${P}/environments/:environment_id/stop`, 'project', ['environment:write'], { more: ['job:run'] }),
  row('DELETE', `${P}/environments/:environment_id`, 'project', ['environment:write']),
  row('GET', `${P}/deployments`, 'project', ['deployment:read', 'job:read']),
  row('GET', `${P}/deployments/:deployment_id`, 'project', ['deployment:read', 'job:read']),
  row('GET', `${P}/jobs`, 'project', ['job:read']),
  row('GET', `${P}/jobs/:job_id`, 'project', ['job:read']),
  row('GET', `${P}/jobs/:job_id/trace`, 'project', ['job:read']),
  row('GET', `${P}/jobs/artifacts/:ref_name/download`, 'project', ['artifact:read'], { personal: true }),
  row('GET', `${P}/jobs/artifacts/:ref_name/raw/*`, 'project', ['artifact:read'], { personal: true }),
  row('GET', `${P}/jobs/:job_id/artifacts`, 'project', ['artifact:read'], {
    more: ['artifact:read_developer', 'artifact:read_maintainer'],
  }),
  row('GET', `${P}/jobs/:job_id/artifacts/*`, 'project', ['artifact:read'], { personal: true }),
  row('POST', `${P}/jobs/:job_id/cancel`, 'project', ['job:update']),
  row('POST', `${P}/jobs/:job_id/retry`, 'project', ['job:run'], { more: ['pipeline:update'] }),
  row('POST', `${P}/jobs/:job_id/play`, 'project', ['job:run'], { more: ['pipeline:update'] }),
  row('POST', `${P}/jobs/:job_id/erase`, 'project', ['job:erase']),

  // Schedules
  row('GET', `${P}/pipeline_schedules`, 'project', ['schedule:read']),
  row('POST', `${P}/pipeline_schedules`, 'project', ['schedule:write']),
  row('GET', `${P}/pipeline_schedules/:schedule_id`, 'project', ['schedule:read']),
  row('PUT', `${P}/pipeline_schedules/:schedule_id`, 'project', ['schedule:write']),
  row('DELETE', `${P}/pipeline_schedules/:schedule_id`, 'project', ['schedule:write']),
  row('POST', `${P}/pipeline_schedules/:schedule_id/play`, 'project', ['schedule:write']),
  row('POST', `${P}/pipeline_schedules/:schedule_id/take_ownership`, 'project', ['schedule:write']),
  row('POST', `${P}/pipeline_schedules/:schedule_id/variables`, 'project', ['schedule:write']),
  row('PUT', `${P}/pipeline_schedules/:schedule_id/variables/:key`, 'project', ['schedule:write']),
  row('DELETE', `${P}/pipeline_schedules/:schedule_id/variables/:key`, 'project', ['schedule:write']),
  // CI/CD variables
  row('GET', `${P}/variables`, 'project', ['variable:read']),
  row('POST', `${P}/variables`, 'project', ['variable:write']),
  row('GET', `${P}/variables/:key`, 'project', ['variable:read']),
  row('PUT', `${P}/variables/:key`, 'project', ['variable:write']),
  row('DELETE', `${P}/variables/:key`, 'project', ['variable:write']),
  row('GET', `${G}/variables`, 'group', ['group_variable:read']),
  row('POST', `${G}/variables`, 'group', ['group_variable:write']),
  row('GET', `${G}/variables/:key`, 'group', ['group_variable:read']),
  row('PUT', `${G}/variables/:key`, 'group', ['group_variable:write']),
  row('DELETE', `${G}/variables/:key`, 'group', ['group_variable:write']),
  row('GET', '/api/v4/admin/ci/variables', 'instance', ['instance:settings']),
  row('POST', '/api/v4/admin/ci/variables', 'instance', ['instance:settings']),
  row('GET', '/api/v4/admin/ci/variables/:key', 'instance', ['instance:settings']),
  row('PUT', '/api/v4/admin/ci/variables/:key', 'instance', ['instance:settings']),
  row('DELETE', '/api/v4/admin/ci/variables/:key', 'instance', ['instance:settings']),

  // Trigger tokens
  row('GET', `${P}/triggers`, 'project', ['trigger:read']),
  row('POST', `${P}/triggers`, 'project', ['trigger:write']),
  row('GET', `${P}/triggers/:trigger_id`, 'project', ['trigger:read']),
  row('PUT', `${P}/triggers/:trigger_id`, 'project', ['trigger:write']),
  row('DELETE', `${P}/triggers/:trigger_id`, 'project', ['trigger:write']),
  row('POST', `${P}/trigger/pipeline`, 'project', ['pipeline:create']),
  row('POST', `${P}/ref/:ref/trigger/pipeline`, 'project', ['pipeline:create']),

  // Runners: their own calls. Before the others: `managers` is no id.
  row('POST', '/api/v4/runners', 'body', ['runner:write'], { more: ['project_runner:write', 'group_runner:write'] }),
  row('POST', '/api/v4/runners/verify', 'instance', ['runner:self']),
  row('DELETE', '/api/v4/runners', 'instance', ['runner:self']),
  row('DELETE', '/api/v4/runners/managers', 'instance', ['runner:self']),
  row('POST', '/api/v4/runners/reset_authentication_token', 'instance', ['runner:self']),
  row('GET', '/api/v4/runners/router/discovery', 'instance', ['runner:self']),
  row('POST', '/api/v4/jobs/request', 'instance', ['runner:self']),
  row('PUT', '/api/v4/jobs/:id', 'job', ['job:report']),
  row('PATCH', '/api/v4/jobs/:id/trace', 'job', ['job:report']),
  row('POST', '/api/v4/jobs/:id/artifacts', 'job', ['job:report']),
  row('POST', '/api/v4/jobs/:id/artifacts/authorize', 'job', ['job:report']),
  row('GET', '/api/v4/jobs/:id/artifacts', 'instance', ['job:self']),

  // Runners: administration
  row('POST', '/api/v4/user/runners', 'body', ['runner:write'], { more: ['project_runner:write', 'group_runner:write'] }),
  row('GET', '/api/v4/runners/all', 'instance', ['runner:read']),
  row('GET', '/api/v4/runners/:id', 'instance', ['runner:read']),
  row('PUT', '/api/v4/runners/:id', 'instance', ['runner:write']),
  row('DELETE', '/api/v4/runners/:id', 'instance', ['runner:write']),
  row('GET', '/api/v4/runners/:id/managers', 'instance', ['runner:read']),
  row('POST', '/api/v4/runners/:id/reset_authentication_token', 'instance', ['runner:write']),
  row('POST', '/api/v4/runners/reset_registration_token', 'instance', ['runner:write']),
  row('POST', `${P}/runners/reset_registration_token`, 'project', ['project_runner:write']),
  row('POST', `${G}/runners/reset_registration_token`, 'group', ['group_runner:write']),
  row('GET', '/api/v4/application/settings', 'instance', ['instance:settings']),
  row('PUT', '/api/v4/application/settings', 'instance', ['instance:settings']),

  // git over HTTP; `*` stands before the suffix: the project's path
  row('GET', '/*.git/info/refs?service=git-upload-pack', 'project', ['code:download']),
  row('POST', '/*.git/git-upload-pack', 'project', ['code:download']),
  row('GET', '/*.git/info/refs?service=git-receive-pack', 'project', ['code:push']),
  row('POST', '/*.git/git-receive-pack', 'project', ['code:push']),

  // Git LFS
  row('POST', '/*.git/info/lfs/objects/batch', 'project', ['code:download'], { more: ['code:push'] }),
  row('POST', '/*.git/info/lfs/objects/verify', 'project', ['code:push']),
  row('GET', '/*.git/gitlab-lfs/objects/:oid', 'project', ['code:download']),
  row('PUT', '/*.git/gitlab-lfs/objects/:oid/:size', 'project', ['code:push']),
  row('GET', '/*.git/info/lfs/locks', 'project', ['code:download']),
  row('POST', '/*.git/info/lfs/locks', 'project', ['code:push']),
  row('POST', '/*.git/info/lfs/locks/verify', 'project', ['code:push']),
  row('POST', '/*.git/info/lfs/locks/:id/unlock', 'project', ['code:push'], { more: ['lfs_lock:force'] }),

  // Container registry, over the REST API
  row('GET', `${P}/registry/repositories`, 'project', ['container:read']),
  row('GET', '/api/v4/registry/repositories/:repository_id', 'body', ['container:read']),
  row('GET', `${P}/registry/repositories/:repository_id`, 'project', ['container:read']),
  row('DELETE', `${P}/registry/repositories/:repository_id`, 'project', ['container:admin']),
  row('GET', `${P}/registry/repositories/:repository_id/tags`, 'project', ['container:read']),
  row('GET', `${P}/registry/repositories/:repository_id/tags/:tag_name`, 'project', ['container:read']),
  row('DELETE', `${P}/registry/repositories/:repository_id/tags/:tag_name`, 'project', ['container:read', 'container:delete']),

  // Container registry; `*` stands for the repository's name
  row('GET', '/jwt/auth', 'instance', ['registry:login'], { more: ['container:read', 'container:push', 'container:admin'] }),
  row('GET', '/v2', 'instance', ['registry:login']),
  row('GET', '/v2/*/blobs/:digest', 'project', ['container:read']),
  row('DELETE', '/v2/*/blobs/:digest', 'project', ['container:admin']),
  row('POST', '/v2/*/blobs/uploads', 'project', ['container:push'], { more: ['container:read'] }),
  row('GET', '/v2/*/blobs/uploads/:id', 'project', ['container:push']),
  row('PATCH', '/v2/*/blobs/uploads/:id', 'project', ['container:push']),
  row('PUT', '/v2/*/blobs/uploads/:id', 'project', ['container:push']),
  row('DELETE', '/v2/*/blobs/uploads/:id', 'project', ['container:push']),
  row('GET', '/v2/*/manifests/:reference', 'project', ['container:read']),
  row('PUT', '/v2/*/manifests/:reference', 'project', ['container:push']),
  row('DELETE', '/v2/*/manifests/:reference', 'project', ['container:admin']),
  row('GET', '/v2/*/tags/list', 'project', ['container:read']),
  row('GET', '/v2/*/referrers/:digest', 'project', ['container:read']),

  // A pass about itself
  row('POST', '/-/jobpass/oauth/revoke', 'instance', ['pass:self']),
  row('POST', '/-/jobpass/oauth/introspect', 'instance', ['pass:self']),
  row('POST', '/-/jobpass/oauth/token', 'instance', ['pass:self'], { more: ['project:read', 'group:read'] }),

  // Administration of jobpass itself
  row('GET', '/api/v4/jobpass/audit', 'instance', ['audit:read']),
  row('GET', `${P}/jobpass`, 'project', ['project:read']),
  row('GET', `${P}/jobs/:job_id/jobpass`, 'project', ['job:read']),
  row('PUT', `${P}/jobpass`, 'project', ['project:settings']),
  row('GET', '/api/v4/jobpass/ceiling', 'instance', ['instance:settings']),
  row('PUT', '/api/v4/jobpass/ceiling', 'instance', ['instance:settings'], { more: ['project:read', 'group:read'] }),
  row('DELETE', '/api/v4/jobpass/ceiling', 'instance', ['instance:settings']),
  row('GET', `${G}/jobpass/ceiling`, 'group', ['group:settings']),
  row('PUT', `${G}/jobpass/ceiling`, 'group', ['group:settings'], { more: ['project:read', 'group:read'] }),
  row('DELETE', `${G}/jobpass/ceiling`, 'group', ['group:settings']),
  row('GET', `${P}/jobpass/ceiling`, 'project', ['project:settings']),
  row('PUT', `${P}/jobpass/ceiling`, 'project', ['project:settings'], { more: ['project:read', 'group:read'] }),
  row('DELETE', `${P}/jobpass/ceiling`, 'project', ['project:settings']),
  row('GET', '/api/v4/user/jobpass/ceiling', 'instance', ['self:settings']),
  row('PUT', '/api/v4/user/jobpass/ceiling', 'instance', ['self:settings'], { more: ['project:read', 'group:read'] }),
  row('DELETE', '/api/v4/user/jobpass/ceiling', 'instance', ['self:settings']),
  row('GET', '/api/v4/user/jobpass', 'instance', ['self:read']),
  row('PUT', '/api/v4/user/jobpass', 'instance', ['self:settings']),
  row('GET', '/api/v4/user/jobpass/trusted_projects', 'instance', ['self:read']),
  row('PUT', '/api/v4/user/jobpass/trusted_projects/:id', 'project', ['project:read'], { more: ['self:settings'] }),
  row('DELETE', '/api/v4/user/jobpass/trusted_projects/:id', 'instance', ['self:settings']),
];

/** Routes that answer anyone without asking who: nothing about anybody is in them. */
export const openRoutes: readonly string[] = [
  'GET /',
  'GET /-/health',
  'GET /-/liveness',
  'GET /-/readiness',
  'GET /-/metrics',
  'GET /-/jobpass/oauth/.well-known/oauth-authorization-server',
  'GET /.well-known/openid-configuration',
  'GET /oauth/discovery/keys',
];
