import type { IncomingMessage } from 'node:http';
import type { RunnerId } from '../../base/ids.ts';
import type { Directory } from '../../ports/directory.ts';
import type { GatewayJobs } from '../../ports/gateway.ts';
import { credentialOf } from '../credential.ts';
import { parseScopes } from '../registry/challenge.ts';
import { placeOf } from '../registry/names.ts';
import type { PassStore } from '../../ports/passes.ts';
import { judge } from './judge.ts';

export interface AssistedDeps {
  readonly jobs: GatewayJobs;
  readonly passes: Pick<PassStore, 'forJob'>;
  readonly directory: Directory;
  /** Whether an admin lets this older runner's jobs fetch with the rights of their fetch pass (DESIGN §3). */
  readonly assists: (runner: RunnerId) => boolean;
}

/** Where runners fetch; nowhere else does a job's ordinary token gain anything. */
const fetchShape = /\.git\/(?:info\/refs|git-upload-pack|info\/lfs\/objects\/batch|gitlab-lfs\/objects\/)|^\/jwt\/auth$/;

/** True where a job's ordinary token may fetch more than by itself; that has to be found out. */
export function mayBeAssisted(path: string): boolean {
  return fetchShape.test(path);
}

/**
 * True for a fetch with the ordinary token of a job whose runner is assisted, from another project than its own: it is carried with the rights of the
 * job's fetch pass. What the token may do by itself goes to the forge as it came.
 */
export async function isAssisted(
  deps: AssistedDeps,
  request: IncomingMessage,
  { path, query, secure }: { readonly path: string; readonly query: URLSearchParams; readonly secure: boolean },
): Promise<boolean> {
  // In clear no rights of a pass are lent (R16).
  if (!secure || !mayBeAssisted(path)) return false;
  const read = credentialOf(request.headers, request.rawHeaders, query);
  if ('refusal' in read || read.subject.kind !== 'secret') return false;
  const job = await deps.jobs.byToken(null, read.subject.secret.digest());
  if (job === undefined || job.state === 'ended' || !deps.assists(job.runnerId)) return false;
  // Without one to lend, it is what it is by itself.
  const passes = await deps.passes.forJob(null, job.id);
  if (!passes.some(({ kind, parentId, revokedAt }) => kind === 'fetch' && parentId === null && revokedAt === null)) return false;
  const wanted = await judge(deps.directory, request.method ?? '', path, query);
  if ('code' in wanted || wanted.writes) return false;
  if (wanted.kind !== 'registry_token') return wanted.channel === 'git_read' && wanted.projectId !== job.projectId;
  const scopes = parseScopes(query.getAll('scope')) ?? [];
  const places = await Promise.all(scopes.map(({ name }) => placeOf(deps.directory, name)));
  return places.length > 0 && places.every(({ projectId }) => projectId !== job.projectId);
}
