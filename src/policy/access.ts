import type { GroupId, JobId, ProjectId, UserId } from '../base/ids.ts';
import type { Permission } from './permissions.ts';

/** What a request is about. Always by number, never by name (R14). */
export type Resource =
  | { readonly kind: 'project'; readonly id: ProjectId }
  | { readonly kind: 'group'; readonly id: GroupId }
  | { readonly kind: 'user'; readonly id: UserId }
  /** A job asking about itself, or its runner about it. */
  | { readonly kind: 'job'; readonly id: JobId }
  | { readonly kind: 'instance' };

/** A permission asked on a resource. */
export interface Access {
  readonly permission: Permission;
  readonly resource: Resource;
}

/** `code:push@project:7`, `project:read@instance`: how an access stands in the audit trail. */
export function accessText(access: Access): string {
  const { resource } = access;
  return resource.kind === 'instance' ? `${access.permission}@instance` : `${access.permission}@${resource.kind}:${resource.id}`;
}
