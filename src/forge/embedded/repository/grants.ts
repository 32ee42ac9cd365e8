import { assert } from '../../../base/assert.ts';
import type { ProjectId } from '../../../base/ids.ts';
import { type Grant, type Permission, verifyGrant } from '../../../pass/grant.ts';

/** Permissions that let their holder look up a ref or a commit; what they read of it is the door's row in the endpoint table. */
export const readers: readonly Permission[] = [
  'repository:read',
  'commit:read',
  'branch:read',
  'tag:read',
  'code:download',
  'repository:write',
  'commit:create',
  'branch:write',
  'tag:write',
  'release:read',
  'release:write',
  'pipeline:create',
  'pipeline:read',
  'pipeline:update',
  'commit_status:create',
  'job:read',
  'job:run',
  'schedule:write',
  'merge_request:read',
  'project:read',
  'project:create',
];

/** Permissions that let their holder read contents. */
export const contentReaders: readonly Permission[] = ['repository:read', 'code:download', 'repository:write', 'commit:create'];

/** The grant covers one of `wanted` on the project. @throws internal */
export function requireAny(grant: Grant, project: ProjectId, wanted: readonly Permission[]): void {
  const held = grant.accesses.find(
    ({ resource, permission }) => resource.kind === 'project' && resource.id === project && wanted.includes(permission),
  );
  assert(held !== undefined, 'the grant covers no permission of the method');
  verifyGrant(grant, held.permission, { kind: 'project', id: project });
}
