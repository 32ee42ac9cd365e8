import { type Digest, parseDigest } from '../../base/digest.ts';
import type { ProjectId } from '../../base/ids.ts';
import type { Directory, ProjectFacts } from '../../ports/directory.ts';
import { decodeOnce } from '../paths.ts';

/** What a path below `/v2/` asks for. @see OCI distribution-spec 1.1, "Endpoints" */
export type RegistryPath =
  | { readonly kind: 'base' }
  | { readonly kind: 'catalog' }
  | { readonly kind: 'blob'; readonly name: string; readonly digest: Digest }
  | { readonly kind: 'uploads'; readonly name: string }
  | { readonly kind: 'upload'; readonly name: string; readonly id: string }
  | { readonly kind: 'manifest'; readonly name: string; readonly reference: string }
  | { readonly kind: 'tags'; readonly name: string }
  | { readonly kind: 'referrers'; readonly name: string; readonly digest: Digest }
  /** Well-formed up to the name, then not. `what` names the part. */
  | { readonly kind: 'malformed'; readonly what: 'name' | 'digest' | 'reference' };

const nameShape = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
const tagShape = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;
const longestName = 255;

/** @returns true for a name that the specification allows, in reasonable length */
export function isRepositoryName(text: string): boolean {
  return text.length <= longestName && nameShape.test(text);
}

export function isTag(text: string): boolean {
  return tagShape.test(text);
}

/** @returns undefined where there is no such path at all */
export function parseRegistryPath(path: string): RegistryPath | undefined {
  if (path === '/v2' || path === '/v2/') return { kind: 'base' };
  if (path === '/v2/_catalog') return { kind: 'catalog' };
  const match = /^\/v2\/(.+)\/(?:(blobs|manifests|referrers)\/([^/]+)|(tags\/list)|blobs\/uploads\/([^/]*))$/.exec(path);
  if (match === null) return undefined;
  const [, name = '', kind, last = '', tags, upload] = match;
  if (!isRepositoryName(name)) return { kind: 'malformed', what: 'name' };
  if (tags !== undefined) return { kind: 'tags', name };
  if (kind === 'blobs' && last === 'uploads') return { kind: 'uploads', name };
  if (upload !== undefined) return upload === '' ? { kind: 'uploads', name } : { kind: 'upload', name, id: upload };
  const text = decodeOnce(last) ?? '';
  const digest = parseDigest(text);
  if (kind === 'manifests')
    return digest !== undefined || isTag(text)
      ? { kind: 'manifest', name, reference: text }
      : { kind: 'malformed', what: text.includes(':') ? 'digest' : 'reference' };
  if (digest === undefined) return { kind: 'malformed', what: 'digest' };
  return kind === 'blobs' ? { kind: 'blob', name, digest } : { kind: 'referrers', name, digest };
}

/** A repository name, resolved to the project that it belongs to. */
export interface NamedPlace {
  /** 0 where there is no such project: asked about all the same, so that nobody can tell unknown from hidden (A41). */
  readonly projectId: ProjectId;
  /** Below the project's path; '' = its own. */
  readonly name: string;
  readonly project: ProjectFacts | undefined;
}

/** A project in the innermost of twenty groups, and no path has more parts: whoever asks with more costs no more look-ups. */
const mostParts = 21;

/** The longest prefix of the name that is a project's path, whatever its case (GitLab: image names are the project's path or below). */
export async function placeOf(directory: Pick<Directory, 'projectByPath'>, name: string): Promise<NamedPlace> {
  const parts = name.split('/');
  for (let length = Math.min(parts.length, mostParts); length >= 2; length -= 1) {
    const project = await directory.projectByPath(null, parts.slice(0, length).join('/'));
    if (project !== undefined) return { projectId: project.id, name: parts.slice(length).join('/'), project };
  }
  return { projectId: 0 as ProjectId, name: '', project: undefined };
}
