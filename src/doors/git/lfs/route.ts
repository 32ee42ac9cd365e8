import type { Permission } from '../../../pass/subject.ts';
import { decodeOnce } from '../../paths.ts';

/** What a path of Git LFS asks for. */
export type LfsCall =
  | { readonly kind: 'batch' }
  | { readonly kind: 'verify' }
  | { readonly kind: 'download'; readonly oid: string }
  | { readonly kind: 'upload'; readonly oid: string; readonly sizeBytes: number }
  | { readonly kind: 'list_locks' }
  | { readonly kind: 'lock' }
  | { readonly kind: 'verify_locks' }
  | { readonly kind: 'unlock'; readonly id: string };

export interface LfsRoute {
  readonly projectPath: string;
  readonly call: LfsCall;
  /** Row of the endpoint table. */
  readonly endpoint: string;
  /** What it needs before its body is read; a batch says more in its body. */
  readonly permission: Permission;
}

const shape = /^\/(.+?)\.git\/(?:info\/lfs\/(.+)|gitlab-lfs\/objects\/(.+))$/;

export function isLfsPath(path: string): boolean {
  return shape.test(path);
}

/** @returns undefined where there is no such route. @see git-lfs docs/api; the paths of objects are GitLab's */
export function lfsRoute(method: string, path: string): LfsRoute | undefined {
  const match = shape.exec(path);
  const projectPath = decodeOnce(match?.[1] ?? '');
  if (match === null || projectPath === undefined) return undefined;
  const route = (call: LfsCall, at: string, permission: Permission): LfsRoute => ({
    projectPath,
    call,
    endpoint: `${method === 'HEAD' ? 'GET' : method} /*.git/${at}`,
    permission,
  });
  const [, , api, object] = match;
  if (object !== undefined) {
    const parts = /^([0-9a-f]{64})(?:\/(\d{1,15}))?$/.exec(object);
    const [, oid = '', size] = parts ?? [];
    if (parts === null) return undefined;
    if (method === 'GET' || method === 'HEAD') return route({ kind: 'download', oid }, 'gitlab-lfs/objects/:oid', 'code:download');
    if (method === 'PUT' && size !== undefined)
      return route({ kind: 'upload', oid, sizeBytes: Number(size) }, 'gitlab-lfs/objects/:oid/:size', 'code:push');
    return undefined;
  }
  if (method === 'GET' && api === 'locks') return route({ kind: 'list_locks' }, 'info/lfs/locks', 'code:download');
  if (method !== 'POST') return undefined;
  switch (api) {
    case 'objects/batch':
      return route({ kind: 'batch' }, 'info/lfs/objects/batch', 'code:download');
    case 'objects/verify':
      return route({ kind: 'verify' }, 'info/lfs/objects/verify', 'code:push');
    case 'locks':
      return route({ kind: 'lock' }, 'info/lfs/locks', 'code:push');
    case 'locks/verify':
      return route({ kind: 'verify_locks' }, 'info/lfs/locks/verify', 'code:push');
    case undefined:
      return undefined;
    default: {
      const id = /^locks\/(\d{1,15})\/unlock$/.exec(api)?.[1];
      return id === undefined ? undefined : route({ kind: 'unlock', id }, 'info/lfs/locks/:id/unlock', 'code:push');
    }
  }
}
