import type { Endpoint, Method } from './endpoints.ts';
import type { Permission } from './permissions.ts';

const P = '/api/v4/projects/:id';
const row = (method: Method, path: string, permissions: readonly Permission[], rest: Partial<Endpoint> = {}): Endpoint => ({
  method,
  path: `${P}${path}`,
  from: 'project',
  permissions,
  ...rest,
});
const personal = { personal: true } as const;

/**
 * What a GitLab has and our own forge has not: rows that only the gateway serves, beside the shared table, which comes first. To the embedded forge
 * these are unknown routes. What clients call of GitLab's API for releases, merge requests, issues, packages and pipelines stands here; the rest is refused (R13).
 */
export const gatewayEndpoints: readonly Endpoint[] = [
  // Repository
  row('GET', '/languages', ['project:read']),
  row('GET', '/repository/contributors', ['repository:read']),
  row('GET', '/repository/changelog', ['repository:read']),
  row('GET', '/repository/blobs/:sha', ['repository:read']),
  row('GET', '/repository/blobs/:sha/raw', ['repository:read']),
  row('GET', '/repository/files/:file_path/blame', ['repository:read']),
  row('GET', '/repository/commits/:sha/comments', ['commit:read'], personal),

  // Merge requests
  row('POST', '/merge_requests/:iid/approve', ['merge_request:approve']),
  row('POST', '/merge_requests/:iid/unapprove', ['merge_request:approve']),
  row('POST', '/merge_requests/:iid/discussions', ['merge_request:update']),

  // Issues
  row('POST', '/issues', ['work_item:write']),
  row('GET', '/issues/:iid', ['work_item:read'], personal),
  row('PUT', '/issues/:iid', ['work_item:write']),
  row('GET', '/issues/:iid/notes', ['work_item:read'], personal),
  row('POST', '/issues/:iid/notes', ['work_item:write']),
  row('GET', '/issues/:iid/notes/:note_id', ['work_item:read'], personal),
  row('PUT', '/issues/:iid/notes/:note_id', ['work_item:write']),
  row('GET', '/milestones', ['work_item:read']),
  row('GET', '/milestones/:milestone_id', ['work_item:read']),
  row('PUT', '/milestones/:milestone_id', ['work_item:write']),
  row('GET', '/labels', ['work_item:read']),

  // Packages
  row('DELETE', '/packages/:package_id/package_files/:file_id', ['package:delete']),
  row('GET', '/packages/maven/*', ['package:read']),
  row('PUT', '/packages/maven/*', ['package:write']),
  row('GET', '/packages/npm/*', ['package:read']),
  row('PUT', '/packages/npm/:package_name', ['package:write']),
  row('GET', '/packages/pypi/*', ['package:read']),
  row('POST', '/packages/pypi', ['package:write']),

  // Pipelines and jobs
  row('GET', '/pipelines/:pipeline_id/test_report', ['pipeline:read']),
  row('GET', '/pipelines/:pipeline_id/test_report_summary', ['pipeline:read']),
];
